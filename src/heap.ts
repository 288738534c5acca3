import { setFlagsFromString } from 'node:v8';

/**
 * A daemon that shares its machine collects its garbage before it has let the heap grow to several times of what it
 * needs: half as much again is enough. During a storm of forged newcomers, which live half a second each and so
 * outlive the young generation, this halves the memory at no cost that could be measured in a burst.
 */
setFlagsFromString('--heap-growing-percent=100');
