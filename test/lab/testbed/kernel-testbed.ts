// What the tests of the kernel testbed share: a watch and claims without a tracker, on two cables lan0 and lan1.

import assert from 'node:assert/strict';
import { KernelWatch } from '../../../src/kernel/watch/kernel-watch.js';
import { Claims } from '../../../src/kernel/claims/claims.js';
import type { ClaimAge, Event, Link } from '../../../src/mobility/events.js';
import { type Ip, type Ipv4, type Ipv6, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';
import { ip } from './private-net.js';

export const SETTLED_METRIC = 3523215362;
export const MAC = parseMac('02:00:0a:01:01:05') as Mac;
export const addr = (text: string) => parseIp(text) as Ip;
/** The n-th of the hosts that the tests make up. */
export const nth = (n: number) => ((addr('10.16.0.0') as Ipv4) + n) as Ipv4;
export const nth6 = (n: number) =>
  ((addr('2001:db8:1::') as Ipv6).slice(0, 12) +
    String.fromCharCode((n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255)) as Ipv6;
const FAMILIES = ['ipv4', 'ipv6'] as const;
export const soak = process.env.MARPD_SOAK === '1';

export const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
export const routes = (filter = 'proto 44') => lines(ip(`-o -N route show table all ${filter}`));
/** Our routes on a device. */
export const claimed = (dev: string) => routes().filter((line) => line.includes(`dev ${dev} `));
export const neighbours = () => lines(ip('-o -N neigh show nud permanent'));
export const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Two veth pairs with both ends here: lan0 and lan1, far0 and far1. */
export function layCables(): void {
  for (const n of [0, 1]) {
    ip(`link add lan${n} type veth peer name far${n}`);
    ip(`link set lan${n} up`);
    ip(`link set far${n} up`);
  }
  ip('addr add 10.2.0.1/24 dev lan0');
}

/** The watch and the claims together, as the daemon joins them, without a tracker. */
export class KernelTestbed {
  readonly events: Event[] = [];
  readonly warnings: string[] = [];
  readonly resyncs: string[] = [];
  readonly watch = new KernelWatch({
    families: FAMILIES,
    protocol: 44,
    watchTables: [254, 100],
    onEvent: (event) => {
      this.events.push(event);
      if (event.kind === 'link') this.claims.linkChanged(event.link);
      if (event.kind === 'link-gone') this.claims.linkGone(event.iface);
    },
    onBatchEnd: () => this.claims.flush(),
    onOwnRouteDeleted: (route) => this.claims.routeDeleted(route.prefix.ip, route),
    onOwnNeighbourDeleted: (ip, iface) => this.claims.neighbourDeleted(ip, iface),
    onResync: (reason) => {
      this.resyncs.push(reason);
      void this.claims.reconcile(reason);
    },
    onWarning: (message) => this.warnings.push(message),
  });
  readonly claims = new Claims({
    families: FAMILIES,
    protocol: 44,
    fresh: { table: 254, metric: 1 },
    settled: { table: 254, metric: SETTLED_METRIC },
    onEvent: (event) => this.events.push(event),
    onWarning: (message) => this.warnings.push(message),
    onDenied: (refusal) => this.warnings.push(refusal),
    indexOf: (dev) => this.watch.links.indexOf(dev),
    foreignNeighbour: (ip, dev) => this.watch.foreign.has(ip, this.watch.links.indexOf(dev) ?? -1),
    foreignMac: (ip, iface) => this.watch.foreign.macOf(ip, iface),
    look: (iface) => this.watch.look(iface),
  });

  static async open(): Promise<KernelTestbed> {
    const testbed = new KernelTestbed();
    await testbed.watch.start();
    return testbed;
  }

  link(name: string): Link {
    const link = [...this.watch.links.all()].find((known) => known.name === name);
    assert.ok(link !== undefined, `${name} is known`);
    return link;
  }

  want(address: Ip, dev: string, age: ClaimAge = 'fresh', mac: Mac = MAC): void {
    this.claims.want({ ip: address, iface: this.link(dev).index, dev, mac, age });
  }

  async done(): Promise<void> {
    this.claims.flush();
    await this.claims.idle();
  }

  count(kind: Event['kind']): number {
    return this.events.filter((event) => event.kind === kind).length;
  }

  async close(): Promise<void> {
    await this.claims.stop('withdraw');
    this.watch.stop();
    // (Only now, so that a failed test does not keep the process alive.)
    assert.deepEqual(routes(), []);
    assert.deepEqual(neighbours(), []);
  }
}
