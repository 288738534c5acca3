import { type Ip, type Prefix, formatPrefix, containsPrefix } from '../../wire/addresses.js';
import type { MappingRecord } from '../../wire/lisp/record.js';
import { type Emit, NEVER } from '../actions.js';

/** The map-cache: which RLOC each EID of other routers is behind, and the routes that follow from it. */

export interface CacheEntry {
  readonly prefix: Prefix;
  readonly rloc: Ip;
  /** stale: the server was away, and has not said it again. Packets are forwarded all the same. */
  readonly state: 'published' | 'stale';
  /** When a stale one ends, unless the server is silent. */
  readonly until: number;
}

/** A server that has forgotten everything learns it again within this time: its routers register anew at once. */
const STALE_MS = 60_000;
const UNUSABLE_PRIORITY = 255;

export class Cache {
  readonly #entries = new Map<string, CacheEntry>();

  constructor(
    readonly options: {
      readonly rloc: Ip;
      readonly emit: Emit;
      /** No server answers: nothing ends now. */
      readonly isSilent: () => boolean;
    },
  ) {}

  /** A route of an earlier run: it stays until a server says otherwise. */
  adopt(prefix: Prefix, rloc: Ip): void {
    this.#entries.set(formatPrefix(prefix), { prefix, rloc, state: 'stale', until: NEVER });
  }

  /** A record of an authentic message. Our own RLOC, and none, mean no route of the mapping system. */
  apply({ eid: { prefix }, ttlMinutes, locators }: MappingRecord): void {
    const [best] = [...locators]
      .filter(({ priority }) => priority !== UNUSABLE_PRIORITY)
      .sort((a, b) => a.priority - b.priority);
    const isOwn = locators.some(({ rloc }) => rloc === this.options.rloc);
    if (best === undefined || isOwn || ttlMinutes === 0) return this.#remove(prefix);
    const key = formatPrefix(prefix);
    const before = this.#entries.get(key);
    this.#entries.set(key, { prefix, rloc: best.rloc, state: 'published', until: NEVER });
    if (before?.rloc !== best.rloc) this.options.emit({ kind: 'route', prefix, rloc: best.rloc });
  }

  /** The server tells everything below this prefix anew. What it does not repeat ends. */
  markStale(below: Prefix, now: number): void {
    for (const [key, entry] of this.#entries)
      if (containsPrefix(below, entry.prefix))
        this.#entries.set(key, { ...entry, state: 'stale', until: now + STALE_MS });
  }

  tick(now: number): void {
    if (this.options.isSilent()) return;
    for (const { prefix, until } of this.#entries.values()) if (until <= now) this.#remove(prefix);
  }

  nextDeadline(): number {
    if (this.options.isSilent()) return NEVER;
    let at = NEVER;
    for (const { until } of this.#entries.values()) at = Math.min(at, until);
    return at;
  }

  entries(): readonly CacheEntry[] {
    return [...this.#entries.values()];
  }

  get(prefix: Prefix): CacheEntry | undefined {
    return this.#entries.get(formatPrefix(prefix));
  }

  #remove(prefix: Prefix): void {
    if (this.#entries.delete(formatPrefix(prefix)))
      this.options.emit({ kind: 'route', prefix, rloc: undefined });
  }
}
