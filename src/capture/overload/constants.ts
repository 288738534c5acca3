/**
 * Every constant that keeps the capture working under overload, from the wire inwards; docs/overload.md explains how they
 * work together, and on which machine the figures were measured ("What is not here"). Each has its unit, the bar that it
 * serves and the figure that was measured.
 */

/** Bytes of the first interface's ring at most: 50,000 frames of 208 bytes. Bar: 50,000 newcomers at full speed. */
export const RING_MOST_BYTES = 10 << 20;
/** Bytes of each ring at least: 600 frames. Bar: memory of 256 interfaces (300 MB measured). */
export const RING_LEAST_BYTES = 128 << 10;
/**
 * Bytes of the ring for long messages, those of IPv6 that tell of no single address: 230 frames of 560 bytes. In a ring of
 * their own they do not make the slots of the others longer, nor does a flood of them fill theirs.
 */
export const LONG_RING_BYTES = 128 << 10;
/** Bytes of all rings together, but for the least of each. Bar: memory of 256 interfaces. */
export const RING_BUDGET_BYTES = 50 << 20;

/**
 * Frames of an interface that are read at any speed. Bar: 50,000 newcomers at full speed, 100,000 at 20,000/s (all learned,
 * none lost): each sends an announcement and a reply or two.
 */
export const BURST_FRAMES = 250_000;
/**
 * Frames that wait in a ring, from which silence on the interface proves nothing: 17 ms at the pace of the reader. Bar: no
 * quiet host withdrawn while 100,000 frames/s arrive.
 */
export const WAITING_FRAMES = 1024;
/** Milliseconds between two signs of life of the reader, each with what it missed: a keepalive takes 750 ms. */
export const ALIVE_MS = 400;
/** Milliseconds without one, from which the silence of hosts proves nothing. */
export const STALLED_MS = 700;

/** Frames between two sleeps, which is what cap reads of one interface in a turn of the event loop. */
export const TURN_FRAMES = 64;
/** Milliseconds that a reader sleeps at most. */
export const LONGEST_SLEEP_MS = 10;

/** Long messages that are passed on at any speed, and per second afterwards. */
export const LONG_BURST_FRAMES = 2000;
export const LONG_FRAMES_PER_SECOND = 2000;
/**
 * Long messages that are read per second. What is read beyond LONG_FRAMES_PER_SECOND is dropped: a reader that read no more
 * would sleep for 30 ms in a turn, while the frames of other interfaces wait. Bar: a newcomer on another interface in a
 * storm, p99 50 ms (238 ms measured so).
 */
export const LONG_READ_PER_SECOND = 40_000;

/** Frames of misdirected packets that are read at any speed, and per second afterwards: one of each flow is enough. */
export const MISDIRECTED_BURST_FRAMES = 1000;
export const MISDIRECTED_FRAMES_PER_SECOND = 2000;
/** Bytes of the ring for misdirected packets. */
export const MISDIRECTED_RING_BYTES = 256 << 10;
/** Milliseconds without a visitor after which that reader ends. Bar: 140 MB with no hosts (45 MB measured). */
export const MISDIRECTED_IDLE_MS = 60_000;

/** Hosts whose announcements can be suppressed at a time; two that share an entry take turns in it. */
export const SUPPRESSED_HOSTS = 1 << 16;

/** Bytes that a reader writes at a time. */
export const BATCH_BYTES = 8192;
/**
 * Bytes that the daemon has not read at most, 180 frames, each of which may be a newcomer: 0.1 ms of work on a busy machine.
 * Bar: a newcomer on another interface in a storm, p99 50 ms (35 ms measured).
 */
export const UNREAD_BYTES = 12_288;
/** Bytes of a queue's first chunk: one late frame must not cost 8 KB on each of hundreds of interfaces. */
export const FIRST_CHUNK_BYTES = 1024;
/** Bytes that wait in all queues, of each rank of frames: 120,000 newcomers of one burst, 89,000 of IPv6. */
export const QUEUE_BYTES = 8 << 20;

/** Bytes that the daemon reads before it reports so: a quarter of UNREAD_BYTES. */
export const ACKNOWLEDGE_BYTES = 3072;
/**
 * Bytes that the daemon reads of one reader in a turn of the event loop, 100 frames; libuv would read on 32 times. Bar: API
 * answers in a storm, 200 ms (96 ms measured).
 */
export const READ_TURN_BYTES = 8192;
/** Bytes that a reader may leave unread before it counts as hung; what it is sent then is refused. */
export const COMMAND_BACKLOG_BYTES = 4 << 20;
