import type { ClaimAge, Event, IfIndex, Link } from '../mobility/events.js';
import { type Ip, type Mac, isIpv4 } from '../wire/addresses.js';
import { IpBatch, LOST, type Outcomes } from './batch.js';
import {
  type Claim,
  GHOST,
  type Holding,
  type Occupant,
  type Slot,
  type Slots,
  type Step,
  commandFor,
  dropRouteCommand,
  forgetCommand,
  isPlainDeviceName,
  planSteps,
} from './plan.js';
import { scanOwn } from './scan.js';

/**
 * Desired against installed. The brain says what it wants for an address; this class compares that with what the
 * kernel has and sends the difference, computed at the moment of sending. One job per address is under way at a time,
 * so the commands for an address never overtake one another, and a wish that changed in the queue is never carried
 * out in its old form.
 *
 * Newcomers, moves and withdrawals are urgent; ageing, adoption and repair are bulk, fed in small slices and only
 * while nothing urgent waits.
 */

export interface ClaimsOptions extends Slots {
  /** `installed` and `refused`. */
  readonly onEvent: (event: Event) => void;
  readonly onInstalled?: ((ip: Ip, age: ClaimAge, dev: string) => void) | undefined;
  readonly onWarning: (message: string) => void;
  /** The index of an interface by its present name. */
  readonly indexOf: (dev: string) => IfIndex | undefined;
  /** Whether somebody else made a permanent neighbour entry there. */
  readonly foreignNeighbour?: ((ip: Ip, dev: string) => boolean) | undefined;
}

export interface AdoptedClaim {
  readonly ip: Ip;
  readonly iface: IfIndex;
  readonly mac: Mac | undefined;
  readonly age: ClaimAge;
}

type Lane = 'urgent' | 'bulk';

interface Entry extends Holding {
  /** A job is under way. */
  busy: boolean;
  lane: Lane | undefined;
  /** The brain waits for `installed` or `refused`. */
  owed: boolean;
  retries: number;
  /** The route slot is taken, a scan will tell by whom. */
  clash: boolean;
  /** Deletions that we asked for and the monitor has not told yet. */
  routeEchoes: number;
  neighbourEchoes: number;
  /** When anything was last sent, on the count of jobs. */
  touched: number;
  /** What a scan saw: its number, and the slots and the neighbour entry. */
  seenBy: number;
  seenFresh: boolean;
  seenSettled: boolean;
  seenNeighbour: boolean;
}

/** Commands under way at most; bulk commands wait for urgent ones, not these for more than a slice of those. */
const URGENT_WINDOW = 1024;
const BULK_WINDOW = 64;
/** A refusal is told to the brain after these tries: an interface that goes down and comes back is not worth it. */
const RETRY_MS = [20, 100, 500];
const RESCAN_MS = 20;

export class Claims {
  readonly batch: IpBatch;
  readonly #options: ClaimsOptions;
  readonly #entries = new Map<Ip, Entry>();
  readonly #byIface = new Map<IfIndex, Set<Entry>>();
  readonly #links = new Map<IfIndex, { readonly up: boolean; readonly numbered: boolean }>();
  #urgent: Entry[] = [];
  #bulk: Entry[] = [];
  #urgentHead = 0;
  #bulkHead = 0;
  /** What the co-process means by a device name, as far as it has used it. */
  #names = new Map<string, IfIndex>();
  #jobs = 0;
  #scans = 0;
  #scanning: Promise<void> | undefined;
  #scanAgain: NodeJS.Timeout | undefined;
  readonly #retryTimers = new Set<NodeJS.Timeout>();
  #idle: (() => void)[] = [];
  #turnScheduled = false;
  #deniedWarned = false;
  #stopped = false;
  readonly stats = { commands: 0, refused: 0, scans: 0, repaired: 0 };

  constructor(options: ClaimsOptions) {
    this.#options = options;
    const { protocol, fresh } = options;
    this.batch = new IpBatch({
      onWarning: options.onWarning,
      onProgress: () => this.#pump(),
      // No such route can exist; it makes ip read its tables of names, and shows whether we may change routes.
      warmUp: `route del 0.0.0.0/32 dev lo scope link proto ${protocol} metric ${fresh.metric} table ${fresh.table}`,
    });
  }

  /** Commands not yet acknowledged, and addresses that wait for their turn. */
  get pending(): number {
    return this.batch.outstanding + this.#queued;
  }

  get #queued(): number {
    return this.#urgent.length - this.#urgentHead + (this.#bulk.length - this.#bulkHead);
  }

  /** Wants exactly this claim for its address. Answered by `installed` or, in the end, `refused`. */
  want(claim: Claim): void {
    if (!isPlainDeviceName(claim.dev)) {
      this.#options.onEvent({
        kind: 'refused',
        ip: claim.ip,
        message: `unusable interface name ${claim.dev}`,
      });
      return;
    }
    const entry = this.#entry(claim.ip);
    const isAgeing = entry.want?.iface === claim.iface && claim.age === 'settled';
    entry.want = claim;
    entry.ghost = false;
    entry.owed = true;
    entry.retries = 0;
    this.#join(entry, claim.iface);
    this.#enqueue(entry, isAgeing ? 'bulk' : 'urgent');
  }

  /** Wants no claim for the address. */
  release(ip: Ip): void {
    const entry = this.#entries.get(ip);
    if (entry === undefined) return;
    entry.want = undefined;
    entry.owed = false;
    entry.retries = 0;
    this.#enqueue(entry, 'urgent');
  }

  /** Releases every claim, adopted ones included. */
  releaseAll(): void {
    for (const ip of this.#entries.keys()) this.release(ip);
  }

  /** Makes or deletes the route that reminds a routing daemon; nothing while a claim is wanted. */
  ghost(ip: Ip, present: boolean): void {
    const entry = present ? this.#entry(ip) : this.#entries.get(ip);
    if (entry === undefined || entry.want !== undefined) return;
    entry.ghost = present;
    entry.retries = 0;
    this.#enqueue(entry, 'urgent');
  }

  /** Makes the kernel forget what it learned of a host on an interface that it left. */
  forgetNeighbour(ip: Ip, dev: string): void {
    if (!isPlainDeviceName(dev) || this.#options.foreignNeighbour?.(ip, dev)) return;
    if (this.#entries.get(ip)?.neighbour?.dev === dev) return; // ours, permanent: it goes with its claim
    const iface = this.#options.indexOf(dev);
    if (iface === undefined) return;
    this.#meet(dev, iface);
    this.#submit([forgetCommand(ip, dev)]);
    this.#schedule();
  }

  /** Sends what was wanted since the last time. */
  flush(): void {
    this.#pump();
  }

  /**
   * The state of an interface, told before the brain hears of it. Admin down and the loss of the last address delete
   * the routes without any event (DESIGN 5.6), and the neighbour entries.
   */
  linkChanged(link: Link): void {
    const before = this.#links.get(link.index);
    const numbered = link.addresses.some((prefix) => isIpv4(prefix.ip));
    this.#links.set(link.index, { up: link.up, numbered });
    if (before === undefined) return;
    if (before.up && !link.up) this.#swept(link.index, () => true);
    else if (before.numbered && !numbered) this.#swept(link.index, (entry) => isIpv4(entry.ip));
    else if (before.up || !link.up) return;
    if (link.up) for (const entry of this.#on(link.index)) this.#revive(entry);
    this.flush();
  }

  /** Everything on the interface is gone with it. */
  linkGone(iface: IfIndex): void {
    this.#links.delete(iface);
    this.#swept(iface, () => true);
    this.#byIface.delete(iface);
  }

  /** The monitor saw a route of ours go. When we did not ask for it, it comes back. */
  routeDeleted(ip: Ip, slot: Slot): void {
    const entry = this.#entries.get(ip);
    if (entry === undefined) return;
    if (entry.routeEchoes > 0) entry.routeEchoes--;
    else if (!entry.busy) {
      for (const age of ['fresh', 'settled'] as const) {
        const { table, metric } = this.#options[age];
        if (table !== slot.table || metric !== slot.metric || entry[age] === undefined) continue;
        entry[age] = undefined;
        this.stats.repaired++;
        this.#enqueue(entry, 'urgent');
      }
    }
    this.#bury(entry);
  }

  /** The monitor saw a neighbour entry of ours go. */
  neighbourDeleted(ip: Ip, iface: IfIndex): void {
    const entry = this.#entries.get(ip);
    if (entry === undefined) return;
    if (entry.neighbourEchoes > 0) entry.neighbourEchoes--;
    else if (!entry.busy && entry.neighbour?.iface === iface) {
      entry.neighbour = undefined;
      this.stats.repaired++;
      this.#enqueue(entry, 'urgent');
    }
    this.#bury(entry);
  }

  /** What an earlier run left in the kernel, kept until the brain decides. Call once, after the links are known. */
  async adopt(): Promise<AdoptedClaim[]> {
    await this.reconcile('adopt');
    return [...this.#entries.values()].flatMap((entry) => {
      const { want } = entry;
      return want === undefined ? [] : [{ ip: want.ip, iface: want.iface, mac: want.mac, age: want.age }];
    });
  }

  /** Reads everything of ours from the kernel and repairs what differs. Resolves after the reading. */
  reconcile(reason: string): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    if (this.#scanning !== undefined) {
      this.#rescan(reason);
      return this.#scanning;
    }
    this.#scanning = this.#scan(reason === 'adopt')
      .catch((error: Error) => {
        this.#options.onWarning(`cannot read our routes (${reason}): ${error.message}`);
        if (reason === 'adopt') throw error;
        this.#rescan(reason);
      })
      .finally(() => {
        this.#scanning = undefined;
      });
    return this.#scanning;
  }

  #rescan(reason: string): void {
    clearTimeout(this.#scanAgain);
    this.#scanAgain = setTimeout(() => {
      void this.reconcile(reason);
    }, RESCAN_MS);
  }

  /** What is installed, as far as we know. For tests and the API. */
  *snapshot(): Generator<{
    ip: Ip;
    fresh: string | undefined;
    settled: string | undefined;
    wanted: boolean;
  }> {
    const dev = (occupant: Occupant | undefined) => (occupant === GHOST ? GHOST : occupant?.dev);
    for (const { ip, fresh, settled, want } of this.#entries.values()) {
      yield { ip, fresh: dev(fresh), settled: dev(settled), wanted: want !== undefined };
    }
  }

  /** Resolves when everything wanted so far was carried out or refused. */
  idle(): Promise<void> {
    this.flush();
    if (this.pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Carries out what is wanted, within the time-out, and ends the co-process. */
  async stop(timeoutMs = 5000): Promise<void> {
    clearTimeout(this.#scanAgain);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.idle(), late]);
    clearTimeout(timer);
    this.#stopped = true;
    for (const retry of this.#retryTimers) clearTimeout(retry);
    await this.batch.close(1000);
  }

  // --- entries -----------------------------------------------------------------------------------------------------

  #entry(ip: Ip): Entry {
    let entry = this.#entries.get(ip);
    if (entry === undefined) {
      entry = {
        ip,
        want: undefined,
        ghost: false,
        fresh: undefined,
        settled: undefined,
        neighbour: undefined,
        doubtful: undefined,
        busy: false,
        lane: undefined,
        owed: false,
        retries: 0,
        clash: false,
        routeEchoes: 0,
        neighbourEchoes: 0,
        touched: this.#jobs,
        seenBy: 0,
        seenFresh: false,
        seenSettled: false,
        seenNeighbour: false,
      };
      this.#entries.set(ip, entry);
    }
    return entry;
  }

  /** Forgets an address about which there is nothing left to know. */
  #bury(entry: Entry): void {
    if (entry.want !== undefined || entry.ghost || entry.busy || entry.lane !== undefined) return;
    if (entry.fresh !== undefined || entry.settled !== undefined || entry.neighbour !== undefined) return;
    if (entry.doubtful !== undefined || entry.routeEchoes > 0 || entry.neighbourEchoes > 0) return;
    this.#entries.delete(entry.ip);
    for (const members of this.#byIface.values()) members.delete(entry);
  }

  #join(entry: Entry, iface: IfIndex): void {
    const members = this.#byIface.get(iface);
    if (members === undefined) this.#byIface.set(iface, new Set([entry]));
    else members.add(entry);
  }

  #on(iface: IfIndex): Entry[] {
    return [...(this.#byIface.get(iface) ?? [])];
  }

  /** The kernel deleted what these entries have on the interface. */
  #swept(iface: IfIndex, affected: (entry: Entry) => boolean): void {
    for (const entry of this.#on(iface)) {
      if (!affected(entry)) continue;
      for (const age of ['fresh', 'settled'] as const) {
        const occupant = entry[age];
        if (occupant !== undefined && occupant !== GHOST && occupant.iface === iface) entry[age] = undefined;
      }
      if (entry.neighbour?.iface === iface) entry.neighbour = undefined;
      entry.doubtful = entry.doubtful?.filter((claim) => claim.iface !== iface);
      if (entry.want?.iface !== iface) this.#byIface.get(iface)?.delete(entry);
      this.#bury(entry);
    }
  }

  #revive(entry: Entry): void {
    entry.retries = 0;
    this.#enqueue(entry, 'urgent');
  }

  // --- queues ------------------------------------------------------------------------------------------------------

  #enqueue(entry: Entry, lane: Lane): void {
    if (entry.lane === 'urgent' || entry.lane === lane) return;
    entry.lane = lane;
    // A busy one queues up when its job is done.
    if (!entry.busy) (lane === 'urgent' ? this.#urgent : this.#bulk).push(entry);
    this.#schedule();
  }

  /** For callers that do not flush. */
  #schedule(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#stopped) return;
    while (this.#urgentHead < this.#urgent.length && this.batch.outstanding < URGENT_WINDOW) {
      this.#start(this.#urgent[this.#urgentHead++] as Entry, 'urgent');
    }
    if (this.#urgentHead === this.#urgent.length) {
      if (this.#urgentHead > 0) {
        this.#urgent = [];
        this.#urgentHead = 0;
      }
      while (this.#bulkHead < this.#bulk.length && this.batch.outstanding < BULK_WINDOW) {
        this.#start(this.#bulk[this.#bulkHead++] as Entry, 'bulk');
      }
      if (this.#bulkHead === this.#bulk.length && this.#bulkHead > 0) {
        this.#bulk = [];
        this.#bulkHead = 0;
      }
    }
    this.batch.flush();
    if (this.#idle.length > 0 && this.pending === 0) {
      const waiting = this.#idle;
      this.#idle = [];
      for (const resolve of waiting) resolve();
    }
  }

  #start(entry: Entry, lane: Lane): void {
    // In both queues: the urgent one served it already.
    if (entry.lane !== lane || entry.busy) return;
    entry.lane = undefined;
    const steps = planSteps(entry, this.#options.foreignNeighbour);
    if (steps.length === 0) return this.#settle(entry);
    for (const step of steps) {
      if (step.op === 'set-neighbour') this.#meet(step.claim.dev, step.claim.iface);
      else if (step.op === 'drop-route') entry.routeEchoes++;
      else if (step.op === 'drop-neighbour') entry.neighbourEchoes++;
      else if (step.occupant !== GHOST) this.#meet(step.occupant.dev, step.occupant.iface);
    }
    entry.busy = true;
    entry.touched = ++this.#jobs;
    const commands = steps.map((step) => commandFor(step, entry.ip, this.#options));
    this.#submit(commands, (outcomes) => this.#done(entry, steps, outcomes), entry.doubtful !== undefined);
  }

  /** A co-process that knows the name as another interface must not be asked. */
  #meet(dev: string, iface: IfIndex): void {
    const known = this.#names.get(dev);
    if (known === iface) return;
    if (known !== undefined) {
      this.batch.renew();
      this.#names = new Map();
    }
    this.#names.set(dev, iface);
  }

  #submit(commands: readonly string[], done?: (outcomes: Outcomes) => void, fenced = false): void {
    this.stats.commands += commands.length;
    if (fenced) this.batch.submitFenced(commands, done);
    else this.batch.submit(commands, done);
  }

  // --- outcomes ----------------------------------------------------------------------------------------------------

  #done(entry: Entry, steps: readonly Step[], outcomes: Outcomes): void {
    entry.busy = false;
    entry.touched = ++this.#jobs;
    const lane = entry.lane;
    entry.lane = undefined;
    const refusal = outcomes.includes(LOST)
      ? this.#doubt(entry, steps, outcomes)
      : this.#note(entry, steps, outcomes);
    if (entry.clash) this.#rescan('a route is in the way');
    else if (refusal !== undefined) this.#refused(entry, refusal, lane);
    else if (lane !== undefined) this.#enqueue(entry, lane);
    else if (planSteps(entry, this.#options.foreignNeighbour).length > 0) this.#enqueue(entry, 'urgent');
    else this.#settle(entry);
  }

  /** What was asked for is there. */
  #settle(entry: Entry): void {
    entry.retries = 0;
    const { want } = entry;
    if (want === undefined) return this.#bury(entry);
    if (!entry.owed) return;
    entry.owed = false;
    this.#options.onInstalled?.(want.ip, want.age, want.dev);
    this.#options.onEvent({ kind: 'installed', ip: want.ip, age: want.age });
  }

  /** The co-process died: what it did of this job is unknown, except where the outcome says it. */
  #doubt(entry: Entry, steps: readonly Step[], outcomes: Outcomes): string | undefined {
    const claims = [...(entry.doubtful ?? []), ...(entry.neighbour === undefined ? [] : [entry.neighbour])];
    let refusal: string | undefined;
    steps.forEach((step, at) => {
      if (step.op === 'set-neighbour') {
        const outcome = outcomes[at];
        if (outcome !== undefined && outcome !== LOST) refusal = outcome;
        claims.push(step.claim);
      }
    });
    entry.fresh = undefined;
    entry.settled = undefined;
    entry.neighbour = undefined;
    entry.doubtful = refusal === undefined ? claims : [];
    return refusal;
  }

  /** Takes the outcomes into the books. Returns the first refusal that matters. */
  #note(entry: Entry, steps: readonly Step[], outcomes: Outcomes): string | undefined {
    let refusal: string | undefined;
    // From here on every slot is known: a step for each was carried out, or it was refused.
    if (entry.doubtful !== undefined) {
      entry.doubtful = undefined;
      entry.neighbour = undefined;
    }
    for (let at = 0; at < steps.length; at++) {
      const step = steps[at] as Step;
      const outcome = outcomes[at];
      switch (step.op) {
        case 'set-neighbour':
          if (outcome === undefined) entry.neighbour = step.claim;
          break;
        case 'drop-neighbour':
          if (outcome !== undefined) entry.neighbourEchoes = Math.max(0, entry.neighbourEchoes - 1);
          if (entry.neighbour?.iface === step.claim.iface) entry.neighbour = undefined;
          continue;
        case 'drop-route':
          if (outcome !== undefined) entry.routeEchoes = Math.max(0, entry.routeEchoes - 1);
          if (outcome === undefined || isAbsent(outcome)) {
            entry[step.age] = undefined;
            continue;
          }
          break;
        default:
          if (outcome === undefined) entry[step.age] = step.occupant;
          else if (outcome.includes('File exists')) {
            entry.clash = true;
            continue;
          }
      }
      refusal ??= outcome;
    }
    return refusal;
  }

  #refused(entry: Entry, refusal: string, lane: Lane | undefined): void {
    this.stats.refused++;
    if (refusal.includes('not permitted')) {
      if (!this.#deniedWarned)
        this.#options.onWarning(`the kernel refuses: ${refusal}; marpd needs CAP_NET_ADMIN`);
      this.#deniedWarned = true;
    }
    const wait = RETRY_MS[entry.retries++];
    if (wait !== undefined) {
      const timer = setTimeout(() => {
        this.#retryTimers.delete(timer);
        this.#enqueue(entry, 'urgent');
        this.flush();
      }, wait);
      this.#retryTimers.add(timer);
    } else {
      this.#giveUp(entry, refusal);
    }
    if (lane !== undefined) this.#enqueue(entry, lane);
  }

  /** The claim stays wanted until the brain releases it: a link event or the next reconcile tries again. */
  #giveUp(entry: Entry, refusal: string): void {
    if (entry.want !== undefined && entry.owed) {
      entry.owed = false;
      this.#options.onEvent({ kind: 'refused', ip: entry.ip, message: refusal });
    } else {
      this.#options.onWarning(`ip refused to withdraw a claim: ${refusal}`);
    }
  }

  // --- reading back ------------------------------------------------------------------------------------------------

  async #scan(adopting: boolean): Promise<void> {
    const scan = ++this.#scans;
    const since = this.#jobs;
    this.stats.scans++;
    const known = (entry: Entry) => !entry.busy && entry.touched <= since;
    const mark = (entry: Entry) => {
      if (entry.seenBy === scan) return;
      entry.seenBy = scan;
      entry.seenFresh = false;
      entry.seenSettled = false;
      entry.seenNeighbour = false;
    };
    const strayRoutes: { ip: Ip; slot: Slot }[] = [];
    const strayNeighbours: Claim[] = [];
    await scanOwn(this.#options.protocol, {
      onRoute: ({ ip, table, metric, dev }) => {
        const age = this.#ageOf(table, metric);
        if (age === undefined) {
          strayRoutes.push({ ip, slot: { table, metric } });
          return;
        }
        const entry = this.#entry(ip);
        mark(entry);
        entry[age === 'fresh' ? 'seenFresh' : 'seenSettled'] = true;
        if (!known(entry)) return;
        const occupant = entry[age];
        const iface = dev === undefined ? undefined : this.#options.indexOf(dev);
        if (iface === undefined || dev === undefined) entry[age] = GHOST;
        else if (occupant === undefined || occupant === GHOST || occupant.iface !== iface) {
          entry[age] = { ip, iface, dev, mac: undefined, age };
          this.#join(entry, iface);
        }
      },
      onNeighbour: ({ ip, dev, mac }) => {
        const iface = this.#options.indexOf(dev);
        if (iface === undefined) return;
        const entry = this.#entries.get(ip);
        const claim: Claim = { ip, iface, dev, mac, age: 'fresh' };
        if (entry === undefined) {
          strayNeighbours.push(claim);
          return;
        }
        mark(entry);
        const at = entry.neighbour?.iface ?? entry.want?.iface ?? occupantIface(entry);
        if (at !== iface) {
          if (known(entry)) strayNeighbours.push(claim);
          return;
        }
        entry.seenNeighbour = true;
        if (known(entry) && entry.neighbour?.mac !== mac) entry.neighbour = claim;
      },
    });
    for (const entry of [...this.#entries.values()]) {
      if (!known(entry)) continue;
      mark(entry);
      if (!entry.seenFresh) entry.fresh = undefined;
      if (!entry.seenSettled) entry.settled = undefined;
      if (!entry.seenNeighbour) entry.neighbour = undefined;
      entry.doubtful = undefined;
      entry.routeEchoes = 0;
      entry.neighbourEchoes = 0;
      if (adopting) this.#keep(entry);
      this.#judge(entry);
    }
    for (const { ip, slot } of strayRoutes) {
      this.#submit([dropRouteCommand(ip, this.#options.protocol, slot)]);
    }
    for (const claim of strayNeighbours) this.#dropStray(claim);
    this.#pump();
  }

  #ageOf(table: number, metric: number): ClaimAge | undefined {
    const { fresh, settled } = this.#options;
    if (table === fresh.table && metric === fresh.metric) return 'fresh';
    return table === settled.table && metric === settled.metric ? 'settled' : undefined;
  }

  /** Wants what was found. Caught between the two ages it is settled: the fresh route is the one that was to go. */
  #keep(entry: Entry): void {
    for (const age of ['settled', 'fresh'] as const) {
      const occupant = entry[age];
      if (entry.want !== undefined || occupant === undefined || occupant === GHOST) continue;
      const mac = entry.neighbour?.iface === occupant.iface ? entry.neighbour.mac : undefined;
      entry.want = { ...occupant, mac, age };
    }
  }

  #judge(entry: Entry): void {
    const clash = entry.clash;
    entry.clash = false;
    const steps = planSteps(entry, this.#options.foreignNeighbour);
    if (steps.length === 0) return this.#settle(entry);
    if (clash && steps.some((step) => step.op === 'add-route')) {
      return this.#giveUp(entry, 'a route of another protocol with the same metric is in the way');
    }
    this.stats.repaired++;
    entry.retries = 0;
    this.#enqueue(entry, clash ? 'urgent' : 'bulk');
  }

  /** A neighbour entry of ours without a claim: a crash came between the two. */
  #dropStray(claim: Claim): void {
    const entry = this.#entry(claim.ip);
    if (entry.busy || entry.want?.iface === claim.iface) return;
    entry.doubtful = [...(entry.doubtful ?? []), claim];
    this.#join(entry, claim.iface);
    this.#enqueue(entry, 'bulk');
  }
}

function occupantIface(entry: Entry): IfIndex | undefined {
  const occupant = entry.settled ?? entry.fresh;
  return occupant === undefined || occupant === GHOST ? undefined : occupant.iface;
}

/** What a deletion may be told: it is as good as done. */
function isAbsent(refusal: string): boolean {
  return /No such process|No such file|does not exist|No such device|Cannot find device/.test(refusal);
}
