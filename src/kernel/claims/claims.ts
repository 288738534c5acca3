import type { ClaimAge, Event, IfIndex, Link } from '../../mobility/events.js';
import {
  type Family,
  formatIp,
  formatMac,
  type Ip,
  type Mac,
  familyOf,
  isIpv4,
} from '../../wire/addresses.js';
import type { IpBatch } from '../ip/batch.js';
import { isPlainDeviceName } from '../ip/commands.js';
import type { Refusal } from '../ip/executor.js';
import { LinkStates } from './link-states.js';
import { AGES, Ledger, type LedgerEntry, ifaceOf } from './ledger.js';
import type { WorkClass } from './work-queue.js';
import {
  type Claim,
  STUCK_ROUTE_REPAIR,
  type Occupant,
  type Slot,
  type Slots,
  sameNeighbour,
} from './plan.js';
import { Sender } from './sender.js';
import { ResyncScheduler, readOwnState } from './readback.js';

/**
 * Desired against installed. The tracker says what it wants for an address; the sender closes the gap to what the kernel
 * has, and what the kernel has is read back whenever something may have changed it.
 *
 * Newcomers, moves and withdrawals are urgent; ageing, adoption and repair are bulk, fed in small slices when there is
 * time for it (see BulkTurns).
 */

export interface ClaimsOptions extends Slots {
  /** Claims of others are neither made nor looked for. */
  readonly families: readonly Family[];
  /** `installed` and `refused`. */
  readonly onEvent: (event: Event) => void;
  readonly onInstalled?: ((ip: Ip, age: ClaimAge, dev: string) => void) | undefined;
  readonly onWarning: (message: string) => void;
  /** We may not change routes. */
  readonly onDenied: (refusal: string) => void;
  /** The index of an interface by its present name. */
  readonly indexOf: (dev: string) => IfIndex | undefined;
  /** Whether somebody else made a permanent neighbour entry there. */
  readonly foreignNeighbour?: ((ip: Ip, dev: string) => boolean) | undefined;
  /** The MAC in that entry. */
  readonly foreignMac?: ((ip: Ip, iface: IfIndex) => Mac | undefined) | undefined;
  /** Something on the interface is lost: has its state changed? If so, it is told by `linkChanged` before this returns. */
  readonly look?: ((iface: IfIndex) => void) | undefined;
}

export interface AdoptedClaim {
  readonly ip: Ip;
  readonly iface: IfIndex;
  readonly mac: Mac | undefined;
  readonly age: ClaimAge;
}

/** What is installed for an address, by interface name; `stuck-route-repair` for a route that leads nowhere. */
export interface InstalledView {
  readonly ip: Ip;
  readonly fresh: string | undefined;
  readonly settled: string | undefined;
  readonly mac: Mac | undefined;
  readonly wanted: boolean;
}

/** A refusal is reported to the tracker after these tries. An interface that goes down and comes back causes short ones. */
const RETRY_MS = [20, 100, 500];

export class Claims {
  readonly #sender: Sender;
  readonly #options: ClaimsOptions;
  readonly #entries = new Ledger();
  readonly #links = new LinkStates();
  readonly #resync: ResyncScheduler;
  readonly #retryTimers = new Set<NodeJS.Timeout>();
  /** Jobs that the kernel did not do. */
  refused = 0;

  constructor(options: ClaimsOptions) {
    this.#options = options;
    this.#resync = new ResyncScheduler(() => this.#readBack(false), options.onWarning);
    this.#sender = new Sender({
      ...options,
      onDeath: () => this.#resync.soon('the ip process ended'),
      onSettled: (entry) => this.#settle(entry),
      onRefused: (entry, refusal) => this.#refused(entry, refusal),
      onConflict: () => this.#resync.soon('a route is in the way'),
    });
  }

  /** The co-process, for tests and the account of processes. */
  get batch(): IpBatch {
    return this.#sender.batch;
  }

  /** Commands sent so far. */
  get commands(): number {
    return this.#sender.commands;
  }

  /** Commands not yet acknowledged, and addresses that wait to be sent. */
  get pending(): number {
    return this.#sender.pending;
  }

  /** Wants exactly this claim for its address. Answered by `installed` or, in the end, `refused`. */
  want(claim: Claim): void {
    const { ip, dev, iface } = claim;
    if (!isPlainDeviceName(dev)) {
      this.#options.onEvent({ kind: 'refused', ip, message: `unusable interface name ${dev}` });
      return;
    }
    const entry = this.#entries.take(ip);
    const isElsewhere = entry.want?.iface !== iface || entry.want.mac !== claim.mac;
    const isAgeing = entry.want?.iface === iface && claim.age === 'settled';
    if (isElsewhere) {
      this.#warnOfForeignMac(claim);
      this.#sender.touch(entry);
    }
    entry.want = claim;
    entry.stuckRouteRepair = false;
    entry.awaitingAck = true;
    entry.retries = 0;
    this.#entries.join(entry, iface);
    this.#sender.enqueue(entry, isAgeing ? 'bulk' : 'urgent');
  }

  /** Such an entry is not ours to change, so the host gets nothing: only its maker can help. */
  #warnOfForeignMac({ ip, iface, dev, mac }: Claim): void {
    const foreign = this.#options.foreignMac?.(ip, iface);
    if (foreign === undefined || mac === undefined || foreign === mac) return;
    this.#options.onWarning(
      `${formatIp(ip)} is at ${formatMac(mac)}, but a permanent neighbour entry of somebody else on ${dev} has ${formatMac(foreign)}: the host gets no traffic until it is removed (ip neigh del ${formatIp(ip)} dev ${dev})`,
    );
  }

  /** Wants no claim for the address. */
  release(ip: Ip): void {
    const entry = this.#entries.get(ip);
    if (entry === undefined) return;
    entry.want = undefined;
    entry.awaitingAck = false;
    entry.retries = 0;
    this.#sender.enqueue(entry, 'urgent');
  }

  /** Makes or deletes the route that reminds a routing daemon; nothing while a claim is wanted. */
  repairStuckRoute(ip: Ip, present: boolean): void {
    const entry = present ? this.#entries.take(ip) : this.#entries.get(ip);
    if (entry === undefined || entry.want !== undefined) return;
    entry.stuckRouteRepair = present;
    entry.retries = 0;
    this.#sender.enqueue(entry, 'urgent');
  }

  /** Makes the kernel forget what it learned of a host on an interface that it left. */
  forgetNeighbour(ip: Ip, dev: string): void {
    if (!isPlainDeviceName(dev) || this.#options.foreignNeighbour?.(ip, dev) === true) return;
    const entry = this.#entries.get(ip);
    // An entry of ours is permanent and goes with its claim.
    if (entry?.neighbour?.dev === dev || entry?.want?.dev === dev) return;
    const iface = this.#options.indexOf(dev);
    if (iface === undefined || !this.#links.isUsable(ip, iface)) return;
    this.#sender.send(ip, { op: 'forget-neighbour', device: { dev, iface } });
  }

  /** Sends what was wanted since the last time. */
  flush(): void {
    this.#sender.pump();
  }

  /**
   * The state of an interface, to be passed on before the tracker gets it: the kernel deletes what is ours with an interface
   * or an address, without any event for IPv4 (design.md 5.6). Returns whether that happened, or has ended: the kernel
   * is to be read back then.
   */
  linkChanged(link: Link): boolean {
    const changes = this.#links.change(link);
    const hasChanged = (ip: Ip) => changes[familyOf(ip)].lost || changes[familyOf(ip)].back;
    const members = this.#entries.on(link.index).filter(({ ip }) => hasChanged(ip));
    for (const entry of members) {
      if (changes[familyOf(entry.ip)].lost) this.#sweep(entry, link.index);
      if (entry.want?.iface === link.index && this.#links.isUsable(entry.ip, link.index)) {
        entry.retries = 0;
        this.#sender.enqueue(entry, 'urgent');
      }
      this.#entries.removeIfIdle(entry);
    }
    return members.length > 0;
  }

  /** Everything on the interface is gone with it, and nothing can be wanted there any more. */
  linkGone(iface: IfIndex): void {
    this.#links.forget(iface);
    for (const entry of this.#entries.on(iface)) {
      if (entry.want?.iface === iface) entry.want = undefined;
      this.#sweep(entry, iface);
      this.#entries.removeIfIdle(entry);
    }
    this.#entries.forget(iface);
  }

  #sweep(entry: LedgerEntry, iface: IfIndex): void {
    if (this.#entries.sweep(entry, iface)) this.#sender.touch(entry);
  }

  /** The monitor saw a route of ours go. When we did not ask for it, it comes back. */
  routeDeleted(ip: Ip, slot: Slot): void {
    const entry = this.#entries.get(ip);
    if (entry === undefined) return;
    if (entry.pendingRouteDeletes > 0) entry.pendingRouteDeletes--;
    else if (entry.busy) this.#resync.soon('a route vanished while it was changed');
    else {
      for (const age of AGES) {
        const { table, metric } = this.#options[age];
        if (table !== slot.table || metric !== slot.metric || entry[age] === undefined) continue;
        this.#look(ifaceOf(entry[age]));
        if (entry[age] === undefined) continue;
        entry[age] = undefined;
        this.#sender.touch(entry);
        this.#repair(entry, 'urgent');
      }
    }
    this.#entries.removeIfIdle(entry);
  }

  /** The monitor saw a neighbour entry of ours go. */
  neighbourDeleted(ip: Ip, iface: IfIndex): void {
    const entry = this.#entries.get(ip);
    if (entry === undefined) return;
    if (entry.pendingNeighbourDeletes > 0) entry.pendingNeighbourDeletes--;
    else if (entry.busy) this.#resync.soon('a neighbour vanished while it was changed');
    else if (entry.neighbour?.iface === iface) {
      this.#look(iface);
      if (entry.neighbour !== undefined) {
        entry.neighbour = undefined;
        this.#sender.touch(entry);
        this.#repair(entry, 'urgent');
      }
    }
    this.#entries.removeIfIdle(entry);
  }

  /**
   * All neighbour entries, and all IPv6 routes, of an interface are told one by one when it loses them, and perhaps before
   * the reason is.
   */
  #look(iface: IfIndex | undefined): void {
    if (iface !== undefined) this.#options.look?.(iface);
  }

  /** What an earlier run left in the kernel, kept until the tracker decides. Call once, after the links are known. */
  async adopt(): Promise<AdoptedClaim[]> {
    await this.#readBack(true);
    return [...this.#entries.all()].flatMap(({ want }) => {
      return want === undefined ? [] : [{ ip: want.ip, iface: want.iface, mac: want.mac, age: want.age }];
    });
  }

  /** Reads everything of ours from the kernel and repairs what differs. Resolves when it was read. */
  reconcile(reason: string): Promise<void> {
    return this.#resync.now(reason);
  }

  /** What is installed, as far as we know. For tests and the API. */
  snapshot(): InstalledView[] {
    const dev = (occupant: Occupant | undefined) =>
      occupant === STUCK_ROUTE_REPAIR ? STUCK_ROUTE_REPAIR : occupant?.dev;
    return [...this.#entries.all()].map(({ ip, fresh, settled, neighbour, want }) => ({
      ip,
      fresh: dev(fresh),
      settled: dev(settled),
      mac: neighbour?.mac,
      wanted: want !== undefined,
    }));
  }

  /** Resolves when everything wanted so far was carried out or refused, retries not included. */
  idle(): Promise<void> {
    return this.#sender.idle();
  }

  /** Releases every claim, adopted ones included, and looks that nothing of ours is left. */
  async withdrawAll(): Promise<void> {
    for (const { ip } of [...this.#entries.all()]) this.release(ip);
    await this.idle();
    // What waited for a retry or for another read-back when it was released.
    await this.#resync.idle();
    await this.reconcile('withdrawn');
    await this.idle();
  }

  /** Carries out what is wanted, or withdraws everything, within the time-out, and ends the co-process. */
  async stop(onExit: 'keep' | 'withdraw', timeoutMs = 10_000): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), timeoutMs);
    });
    // They could not be deleted in time later.
    for (const { ip, stuckRouteRepair } of [...this.#entries.all()])
      if (stuckRouteRepair) this.repairStuckRoute(ip, false);
    const work = onExit === 'withdraw' ? this.withdrawAll() : this.idle();
    if ((await Promise.race([work, late])) === 'late') {
      this.#options.onWarning(`stopped with ${this.pending} claims unfinished`);
    }
    clearTimeout(timer);
    this.#resync.stop();
    for (const retry of this.#retryTimers) clearTimeout(retry);
    await this.#sender.stop();
  }

  #repair(entry: LedgerEntry, workClass: WorkClass): void {
    entry.retries = 0;
    this.#sender.enqueue(entry, workClass);
  }

  /** What was asked for is there. */
  #settle(entry: LedgerEntry): void {
    entry.retries = 0;
    const { want } = entry;
    if (want === undefined) return this.#entries.removeIfIdle(entry);
    // One claim to remember instead of two.
    if (entry.neighbour !== undefined && sameNeighbour(entry.neighbour, want)) entry.neighbour = want;
    if (!entry.awaitingAck) return;
    entry.awaitingAck = false;
    this.#options.onInstalled?.(want.ip, want.age, want.dev);
    this.#options.onEvent({ kind: 'installed', ip: want.ip, age: want.age });
  }

  #refused(entry: LedgerEntry, { reason, message }: Refusal): void {
    this.refused++;
    if (reason === 'denied') this.#options.onDenied(message);
    // When it is usable again, it is tried again.
    if (entry.want !== undefined && !isIpv4(entry.ip) && !this.#links.isUsable(entry.ip, entry.want.iface))
      return;
    const wait = RETRY_MS[entry.retries++];
    if (wait === undefined) return this.#giveUp(entry, message);
    const timer = setTimeout(() => {
      this.#retryTimers.delete(timer);
      this.#sender.enqueue(entry, 'urgent');
      this.flush();
    }, wait);
    this.#retryTimers.add(timer);
  }

  /** The claim stays wanted until the tracker releases it: a link event or the next reconcile tries again. */
  #giveUp(entry: LedgerEntry, refusal: string): void {
    if (entry.want === undefined) {
      this.#options.onWarning(`a claim cannot be withdrawn: ${refusal}`);
      return;
    }
    if (!entry.awaitingAck) return;
    entry.awaitingAck = false;
    this.#options.onEvent({ kind: 'refused', ip: entry.ip, message: refusal });
  }

  // --- reading back ------------------------------------------------------------------------------------------------

  async #readBack(adopting: boolean): Promise<void> {
    const since = this.#sender.epoch;
    const isQuiet = (entry: LedgerEntry) => !entry.busy && entry.version <= since;
    const onKnown = (entry: LedgerEntry) => {
      if (adopting) keepAsFound(entry);
      this.#repairOrSettle(entry);
    };
    const own = await readOwnState(this.#entries, this.#options, this.#options.indexOf, isQuiet, onKnown);
    for (const { ip, slot } of own.orphanedRoutes) {
      this.#sender.send(ip, { op: 'drop-orphaned-route', slot });
    }
    for (const claim of own.orphanedNeighbours) {
      const entry = this.#entries.take(claim.ip);
      if (entry.busy || entry.want?.iface === claim.iface) continue;
      entry.unverified = [...(entry.unverified ?? []), claim];
      this.#entries.join(entry, claim.iface);
      this.#repair(entry, 'bulk');
    }
    this.flush();
  }

  /** Nothing is there, and what is wanted cannot be yet. */
  #waitsForLink({ ip, want, fresh, settled, neighbour, unverified }: LedgerEntry): boolean {
    if (want === undefined || this.#links.isUsable(ip, want.iface)) return false;
    return [fresh, settled, neighbour, unverified].every((there) => there === undefined);
  }

  #repairOrSettle(entry: LedgerEntry): void {
    const { conflict } = entry;
    entry.conflict = false;
    const steps = this.#sender.plan(entry);
    if (steps.length === 0) this.#settle(entry);
    // When its interface is usable again, it is tried again (linkChanged).
    else if (this.#waitsForLink(entry)) return;
    else if (conflict && steps.some((step) => step.op === 'add-route')) {
      this.#giveUp(entry, 'a route of another protocol with the same metric is in the way');
    } else this.#repair(entry, conflict ? 'urgent' : 'bulk');
  }
}

/** Wants what was found. Caught between the two ages it is settled: the fresh route was the one to go. */
function keepAsFound(entry: LedgerEntry): void {
  for (const age of ['settled', 'fresh'] as const) {
    const occupant = entry[age];
    if (entry.want !== undefined || occupant === undefined || occupant === STUCK_ROUTE_REPAIR) continue;
    const mac = entry.neighbour?.iface === occupant.iface ? entry.neighbour.mac : undefined;
    entry.want = { ...occupant, mac, age };
  }
}
