import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, describe, it } from 'node:test';
import { explain } from '../../../src/cli/explain.js';
import { configForInterfaces, parseConfig } from '../../../src/config/config.js';
import type { Action, Event } from '../../../src/mobility/events.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import { parseLink } from '../../../src/replay/foreign/assumptions.js';
import { type Ipv4, MAC_BROADCAST, MAC_ZERO, type Mac, parseMac } from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp } from '../../../src/wire/arp.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../../src/wire/pcap/pcapng.js';
import { seeded } from '../../random.js';
import { ip } from '../mobility/small-router.js';

/** Captures of a router with marpd, of which `explain` finds MAC and address by itself. */

const START_NS = 1_796_000_000_000_000_000n;
const LINKS = [
  'lan0,02:aa:00:00:00:00,10.1.1.1/24',
  'lan1,02:aa:00:00:00:01,10.2.2.1/24',
  'lan2,02:aa:00:00:00:02,10.3.3.1/24',
];
const LANS = ['lan0', 'lan1', 'lan2'];
/** VLANs of one device have one MAC. */
const VLANS = LINKS.map((text) => text.replace(/:0\d,/, ':00,'));
const SUBNETS = [1, 2, 3]
  .map((n) => `[[subnet]]\nprefix = "10.${n}.${n}.0/24"\ngateway = "10.${n}.${n}.1"\n`)
  .join('');
const CONFIG = `[[interface]]\nname = "lan*"\n${SUBNETS}`;

const ROUTER_MACS = LINKS.map((text) => parseMac(text.split(',')[1] as string) as Mac);

interface Guest {
  readonly mac: Mac;
  readonly address: string;
  /** undefined: it is switched off. */
  lan: string | undefined;
}

/** LANs with marpd, of its real decisions, and hosts that answer. */
class Site {
  now = 1000;
  readonly frames: { readonly ms: number; readonly on: string; readonly bytes: Uint8Array }[] = [];
  private readonly guests: Guest[] = [];
  private readonly links;
  private readonly tracker: HostTracker;
  private readonly due: { readonly at: number; readonly run: () => void }[] = [];

  constructor(links = LINKS, config?: string) {
    this.links = links.map((text, at) => {
      const link = parseLink(at + 10, text);
      if (typeof link === 'string') throw new Error(link);
      return link;
    });
    const { policy } =
      config === undefined ? configForInterfaces(this.links.map(({ name }) => name)) : parseConfig(config);
    this.tracker = new HostTracker(policy);
    for (const link of this.links) this.handle({ kind: 'link', link });
    for (const { index } of this.links) this.handle({ kind: 'capture', iface: index, open: true });
  }

  guest(address: string, lan?: string): Guest {
    const mac = (0x0200_0000_0000 + ip(address)) as Mac;
    const guest = { mac, address, lan };
    this.guests.push(guest);
    return guest;
  }

  wait(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.due.sort((a, b) => a.at - b.at);
      const at = Math.min(this.due[0]?.at ?? end, this.tracker.nextDeadline() ?? end, end);
      this.now = Math.max(this.now, at);
      if (this.due[0] !== undefined && this.due[0].at <= this.now) this.due.shift()?.run();
      else if (at === end) break;
      else this.handle({ kind: 'tick' });
    }
  }

  gratuitous(guest: Guest): void {
    this.asks(guest, guest.address);
  }

  /** Its kernel answers as well when the address is the router's own there. */
  asks(guest: Guest, target: string, to = MAC_BROADCAST): void {
    this.hear(guest, to, ARP_REQUEST, MAC_ZERO, target);
    const { lan } = guest;
    const link = this.links.find(({ name }) => name === lan);
    if (link?.addresses.some((address) => address.ip === ip(target)))
      this.see(link.name, link.mac, guest.mac, ARP_REPLY, target, guest.mac, guest.address);
    this.wait(5);
  }

  /** What the kernel of a box does. */
  see(on: string, mac: Mac, to: Mac, opcode: 1 | 2, sender: string, targetMac: Mac, target: string): void {
    const pair = { senderMac: mac, senderIp: ip(sender), targetMac, targetIp: ip(target) };
    this.frames.push({
      ms: this.now,
      on,
      bytes: encodeArp({ destination: to, source: mac, opcode, ...pair }),
    });
  }

  private hear(guest: Guest, to: Mac, opcode: 1 | 2, targetMac: Mac, target: string): void {
    const { lan, mac, address } = guest;
    if (lan === undefined) return;
    this.see(lan, mac, to, opcode, address, targetMac, target);
    const iface = this.links.find(({ name }) => name === lan)?.index;
    const bytes = this.frames.at(-1)?.bytes as Uint8Array;
    if (iface !== undefined) this.handle({ kind: 'frame', iface, bytes });
  }

  private handle(event: Event): void {
    for (const action of this.tracker.handle(event, this.now)) this.carryOut(action);
  }

  private carryOut(action: Action): void {
    if (action.kind === 'claim') {
      const { ip: address, age } = action;
      this.later(1, () => this.handle({ kind: 'installed', ip: address, age }));
    } else if (action.kind === 'send') {
      const on = this.tracker.link(action.iface)?.name as string;
      this.frames.push({ ms: this.now, on, bytes: action.bytes });
      const arp = decodeArp(action.bytes);
      if (typeof arp === 'string' || arp.opcode !== ARP_REQUEST || arp.senderIp === arp.targetIp) return;
      for (const guest of this.guests)
        if (guest.lan === on && ip(guest.address) === arp.targetIp && accepts(arp.destination, guest.mac))
          this.later(0.3, () => this.hear(guest, arp.source, ARP_REPLY, arp.senderMac, textOf(arp.senderIp)));
    }
  }

  private later(ms: number, run: () => void): void {
    this.due.push({ at: this.now + ms, run });
  }

  /** What `explain` says of the captures of some LANs: what it assumes, and its last lines. */
  async told(t: TestContext, lans: readonly string[], config?: string, links?: readonly string[]) {
    const folder = mkdtempSync(join(tmpdir(), 'marpd-search-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const files = lans.map((name) => {
      const path = join(folder, `${name}.pcapng`);
      const packets = this.frames
        .filter(({ on }) => on === name)
        .map(({ ms, bytes }) =>
          enhancedPacket({ interface: 0, timeNs: START_NS + BigInt(Math.round(ms * 1e6)), bytes }),
        );
      writeFileSync(
        path,
        Buffer.concat([sectionHeader({ application: 'test' }), interfaceDescription({ name }), ...packets]),
      );
      return path;
    });
    const path = join(folder, 'marpd.toml');
    if (config !== undefined) writeFileSync(path, config);
    const said = { out: '', err: '' };
    await explain(
      files,
      { config: config === undefined ? undefined : path, links },
      {
        out: (text) => {
          said.out += text;
        },
        err: (text) => {
          said.err += text;
        },
        stdin: Readable.from([]),
        version: '0',
      },
    );
    const found = [...said.err.matchAll(/^assumed: --link (.*)$/gm)].map(([, text]) => text);
    const [, predicted, others] = /(\d+) frames sent as predicted, (\d+) not/.exec(said.err) ?? [];
    return { ...said, found, predicted: Number(predicted), others: Number(others) };
  }
}

const accepts = (to: Mac, own: Mac) => to === MAC_BROADCAST || to === own;
const textOf = (address: Ipv4) => [24, 16, 8, 0].map((bits) => (address >>> bits) & 255).join('.');
const WRONG =
  /almost nothing was predicted: the assumed links are probably wrong; name them with --link \(see ip -br link, ip -br addr\)\n$/;

/** A host that goes from LAN to LAN and home again, as in the lab. */
function tour(site: Site, speak: (guest: Guest) => void): void {
  const guest = site.guest('10.1.1.5');
  for (const lan of ['lan1', 'lan2', 'lan1', 'lan0', 'lan2']) {
    guest.lan = lan;
    speak(guest);
    site.wait(3000);
  }
}

describe('the router, found in captures of a router that runs marpd', () => {
  for (const [how, speak] of [
    ['asks for its gateway', (site: Site, guest: Guest) => site.asks(guest, '10.1.1.1')],
    ['announces itself', (site: Site, guest: Guest) => site.gratuitous(guest)],
  ] as const)
    for (const config of [undefined, CONFIG])
      for (const links of [LINKS, VLANS])
        it(`on three LANs with a host that ${how}${config ? ', with [[subnet]]' : ''}${links === VLANS ? ', on VLANs' : ''}`, async (t) => {
          const site = new Site(links, config);
          tour(site, (guest) => speak(site, guest));
          const { err, predicted, found } = await site.told(t, LANS, config);
          assert.deepEqual(
            found.map((text) => text?.split(',').slice(0, 2)),
            links.map((text) => text.split(',').slice(0, 2)),
            err,
          );
          assert.match(found[0] ?? '', /,10\.1\.1\.1\/24$/);
          for (const other of found.slice(1)) assert.doesNotMatch(other ?? '', /10\.1\.1\./, err);
          const known = await site.told(t, LANS, config, links);
          assert.ok(predicted > 10 && predicted === known.predicted, `${err}${known.err}`);
          assert.doesNotMatch(err, WRONG);
        });

  it('on the one LAN that was captured, which the host visits', async (t) => {
    for (const speak of [
      (site: Site, guest: Guest) => site.asks(guest, '10.1.1.1'),
      (site: Site, guest: Guest) => site.gratuitous(guest),
    ])
      for (const config of [undefined, CONFIG]) {
        const site = new Site(LINKS, config);
        const guest = site.guest('10.1.1.5', 'lan1');
        speak(site, guest);
        site.wait(20_000);
        const { err, found, predicted, others } = await site.told(t, ['lan1'], config);
        assert.match(found[0] ?? '', /^lan1,02:aa:00:00:00:01(,10\.2\.2\.1\/24)?$/, err);
        assert.equal(found.length, config === undefined ? 2 : 1, err);
        assert.ok(predicted > 3 && others <= 1, err);
      }
  });

  it('among hosts at home that ask each other and their gateway, with a popular server', async (t) => {
    const site = new Site();
    const server = site.guest('10.1.1.100', 'lan0');
    const others = [6, 7, 8].map((n) => site.guest(`10.1.1.${n}`, 'lan0'));
    const there = [20, 21].map((n) => site.guest(`10.2.2.${n}`, 'lan1'));
    site.gratuitous(server);
    for (const each of others) {
      site.asks(each, server.address);
      site.see('lan0', server.mac, each.mac, ARP_REPLY, server.address, each.mac, each.address);
      site.asks(each, '10.1.1.1');
    }
    for (const each of there) site.asks(each, '10.2.2.1');
    // Kernels ask now and then whether a neighbour is still there.
    for (const each of others) site.asks(each, '10.1.1.1', ROUTER_MACS[0]);
    tour(site, (guest) => site.asks(guest, '10.1.1.1'));
    const { err, found, predicted } = await site.told(t, LANS);
    assert.deepEqual(found, LINKS, err);
    assert.equal(predicted, (await site.told(t, LANS, undefined, LINKS)).predicted, err);
  });

  it('with a forger that announces and answers as the host', async (t) => {
    const site = new Site();
    const guest = site.guest('10.1.1.5', 'lan1');
    site.asks(guest, '10.1.1.1');
    site.wait(3000);
    const forger = { ...site.guest('10.1.1.5', 'lan2'), mac: 0x0200_0000_0066 as Mac };
    for (let n = 0; n < 3; n++) {
      site.gratuitous(forger);
      site.wait(2000);
    }
    const { err, found } = await site.told(t, ['lan1', 'lan2']);
    assert.match(found[0] ?? '', /^lan1,02:aa:00:00:00:01,10\.2\.2\.1/, err);
    assert.match(found[1] ?? '', /^lan2,02:aa:00:00:00:02/, err);
  });

  it('on a LAN that has a second router', async (t) => {
    const site = new Site();
    const second = 0x02bb_0000_0001 as Mac;
    const residents = [20, 21, 22].map((n) => site.guest(`10.2.2.${n}`, 'lan1'));
    for (const each of residents) {
      site.asks(each, '10.2.2.254');
      site.see('lan1', second, each.mac, ARP_REPLY, '10.2.2.254', each.mac, each.address);
      site.see('lan1', second, each.mac, ARP_REQUEST, '10.2.2.254', MAC_ZERO, each.address);
      site.see('lan1', each.mac, second, ARP_REPLY, each.address, second, '10.2.2.254');
    }
    tour(site, (guest) => site.asks(guest, '10.1.1.1'));
    const { err, found } = await site.told(t, LANS);
    assert.deepEqual(found, LINKS, err);
  });
});

it('of random sites nineteen in twenty are explained as with the links that are right', async (t) => {
  const random = seeded();
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  const wrong: string[] = [];
  for (let round = 0; round < 60; round++) {
    const links = pick([LINKS, VLANS]);
    const config = pick([undefined, CONFIG]);
    const site = new Site(links, config);
    const guests = Array.from({ length: 1 + Math.floor(random() * 6) }, (_, i) => {
      const home = pick([1, 2, 3]);
      return site.guest(`10.${home}.${home}.${5 + i}`, pick(LANS));
    });
    for (let step = 3 + Math.floor(random() * 20); step > 0; step--) {
      const guest = pick(guests);
      if (random() < 0.4) guest.lan = pick(LANS);
      const gateway = guest.address.replace(/\d+$/, '1');
      pick([
        () => site.gratuitous(guest),
        () => site.asks(guest, gateway),
        () => site.asks(guest, pick(guests).address),
        () => site.asks(guest, gateway, ROUTER_MACS[LANS.indexOf(guest.lan as string)]),
      ])();
      site.wait(random() * 3000);
    }
    const { err, predicted } = await site.told(t, LANS, config);
    const known = await site.told(t, LANS, config, links);
    if (predicted < 0.8 * known.predicted - 1) wrong.push(`${err}known: ${known.err}`);
  }
  assert.ok(wrong.length <= 3, wrong.join('\n'));
});

describe('the router, found in captures of a box without marpd', () => {
  it('on a LAN with one host, though each asks whether the other is still there', async (t) => {
    const router = ROUTER_MACS[0] as Mac;
    const isSeen = (site: Site, guest: Guest) => {
      site.see('lan0', guest.mac, router, ARP_REQUEST, guest.address, MAC_ZERO, '10.1.1.1');
      site.see('lan0', router, guest.mac, ARP_REPLY, '10.1.1.1', guest.mac, guest.address);
      site.see('lan0', router, guest.mac, ARP_REQUEST, '10.1.1.1', MAC_ZERO, guest.address);
      site.see('lan0', guest.mac, router, ARP_REPLY, guest.address, router, '10.1.1.1');
    };
    for (const asker of ['host', 'router', 'nobody']) {
      const site = new Site([], CONFIG);
      const guest = site.guest('10.1.1.9', 'lan0');
      if (asker === 'host')
        site.see('lan0', guest.mac, MAC_BROADCAST, ARP_REQUEST, guest.address, MAC_ZERO, '10.1.1.1');
      if (asker === 'router')
        site.see('lan0', router, MAC_BROADCAST, ARP_REQUEST, '10.1.1.1', MAC_ZERO, guest.address);
      isSeen(site, guest);
      const { err, found } = await site.told(t, ['lan0']);
      assert.deepEqual(found, LINKS.slice(0, 1), `${asker}: ${err}`);
    }
  });

  it('gratuitous ARP is no answer: a LAN where nothing else is said has no router', async (t) => {
    const site = new Site([], CONFIG);
    site.gratuitous(site.guest('10.1.1.5', 'lan0'));
    site.gratuitous(site.guest('10.1.1.1', 'lan0'));
    await assert.rejects(site.told(t, ['lan0']), /name the router with --link/);
  });
});

describe('explain with links that it assumed', () => {
  it('says as its last line that they are probably wrong when almost nothing was predicted', async (t) => {
    const site = new Site([], CONFIG);
    const [one, other] = [site.guest('10.9.9.7', 'lan0'), site.guest('10.9.9.8', 'lan0')];
    for (let n = 0; n < 30; n++) {
      site.see('lan0', one.mac, other.mac, ARP_REQUEST, one.address, MAC_ZERO, other.address);
      site.see('lan0', other.mac, one.mac, ARP_REPLY, other.address, one.mac, one.address);
    }
    assert.match((await site.told(t, ['lan0'])).err, WRONG);
    const links = ['lan0,02:00:0a:09:09:07,10.9.9.7/24'];
    assert.doesNotMatch((await site.told(t, ['lan0'], undefined, links)).err, WRONG);
  });
});
