import { setFlagsFromString } from 'node:v8';

/**
 * A daemon that shares its machine collects its garbage before it has let the heap grow to several times of what it
 * needs: twice that is enough. During a storm of forged newcomers, which live half a second each and so
 * outlive the young generation, this halves the memory at no cost that could be measured in a burst.
 */
setFlagsFromString('--heap-growing-percent=100');

/**
 * Hosts are kept, so most of what a scavenge finds it has to copy. On a virtual machine with two processors it stopped
 * the daemon for 5 to 16 ms with a young generation of 16 MB and helper threads, which wait for each other there. At its
 * first size (1 MB), on this thread, it took 1 ms.
 */
setFlagsFromString('--semi-space-growth-factor=1');
setFlagsFromString('--no-parallel-scavenge');
