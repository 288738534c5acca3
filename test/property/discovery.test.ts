import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, IfIndex, Link } from '../../src/mobility/events.js';
import type { Policy } from '../../src/mobility/policy.js';
import {
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  type Mac,
  type Prefix,
  parseIp,
  parsePrefix,
} from '../../src/wire/addresses.js';
import { ARP_REPLY, decodeArp, encodeArp } from '../../src/wire/arp.js';
import { Driver, IPS, LAN0, LAN1, MACS, OUR_MAC, hostRoute, link, testPolicy } from './driver.js';

/** Silent hosts of a subnet are looked for, at a pace that a LAN does not feel (RFC 7814, host discovery). */

const SILENT = IPS[0] as Ipv4;
const HOST = MACS[0] as Mac;
const SUBNET = parsePrefix('10.1.1.0/24') as Prefix;

class Site extends Driver {
  readonly asked: { readonly at: number; readonly iface: IfIndex; readonly ip: Ip }[] = [];
  readonly replies: string[] = [];

  constructor(change: (policy: Policy) => Policy = (same) => same) {
    super(testPolicy({ learn: 'all' }, change));
    const handle = this.router.handle.bind(this.router);
    this.router.handle = (event, now) => {
      const actions = handle(event, now);
      for (const action of actions) this.#look(action, now);
      return actions;
    };
    this.boot();
  }

  #look(action: Action, at: number): void {
    if (action.kind === 'reply') this.replies.push(`${action.ok} ${action.message}`);
    const frame = action.kind === 'send' ? decodeArp(action.bytes) : 'none';
    if (action.kind !== 'send' || typeof frame === 'string' || frame.destination !== MAC_BROADCAST) return;
    this.asked.push({ at, iface: action.iface, ip: frame.targetIp });
  }

  discover(prefix: Prefix = SUBNET): void {
    this.handle({ kind: 'command', token: 1, command: { name: 'discover', prefix } });
  }
}

describe('discover', () => {
  it('finds a silent host, which is proven like any other', () => {
    const site = new Site();
    site.setAnswering(SILENT, HOST, LAN0, true);
    site.discover();
    assert.match(site.replies.join(), /^true asking for 256 addresses on lan0, 6 s at most$/);
    site.advance(200);
    assert.equal(site.router.host(SILENT)?.state, 'fresh');
  });

  it('asks for each address twice, 100 a second, but not for edges, our own and those that are known', () => {
    const site = new Site();
    const elsewhere = parseIp('10.1.1.77') as Ipv4;
    site.handle({ kind: 'route', change: 'add', route: hostRoute(elsewhere), initial: false });
    site.setAnswering(SILENT, HOST, LAN0, true);
    site.discover();
    site.advance(10_000);
    const times = new Map<Ip, number>();
    for (const { ip, iface } of site.asked) {
      assert.equal(iface, LAN0);
      times.set(ip, (times.get(ip) ?? 0) + 1);
    }
    assert.equal(times.get(SILENT), 1, 'it has answered');
    for (const one of ['10.1.1.0', '10.1.1.1', '10.1.1.255', '10.1.1.77'])
      assert.equal(times.get(parseIp(one) as Ipv4), undefined, one);
    assert.equal(times.size, 256 - 4);
    assert.equal(site.asked.length, 2 * (256 - 4) - 1);
    for (const { at } of site.asked)
      assert.ok(site.asked.filter((one) => one.at >= at && one.at < at + 1000).length <= 101);
    const count = site.asked.length;
    site.advance(60_000);
    assert.equal(site.asked.length, count, 'and then no more');
  });

  it('asks a single address a second time, after a second: a frame may be lost', () => {
    const site = new Site();
    site.discover(parsePrefix('10.1.1.5/32') as Prefix);
    site.advance(900);
    assert.equal(site.asked.length, 1);
    site.setAnswering(SILENT, HOST, LAN0, true);
    site.advance(200);
    assert.equal(site.router.host(SILENT)?.state, 'fresh');
  });

  it('believes no router that answers for all (proxy ARP)', () => {
    const site = new Site();
    const handle = site.router.handle.bind(site.router);
    const router = 0x020000000066 as Mac;
    const pending: Uint8Array[] = [];
    site.router.handle = (event, now) => {
      const actions = handle(event, now);
      for (const action of actions) {
        const frame = action.kind === 'send' ? decodeArp(action.bytes) : 'none';
        if (typeof frame === 'string' || frame.senderIp === 0) continue;
        const macs = { destination: OUR_MAC[LAN0] as Mac, source: router, senderMac: router };
        const ips = { senderIp: frame.targetIp, targetIp: frame.senderIp };
        pending.push(encodeArp({ ...macs, ...ips, opcode: ARP_REPLY, targetMac: OUR_MAC[LAN0] as Mac }));
      }
      return actions;
    };
    site.discover();
    for (let i = 0; i < 4000; i++) {
      for (const bytes of pending.splice(0)) site.handle({ kind: 'frame', iface: LAN0, bytes });
      site.advance(2);
    }
    assert.deepEqual(
      [...site.router.hosts()].filter(([, host]) => host.held),
      [],
    );
  });

  it('refuses what is on no LAN, and what is too much', () => {
    const site = new Site();
    site.discover(parsePrefix('10.9.9.0/24') as Prefix);
    assert.match(site.replies[0] ?? '', /^false 10\.9\.9\.0\/24 is in no subnet of a mobility interface/);
    site.handle({ kind: 'link', link: link(LAN1, { addresses: [parsePrefix('10.128.0.1/9') as Prefix] }) });
    site.discover(parsePrefix('10.0.0.0/8') as Prefix);
    assert.match(site.replies[1] ?? '', /^false 10\.0\.0\.0\/8 has 8388864 addresses .*, more than 65536$/);
    site.advance(3000);
    assert.equal(site.asked.length, 0);
  });

  it('waits while nothing can be heard, and ends with the interface', () => {
    const site = new Site();
    site.handle({ kind: 'capture', iface: LAN0, open: false });
    site.discover();
    site.advance(5000);
    assert.equal(site.asked.length, 0);
    site.handle({ kind: 'capture', iface: LAN0, open: true });
    site.advance(2000);
    const count = site.asked.length;
    assert.ok(count > 50);
    site.handle({ kind: 'link-gone', iface: LAN0 });
    site.advance(5000);
    assert.equal(site.asked.length, count);
    assert.equal(site.router.nextDeadline(), undefined);
  });
});

describe('[[subnet]] discover', () => {
  const wanted = (policy: Policy): Policy => ({
    ...policy,
    subnets: policy.subnets.map((subnet) => ({ ...subnet, discover: subnet.prefix.ip === SUBNET.ip })),
  });

  it('sweeps the LANs of the subnet when they come up, not more often than once a minute', () => {
    const site = new Site(wanted);
    site.advance(10_000);
    const once = site.asked.length;
    assert.ok(once >= 500 && site.asked.every(({ iface }) => iface === LAN0));
    const flap = (change: Partial<Link>) => site.handle({ kind: 'link', link: link(LAN0, change) });
    flap({ carrier: false });
    flap({});
    site.advance(10_000);
    assert.equal(site.asked.length, once);
    site.advance(60_000);
    flap({ carrier: false });
    flap({});
    site.advance(10_000);
    assert.equal(site.asked.length, 2 * once);
  });
});
