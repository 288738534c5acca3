import { type Mac, readMac } from '../../wire/addresses.js';

/** Frames within one window that make a talker loud; a neighbour that can be repaired is silent long before. */
const LOUD_FRAMES = 20;
const LOUD_WINDOWS = 3;
/** A talker whose frames go everywhere is muted altogether. */
const SPREAD_FRAMES = 4 * LOUD_FRAMES;
const MUTE_MS = 5000;
/** What an order to the child has room for. */
const PAIRS = 4;
const SOURCES = 24;

interface Talker {
  source: Mac;
  /** undefined: whoever the source talks to. */
  destination: Mac | undefined;
  frames: number;
  windows: number;
}

/** Who is left out of a filter. */
export interface ExcludedFlow {
  readonly pairs: readonly { readonly source: Mac; readonly destination: Mac }[];
  readonly sources: readonly Mac[];
}

/**
 * Talkers of one interface that are not worth to be listened to for a while: they go on sending to a MAC that is not
 * ours although they were told better, or nobody can tell them, or because somebody is really there, on their own LAN.
 * Their frames are left to the kernel's filter, where they cost next to nothing, so that the others are heard.
 */
export class ExcludedFlows {
  readonly #talkers = new Map<string, Talker>();
  readonly #until = new Map<string, { readonly talker: Talker; readonly at: number }>();

  /** Counts one captured frame. */
  count(bytes: Uint8Array): void {
    const destination = readMac(bytes, 0);
    const source = readMac(bytes, 6);
    this.#add(source, destination);
    this.#add(source, undefined);
  }

  /** Ends a window. Returns true when others are muted than before. */
  judge(now: number): boolean {
    let changed = false;
    for (const [key, { at }] of this.#until) {
      if (at > now) continue;
      this.#until.delete(key);
      changed = true;
    }
    for (const [key, talker] of this.#talkers) {
      const limit = talker.destination === undefined ? SPREAD_FRAMES : LOUD_FRAMES;
      talker.windows = talker.frames > limit ? talker.windows + 1 : 0;
      talker.frames = 0;
      if (talker.windows === 0) this.#talkers.delete(key);
      else if (talker.windows >= LOUD_WINDOWS && this.#mute(key, talker, now)) changed = true;
    }
    return changed;
  }

  /** Nobody is loud and nobody is muted. */
  get quiet(): boolean {
    return this.#talkers.size === 0 && this.#until.size === 0;
  }

  get muted(): ExcludedFlow {
    const talkers = [...this.#until.values()].map(({ talker }) => talker);
    return {
      pairs: talkers.flatMap(({ source, destination }) =>
        destination === undefined ? [] : [{ source, destination }],
      ),
      sources: talkers.flatMap(({ source, destination }) => (destination === undefined ? [source] : [])),
    };
  }

  #add(source: Mac, destination: Mac | undefined): void {
    const key = `${source} ${destination}`;
    const talker = this.#talkers.get(key);
    if (talker === undefined) this.#talkers.set(key, { source, destination, frames: 1, windows: 0 });
    else talker.frames++;
  }

  #mute(key: string, talker: Talker, now: number): boolean {
    const { pairs, sources } = this.muted;
    const full = talker.destination === undefined ? sources.length >= SOURCES : pairs.length >= PAIRS;
    if (full) return false;
    this.#talkers.delete(key);
    this.#until.set(key, { talker, at: now + MUTE_MS });
    // One conversation explains the noise of its source.
    if (talker.destination !== undefined) this.#talkers.delete(`${talker.source} undefined`);
    return true;
  }
}
