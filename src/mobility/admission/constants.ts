/**
 * Every constant that keeps newcomers from taking up all the time of the daemon; docs/overload.md explains how they work
 * together, and on which machine the figures were measured ("What is not here"). Each says its unit, the bar that it serves
 * and the figure that was measured. What a user may choose stands in `[policy.limits]`.
 */

/**
 * Newcomers of an interface that were probed once and have not answered, at most. More would only wait for their reply
 * until they are probed again, and reply twice. Bar: 50,000 newcomers at full speed, 35 % of `ip -batch`.
 */
export const PROBE_WINDOW = 512;

/**
 * Newcomers of an interface that have not answered, before as many as have answered lately are added. Silent ones hold
 * their place for half a second, so 8,000 forged newcomers a second leave room for real ones (lab: 3,000/s).
 */
export const CREDIT = 4096;
/** The same in a storm. Bar: a newcomer on another interface, p99 50 ms (measured 35 ms; 49 ms without this). */
export const STORM_CREDIT = 256;
/** The most that credit can grow to, and what hosts have that are known from another place. */
export const MOST_CREDIT = 32_768;
/** Milliseconds of a window of counting; the present and the last one count. */
export const COUNTING_MS = 1000;

/** Newcomers that were silent lately, from which there may be a storm. */
export const STORM_SILENT = 256;
/**
 * Milliseconds that newcomers have waited, in the capture and in the queue: everybody who was probed before them has
 * answered, up to a second late, or never will. Bar: 50,000 newcomers at full speed whose answers come 50 to 600 ms late,
 * all learned.
 */
export const STORM_WAIT_MS = 1500;
/** Milliseconds that a storm lasts after the last sign of it. */
export const STORM_MS = 1000;

/**
 * Probes without an answer that are kept for a late one: 8,000 newcomers a second that answer up to a second late. Bar: as
 * for STORM_WAIT_MS.
 */
export const LATE_ANSWERS = 8192;

/**
 * Newcomers taken from a queue per tick, of which a turn of the event loop has one: 10 ms of work on a busy machine. Bar: API
 * answers in a storm, 200 ms (106 ms measured).
 */
export const TAKEN_PER_TICK = 128;

/**
 * Milliseconds by which a deadline is missed when this process stood still. Shorter ones do no harm: a try that goes out
 * late has its time. Bar: no quiet host lost by SIGSTOP for 20 s.
 */
export const STALL_MS = 500;

/** Milliseconds that a probe of our own accord waits for its budget, at most; it is put off otherwise. */
export const MOST_WAIT_MS = 1000;

/**
 * MACs that RARP named and nobody knows, of an interface, that are asked at a time. Each is asked for up to 64 addresses,
 * five times in a second. Bar: a newcomer elsewhere while 1,000 MACs a second are named, 1 s (0.3 to 0.9 s at a load of 16).
 */
export const OPEN_LOOKUPS = 16;
/** Milliseconds for which the list of those addresses is used again, and when no remote claim came or went. */
export const CANDIDATES_MS = 100;
export const UNCHANGED_MS = 2000;
/** Milliseconds between two times that a MAC is asked on an interface because of RARP. */
export const LOOKUP_INTERVAL_MS = 1000;
/** Look-ups of an interface per second that are no such MAC: a known MAC that RARP named, a neighbour that is looked for. */
export const LOOKUPS_PER_SECOND = 1000;

/** Milliseconds between two alarms of one kind and place. */
export const ALARM_INTERVAL_MS = 60_000;
/** Milliseconds between two repairs of one stale neighbour. */
export const REPAIR_INTERVAL_MS = 1000;
/** Keys of either that are remembered, at most. */
export const REMEMBERED_KEYS = 10_000;
/** Interfaces with a budget, from which those are forgotten that brought nothing for FORGET_MS milliseconds. */
export const MANY_INTERFACES = 1000;
export const FORGET_MS = 10_000;
