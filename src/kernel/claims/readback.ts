import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ClaimAge, IfIndex } from '../../mobility/events.js';
import type { Family, Ip } from '../../wire/addresses.js';
import { type Ledger, type LedgerEntry, ifaceOf } from './ledger.js';
import { type Claim, STUCK_ROUTE_REPAIR, type Slot, type Slots } from './plan.js';
import { dumpOwn } from '../ip/dump.js';

export interface OwnState {
  /** Routes of ours in no slot of ours: an earlier run had another configuration. */
  readonly orphanedRoutes: readonly { readonly ip: Ip; readonly slot: Slot }[];
  /** Neighbour entries of ours that no claim needs: a crash came between the two. */
  readonly orphanedNeighbours: readonly Claim[];
}

/** 100,000 entries must not hold up the event loop. */
const SLICE_MS = 4;

let scans = 0;

/**
 * Reads what carries our mark from the kernel, corrects the ledger and hands over each entry that is correct
 * then. `isQuiet`: whether an entry had no work since the reading began; what is read about the others may be
 * older than what is known. Rejects when `ip` fails.
 */
export async function readOwnState(
  entries: Ledger,
  slots: Slots & { readonly families: readonly Family[] },
  indexOf: (dev: string) => IfIndex | undefined,
  isQuiet: (entry: LedgerEntry) => boolean,
  onKnown: (entry: LedgerEntry) => void,
): Promise<OwnState> {
  const scan = ++scans;
  const orphanedRoutes: { ip: Ip; slot: Slot }[] = [];
  const orphanedNeighbours: Claim[] = [];

  const onRoute = (ip: Ip, slot: Slot, dev: string | undefined) => {
    const age = ageOf(slots, slot);
    if (age === undefined) {
      orphanedRoutes.push({ ip, slot });
      return;
    }
    const entry = entries.take(ip);
    unmark(entry, scan);
    entry[age === 'fresh' ? 'seenFresh' : 'seenSettled'] = true;
    if (!isQuiet(entry)) return;
    const iface = dev === undefined ? undefined : indexOf(dev);
    if (iface === undefined || dev === undefined) entry[age] = STUCK_ROUTE_REPAIR;
    else if (ifaceOf(entry[age]) !== iface) {
      entry[age] = { ip, iface, dev, mac: undefined, age };
      entries.join(entry, iface);
    }
  };

  const onNeighbour = (claim: Claim) => {
    const entry = entries.get(claim.ip);
    if (entry === undefined) {
      orphanedNeighbours.push(claim);
      return;
    }
    unmark(entry, scan);
    const place =
      entry.neighbour?.iface ?? entry.want?.iface ?? ifaceOf(entry.settled) ?? ifaceOf(entry.fresh);
    if (place !== claim.iface) {
      if (isQuiet(entry)) orphanedNeighbours.push(claim);
      return;
    }
    entry.seenNeighbour = true;
    if (isQuiet(entry) && entry.neighbour?.mac !== claim.mac) entry.neighbour = claim;
  };

  await dumpOwn(
    slots.protocol,
    slots.families,
    ({ ip, table, metric, dev }) => onRoute(ip, { table, metric }, dev),
    ({ ip, dev, mac }) => {
      const iface = indexOf(dev);
      if (iface !== undefined) onNeighbour({ ip, iface, dev, mac, age: 'fresh' });
    },
  );

  let sliceEnd = performance.now() + SLICE_MS;
  for (const entry of entries.all()) {
    if (performance.now() > sliceEnd) {
      await nextTurn();
      sliceEnd = performance.now() + SLICE_MS;
    }
    if (!isQuiet(entry)) continue;
    unmark(entry, scan);
    if (!entry.seenFresh) entry.fresh = undefined;
    if (!entry.seenSettled) entry.settled = undefined;
    if (!entry.seenNeighbour) entry.neighbour = undefined;
    entry.unverified = undefined;
    entry.pendingRouteDeletes = 0;
    entry.pendingNeighbourDeletes = 0;
    onKnown(entry);
  }
  return { orphanedRoutes, orphanedNeighbours };
}

function unmark(entry: LedgerEntry, scan: number): void {
  if (entry.seenBy === scan) return;
  entry.seenBy = scan;
  entry.seenFresh = false;
  entry.seenSettled = false;
  entry.seenNeighbour = false;
}

function ageOf(slots: Slots, { table, metric }: Slot): ClaimAge | undefined {
  if (table === slots.fresh.table && metric === slots.fresh.metric) return 'fresh';
  return table === slots.settled.table && metric === slots.settled.metric ? 'settled' : undefined;
}

const SOON_MS = 20;
/** After a reading that failed. */
const AGAIN_MS = 1000;

/** Reads back what the kernel has, one reading at a time. */
export class ResyncScheduler {
  readonly #read: () => Promise<void>;
  readonly #onWarning: (message: string) => void;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(read: () => Promise<void>, onWarning: (message: string) => void) {
    this.#read = read;
    this.#onWarning = onWarning;
  }

  /** Resolves after a reading, never rejects: one that fails is repeated. While one runs, another follows it. */
  now(reason: string): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    if (this.#running !== undefined) {
      // What changed since that one began needs another.
      this.soon(reason);
      return this.#running;
    }
    this.#running = this.#read()
      .catch((error: Error) => {
        this.#onWarning(`our routes cannot be read (${reason}): ${error.message}`);
        this.soon(reason, AGAIN_MS);
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  /** One reading for all requests within this time. */
  soon(reason: string, ms = SOON_MS): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.now(reason);
    }, ms);
  }

  /** Resolves when none runs. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Begins no other one. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
