import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ETHER_TYPE_IPV4 } from '../../src/wire/ethernet.js';
import { type Ipv4, type Mac, parseIp, writeIpv4, writeMac } from '../../src/wire/addresses.js';
import { decodeArp } from '../../src/wire/arp.js';
import type { Action, IfIndex } from '../../src/mobility/events.js';
import type { LearnRule } from '../../src/mobility/policy.js';
import { Driver, IPS, LAN0, LAN1, MACS, OUR_MAC, testPolicy } from './driver.js';
import { runStep } from './steps.js';

/** A host has come home and sends to its neighbours by way of a MAC that is not theirs (design.md 3.2, stale neighbours). */

const [GUEST, NEIGHBOUR] = IPS as unknown as readonly [Ipv4, Ipv4];
const [ONE, TWO] = MACS as unknown as readonly [Mac, Mac];
const STALE = 0x025a1e000001 as Mac;
const SILENT = parseIp('10.1.1.77') as Ipv4;

type Send = Extract<Action, { kind: 'send' }>;

class Homecoming extends Driver {
  readonly sends: Send[] = [];
  /** Interfaces on which packets of this MAC are looked at. */
  readonly watched = new Map<Mac, IfIndex[]>();

  constructor(learn: LearnRule = 'foreign') {
    super(testPolicy({ learn }));
    const handle = this.router.handle.bind(this.router);
    this.router.handle = (event, now) => {
      const actions = handle(event, now);
      this.sends.push(...actions.filter((action) => action.kind === 'send'));
      for (const action of actions) if (action.kind === 'watch-misdirected') this.#watch(action);
      return actions;
    };
    this.boot();
    runStep(this, { do: 'plug', iface: LAN0, ip: NEIGHBOUR, mac: TWO });
    for (const iface of [LAN0, LAN1, LAN0]) {
      runStep(this, { do: 'plug', iface, ip: GUEST, mac: ONE });
      this.advance(iface === LAN1 ? 5000 : 100);
    }
    this.sends.length = 0;
  }

  #watch({ iface, mac, watch }: Extract<Action, { kind: 'watch-misdirected' }>): void {
    const others = (this.watched.get(mac) ?? []).filter((index) => index !== iface);
    this.watched.set(mac, watch ? [...others, iface] : others);
  }

  /** An IPv4 packet of the guest on its home LAN. */
  misdirected(by: Mac, to: Ipv4, from: Ipv4 = GUEST, source: Mac = ONE): void {
    const bytes = new Uint8Array(34);
    writeMac(bytes, 0, by);
    writeMac(bytes, 6, source);
    bytes.set([ETHER_TYPE_IPV4 >> 8, ETHER_TYPE_IPV4 & 255, 0x45], 12);
    writeIpv4(bytes, 26, from);
    writeIpv4(bytes, 30, to);
    this.handle({ kind: 'misdirected-packet', iface: LAN0, bytes });
  }

  /** What was sent about this address, of the kind. */
  about(ip: Ipv4, purpose: Send['purpose']) {
    return this.sends.flatMap(({ purpose: its, bytes }) => {
      const frame = decodeArp(bytes);
      const matches = typeof frame !== 'string' && (frame.senderIp === ip || frame.targetIp === ip);
      return its === purpose && matches ? [frame] : [];
    });
  }
}

describe('the neighbours of a host that has come home', () => {
  it('are asked where they are, and the host alone is told what they answer', () => {
    const world = new Homecoming();
    world.misdirected(STALE, NEIGHBOUR);
    assert.equal(world.about(NEIGHBOUR, 'probe').length, 1, 'asked');
    assert.deepEqual(world.about(NEIGHBOUR, 'repair'), [], 'nothing is said before it answers');
    world.advance(5);
    const [told, ...more] = world.about(NEIGHBOUR, 'repair');
    assert.deepEqual(more, []);
    assert.deepEqual(
      [told?.destination, told?.source, told?.senderMac, told?.senderIp, told?.targetIp],
      [ONE, OUR_MAC[LAN0], TWO, NEIGHBOUR, GUEST],
    );
  });

  it('are asked once a second at most, however many packets there are', () => {
    const world = new Homecoming();
    for (let i = 0; i < 100; i++) world.misdirected(STALE, NEIGHBOUR);
    world.advance(500);
    for (let i = 0; i < 100; i++) world.misdirected(STALE, NEIGHBOUR);
    world.advance(5);
    assert.equal(world.about(NEIGHBOUR, 'repair').length, 1);
  });

  it('are left in peace when the host knows them right', () => {
    const world = new Homecoming();
    world.misdirected(TWO, NEIGHBOUR);
    world.advance(1000);
    assert.deepEqual(world.about(NEIGHBOUR, 'repair'), []);
  });

  it('that do not answer are not spoken for', () => {
    const world = new Homecoming();
    world.setAnswering(NEIGHBOUR, TWO, LAN0, false);
    world.misdirected(STALE, NEIGHBOUR);
    world.misdirected(STALE, SILENT);
    world.advance(3000);
    assert.deepEqual(world.about(NEIGHBOUR, 'repair'), []);
    assert.deepEqual(world.about(SILENT, 'repair'), []);
    assert.equal(world.router.host(SILENT), undefined, 'and not remembered');
  });

  it('are still asked for half a minute later, and no more after a minute', () => {
    const world = new Homecoming();
    world.advance(5000);
    assert.equal(world.router.host(GUEST)?.state, 'home');
    assert.deepEqual(world.watched.get(ONE), [LAN0]);
    world.advance(25_000);
    world.misdirected(STALE, NEIGHBOUR);
    world.advance(5);
    assert.equal(world.about(NEIGHBOUR, 'repair').length, 1);
    world.advance(40_000);
    assert.deepEqual(world.watched.get(ONE), []);
    world.sends.length = 0;
    world.misdirected(STALE, NEIGHBOUR);
    world.advance(5);
    assert.deepEqual(world.about(NEIGHBOUR, 'repair'), []);
  });

  it('that were forgotten are asked for again', () => {
    const world = new Homecoming();
    world.setAnswering(NEIGHBOUR, TWO, LAN0, false);
    for (const token of [1, 2]) {
      world.handle({ kind: 'command', token, command: { name: 'clear', ip: NEIGHBOUR } });
      world.advance(2000);
    }
    assert.equal(world.router.host(NEIGHBOUR), undefined);
    world.setAnswering(NEIGHBOUR, TWO, LAN0, true);
    world.sends.length = 0;
    world.misdirected(STALE, NEIGHBOUR);
    world.advance(5);
    assert.equal(world.about(NEIGHBOUR, 'repair')[0]?.senderMac, TWO);
  });

  it('are no business of a stranger who uses the address, nor of a host that never left', () => {
    const world = new Homecoming();
    world.misdirected(STALE, NEIGHBOUR, GUEST, STALE);
    world.misdirected(STALE, GUEST, NEIGHBOUR, TWO);
    world.advance(1000);
    assert.deepEqual(world.about(NEIGHBOUR, 'repair'), []);
    assert.deepEqual(world.about(GUEST, 'repair'), []);
  });

  it('may be sought by way of a MAC that is ours, but on another LAN', () => {
    const world = new Homecoming();
    world.misdirected(OUR_MAC[LAN0] as Mac, NEIGHBOUR);
    world.advance(10);
    assert.deepEqual(world.about(NEIGHBOUR, 'repair'), []);
    world.misdirected(OUR_MAC[LAN1] as Mac, NEIGHBOUR);
    world.advance(10);
    assert.equal(world.about(NEIGHBOUR, 'repair').length, 1);
  });
});

describe('the neighbours of a host that has come to their LAN', () => {
  const repairs = (world: Homecoming, ip: Ipv4) =>
    world
      .about(ip, 'repair')
      .map(({ destination, senderMac, targetIp }) => [destination, senderMac, targetIp]);

  it('are asked for as well where all hosts have a claim (RFC 7814)', () => {
    const world = new Homecoming('all');
    world.misdirected(STALE, NEIGHBOUR);
    world.advance(5);
    assert.deepEqual(repairs(world, NEIGHBOUR), [[ONE, TWO, GUEST]]);
    world.advance(60_000);
    world.sends.length = 0;
    world.misdirected(TWO, NEIGHBOUR);
    world.advance(5);
    assert.deepEqual(
      world.about(NEIGHBOUR, 'probe'),
      [],
      'what neighbours say to each other is none of our business',
    );
    world.misdirected(STALE, NEIGHBOUR);
    world.advance(5);
    assert.deepEqual(repairs(world, NEIGHBOUR), [[ONE, TWO, GUEST]], 'at any time');
  });

  it('a silent one is found by that', () => {
    const world = new Homecoming('all');
    world.setAnswering(SILENT, MACS[2] as Mac, LAN0, true);
    world.misdirected(STALE, SILENT);
    world.advance(5);
    assert.deepEqual(repairs(world, SILENT), [[ONE, MACS[2], GUEST]]);
    assert.ok(world.router.host(SILENT)?.claimed);
  });

  it('visitors of one subnet on a LAN of another one are told of each other', () => {
    const [, , , , V, W] = IPS as unknown as readonly Ipv4[];
    const world = new Homecoming();
    runStep(world, { do: 'plug', iface: LAN0, ip: V as Ipv4, mac: MACS[2] as Mac });
    runStep(world, { do: 'plug', iface: LAN0, ip: W as Ipv4, mac: MACS[3] as Mac });
    world.advance(100);
    world.misdirected(STALE, W as Ipv4, V as Ipv4, MACS[2] as Mac);
    world.advance(5);
    assert.deepEqual(repairs(world, W as Ipv4), [[MACS[2], MACS[3], V]]);
  });
});
