import { existsSync } from 'node:fs';
import type { Child } from '../../system/child-watch.js';
import { type Family, type Ip, type Prefix, formatIp, formatPrefix } from '../../wire/addresses.js';
import { IpBatch } from '../ip/batch.js';
import { optionOf, readLines } from '../ip/exec.js';
import { toOutcome } from '../ip/executor.js';
import { numeral, parseRoute } from '../ip/parse-route.js';
import { TunnelError, createDevice, measure, readDevice, removeDevice, setDevice } from './device.js';
import { type Encapsulation, type Nexthop, isAsWanted, ownNexthop, parseNexthop } from './encapsulation.js';
import { type DumpedRoute, Mappings } from './mappings.js';

/**
 * The data plane of the mapping system: one VXLAN device without a peer of its own, one nexthop object for each RLOC and
 * family, which holds the encapsulation, and one route for each mapping. It compares what is wanted with what the kernel
 * has at the start, after a refusal or the loss of the device, and every minute.
 *
 * A route never leads into the device without an encapsulation: the kernel drops such packets and counts them nowhere.
 */

export interface TunnelOptions extends Encapsulation {
  /** Of the prefixes that are mapped; of others nothing is read. */
  readonly families: readonly Family[];
  /** Bytes of an inner packet; undefined: what the underlay leaves. */
  readonly mtu: number | undefined;
  /** Addresses that stand for the underlay until RLOCs are known: the map servers. */
  readonly servers: readonly Ip[];
  readonly onWarning: (kind: TunnelWarning, message: string) => void;
  readonly onInfo: (message: string) => void;
}

/**
 * loop: a mapping covers an RLOC, or an RLOC is only reached through the tunnel; no-rloc: we have no RLOC of that family;
 * device: it vanished or cannot be made; refused: the kernel refuses a route or nexthop.
 */
export type TunnelWarning = 'loop' | 'no-rloc' | 'device' | 'refused';

export interface TunnelStats {
  readonly wanted: number;
  readonly installed: number;
  /** Routes that the kernel refused since the last comparison. */
  readonly refused: number;
  /** Bytes of an inner packet. */
  readonly mtu: number;
  /** Times that the device had to be made again. */
  readonly recreated: number;
}

const RECONCILE_MS = 60_000;
/** How often it is looked whether the device is still there; a file of it, without a process. */
const LOOK_MS = 500;
/** After a refusal, doubled up to RECONCILE_MS until a comparison finds nothing wrong. */
const SOON_MS = 200;
const MOST_SAID = 1000;

export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #mappings: Mappings;
  #batch: IpBatch | undefined;
  #adopted: readonly { readonly prefix: Prefix; readonly rloc: Ip }[] = [];
  #slowly: NodeJS.Timeout | undefined;
  #look: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #soonMs = SOON_MS;
  #comparing: Promise<void> | undefined;
  #isStopped = false;
  #index: number | undefined;
  #mtu = 0;
  #recreated = 0;
  /** Warnings that were given; not again with each comparison. */
  readonly #said = new Set<string>();

  constructor(options: TunnelOptions) {
    this.#options = options;
    this.#mappings = new Mappings(options, (prefix, rloc, why) => {
      const mapping = `the mapping of ${formatPrefix(prefix)} to ${formatIp(rloc)} is not used`;
      const reason =
        why === 'loop'
          ? 'the prefix covers an RLOC, whose packets would be encapsulated again and again'
          : 'mapping.rloc names no address of that family';
      this.#warn(why, `${mapping}: ${reason}`);
    });
  }

  /**
   * Makes or finds the device, and adopts the routes of an earlier run: they stay until delete() or stop().
   * @throws TunnelError when the kernel has no such device or another program has its name or port
   */
  async start(): Promise<void> {
    await this.#checkDevice();
    this.#batch = new IpBatch({
      onWarning: (message) => this.#warn('refused', message),
      onDeath: () => this.#recheckSoon(),
    });
    await this.#compare(true);
    this.#adopted = [...this.#mappings.wanted()];
    this.flush();
    this.#slowly = setInterval(() => void this.reconcile(), RECONCILE_MS).unref();
    this.#look = setInterval(() => this.#lookForDevice(), LOOK_MS).unref();
  }

  /** The routes that start() found, for the mapping system to confirm or delete. */
  adopted(): readonly { readonly prefix: Prefix; readonly rloc: Ip }[] {
    return this.#adopted;
  }

  /** Sent by the next flush(). Host bits of the prefix are zero. An RLOC of ours means that there is no route. */
  set(prefix: Prefix, rloc: Ip): void {
    this.#mappings.want(prefix, rloc);
  }

  delete(prefix: Prefix): void {
    this.#mappings.want(prefix, undefined);
  }

  /** Sends what has changed since the last time, in one write. */
  flush(): void {
    this.#send();
  }

  /** @returns how many commands were sent */
  #send(): number {
    const batch = this.#batch;
    if (batch === undefined) return 0;
    const work = this.#mappings.takeWork();
    if (work.commands.length === 0) return 0;
    batch.submit(work.commands, (texts) => {
      const refusal = this.#mappings.note(work, texts.map(toOutcome));
      if (refusal !== undefined) {
        if (refusal.reason !== 'lost') this.#warn('refused', this.#explain(refusal.reason, refusal.message));
        this.#recheckSoon();
      }
      this.flush();
    });
    batch.flush();
    return work.commands.length;
  }

  /** Compares what is wanted with what the kernel has, and repairs the difference. Never rejects. */
  reconcile(): Promise<void> {
    this.#comparing ??= this.#reconcile().finally(() => {
      this.#comparing = undefined;
    });
    return this.#comparing;
  }

  /** Resolves when all that was set was carried out or refused. */
  idle(): Promise<void> {
    return this.#batch?.idle() ?? Promise.resolve();
  }

  stats(): TunnelStats {
    return { ...this.#mappings.stats(), mtu: this.#mtu, recreated: this.#recreated };
  }

  get children(): Child[] {
    return this.#batch?.children ?? [];
  }

  /** Leaves everything for the next start (`keep`), or nothing. Each route is deleted by itself, so that others see it. */
  async stop(keep: boolean): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#slowly);
    clearInterval(this.#look);
    clearTimeout(this.#soon);
    await this.#comparing;
    if (!keep) {
      this.#mappings.wantNothing();
      this.flush();
      await this.idle();
      const commands = this.#mappings.takeIdleNexthops(true);
      if (commands.length > 0) this.#batch?.submit(commands);
    }
    await this.#batch?.close();
    if (!keep && this.#index !== undefined) removeDevice(this.#options.device);
  }

  async #reconcile(): Promise<void> {
    if (this.#batch === undefined) return;
    try {
      if (await this.#checkDevice()) {
        // A device of that name has another index now, which the process has looked up only once.
        this.#batch.renew();
        this.#mappings.lost();
      }
      const isComplete = await this.#compare(false);
      const idle = this.#mappings.takeIdleNexthops();
      if (idle.length > 0) this.#batch.submit(idle);
      if (this.#isStopped) return;
      if (this.#send() === 0 && isComplete) this.#soonMs = SOON_MS;
      if (!isComplete) this.#recheckSoon();
    } catch (error) {
      this.#warn(error instanceof TunnelError ? 'device' : 'refused', (error as Error).message);
      this.#recheckSoon();
    }
  }

  /** @returns whether the device is another one than before; @throws TunnelError */
  async #checkDevice(): Promise<boolean> {
    const { device, families, mtu: fixed, servers, rlocs, onInfo } = this.#options;
    const known = [...new Set([...this.#mappings.rlocs(), ...servers])].filter((ip) => !rlocs.includes(ip));
    const { mtu: measured, looped } = await measure(this.#options, known);
    for (const rloc of looped)
      this.#warn('loop', `${formatIp(rloc)} is reached through ${device} alone: its packets are lost`);
    const mtu = fixed ?? measured;
    let found = await readDevice(this.#options);
    if (this.#isStopped) return false;
    if (found !== undefined && !found.isOurs)
      throw new TunnelError(
        `${device} is a device of somebody else: set [mapping] device to a name that nobody has`,
      );
    if (found?.isAsWanted === false) {
      onInfo(`${device} is made anew: the configuration has changed`);
      removeDevice(device);
      found = undefined;
    }
    if (found === undefined) {
      if (this.#index !== undefined) {
        this.#recreated++;
        this.#options.onWarning('device', `${device} has vanished and is made anew`);
      }
      const needsIpv6 = families.includes('ipv6') || rlocs.some((rloc) => typeof rloc === 'string');
      createDevice(this.#options, mtu, needsIpv6);
      found = await readDevice(this.#options);
    } else {
      if (found.mtu !== mtu) setDevice(device, `mtu ${mtu}`);
      // The kernel has deleted its nexthops, and their routes.
      if (!found.up) setDevice(device, 'up');
    }
    this.#mtu = mtu;
    const isOther = found?.index !== this.#index || found?.up === false;
    this.#index = found?.index;
    return isOther;
  }

  async #compare(adopt: boolean): Promise<boolean> {
    const { protocol, table, metric, families } = this.#options;
    const begunAt = this.#mappings.clock;
    const nexthops: { nexthop: Nexthop; isAsWanted: boolean }[] = [];
    const taken = new Set<number>();
    await readLines('ip', ['-o', '-N', 'nexthop', 'show'], (text) => {
      const line = parseNexthop(text);
      if (line === undefined) return;
      const nexthop = ownNexthop(line, this.#options);
      if (nexthop === undefined) taken.add(line.id);
      else nexthops.push({ nexthop, isAsWanted: isAsWanted(line, nexthop, this.#options) });
    });
    const routes: DumpedRoute[] = [];
    for (const family of families) {
      const args = ['-o', '-d', '-N', optionOf(family), 'route', 'show', 'table', String(table)];
      args.push('proto', String(protocol));
      const take = (text: string) => {
        const line = parseRoute(text, false, { table, protocol });
        if (line?.metric !== metric) return;
        const id = numeral(/ nhid (\d+)/.exec(text)?.[1]);
        routes.push({ prefix: line.prefix, nexthopId: Number.isNaN(id) ? undefined : id });
      };
      await readLines('ip', args, take).catch((error: Error) => {
        if (!/does not exist|not supported/.test(error.message)) throw error;
      });
    }
    return this.#mappings.compare(begunAt, nexthops, routes, taken, adopt);
  }

  #lookForDevice(): void {
    // Of the network namespace of this process, whichever sysfs is mounted.
    if (!existsSync(`/proc/sys/net/ipv4/conf/${this.#options.device}`)) this.#recheckSoon();
  }

  #recheckSoon(): void {
    if (this.#isStopped || this.#soon !== undefined) return;
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      void this.reconcile();
    }, this.#soonMs).unref();
    this.#soonMs = Math.min(2 * this.#soonMs, RECONCILE_MS);
  }

  #explain(reason: string, message: string): string {
    const { table, metric } = this.#options;
    if (reason !== 'exists') return `the kernel refuses a mapping: ${message}`;
    return `a route of another program with metric ${metric} in table ${table} is in the way of a mapping; set [mapping] metric to another number`;
  }

  #warn(kind: TunnelWarning, message: string): void {
    if (this.#said.has(message)) return;
    if (this.#said.size >= MOST_SAID) this.#said.clear();
    this.#said.add(message);
    this.#options.onWarning(kind, message);
  }
}
