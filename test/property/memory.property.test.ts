import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ipv4, Mac } from '../../src/wire/addresses.js';
import type { Policy } from '../../src/mobility/policy.js';
import { Driver, frameOf, hostRoute, IPS, LAN0, LAN1, MACS, testPolicy } from './driver.js';

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const LIMITED = (policy: Policy): Policy => ({
  ...policy,
  limits: { ...policy.limits, hosts: 500, remembered: 200, newcomerBurst: 5000, newcomersPerSecond: 1000 },
});

/** Everything that the tracker keeps, counted by walking through it. */
function weigh(value: unknown, seen = new Set<object>()): number {
  if (typeof value !== 'object' || value === null || seen.has(value)) return 0;
  seen.add(value);
  let count = 1;
  if (value instanceof Map)
    for (const [key, item] of value) count += 1 + weigh(key, seen) + weigh(item, seen);
  else if (value instanceof Set) for (const item of value) count += 1 + weigh(item, seen);
  else if (Array.isArray(value)) for (const item of value) count += 1 + weigh(item, seen);
  else for (const item of Object.values(value)) count += weigh(item, seen);
  return count;
}

describe('memory is bounded', () => {
  for (const prove of ['before', 'after', 'never'] as const) {
    it(`C5: 100,000 random senders, prove = ${prove}`, () => {
      const random = mulberry(7);
      const driver = new Driver(testPolicy({ prove }, LIMITED));
      driver.boot();
      let heaviest = 0;
      for (let i = 0; i < 100_000; i++) {
        const mac = (0x020000000000 + Math.floor(random() * 2 ** 32)) as Mac;
        const ip = (0x0a090900 + Math.floor(random() * 254) + (random() < 0.5 ? 0 : -0x80800)) as Ipv4;
        const kind =
          (['gratuitous', 'request', 'probe', 'rarp', 'reply'] as const)[Math.floor(random() * 5)] ?? 'rarp';
        driver.handle({ kind: 'frame', iface: random() < 0.5 ? LAN0 : LAN1, bytes: frameOf(kind, mac, ip) });
        if (i % 10 === 0) driver.advance(1);
        driver.trace.length = 0;
        if (i % 20_000 === 19_999) heaviest = Math.max(heaviest, weigh(driver.router));
      }
      let hosts = 0;
      for (const _ of driver.router.hosts()) hosts++;
      assert.ok(hosts <= 500, `${hosts} hosts`);
      // Some hundreds of objects and entries per thousand hosts are what is wanted; a leak shows as hundreds of thousands.
      assert.ok(heaviest < 60_000, `${heaviest} things kept`);
    });
  }

  it('one talkative host costs no more than a quiet one', () => {
    const driver = new Driver(testPolicy());
    driver.boot();
    const ip = IPS[4] as Ipv4;
    const mac = MACS[0] as Mac;
    driver.setAnswering(ip, mac, LAN0, true);
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
    driver.advance(3000);
    const before = weigh(driver.router);
    for (let i = 0; i < 100_000; i++) {
      driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
      if (i % 100 === 0) driver.advance(1);
      driver.trace.length = 0;
    }
    const after = weigh(driver.router);
    assert.ok(after < before + 200, `${before} things before, ${after} after`);
  });

  it('a host that moves to and fro for ever costs no more than one that moved once', () => {
    const driver = new Driver(testPolicy());
    driver.boot();
    const ip = IPS[4] as Ipv4;
    const mac = MACS[0] as Mac;
    let early = 0;
    for (let i = 0; i < 5000; i++) {
      const iface = i % 2 === 0 ? LAN0 : LAN1;
      for (const index of [LAN0, LAN1]) driver.setAnswering(ip, mac, index, index === iface);
      driver.handle({ kind: 'frame', iface, bytes: frameOf('gratuitous', mac, ip) });
      driver.advance(300);
      driver.trace.length = 0;
      if (i === 100) early = weigh(driver.router);
    }
    const late = weigh(driver.router);
    assert.ok(late < early + 100, `${early} things early, ${late} late`);
  });

  it('remote claims that come and go leave nothing', () => {
    const driver = new Driver(testPolicy());
    driver.boot();
    const before = weigh(driver.router);
    for (let i = 0; i < 20_000; i++) {
      const route = hostRoute((0x0a090900 + (i % 250) + 1) as Ipv4);
      driver.handle({ kind: 'route', change: i % 500 < 250 ? 'add' : 'delete', route, initial: false });
      driver.trace.length = 0;
    }
    driver.advance(1_000_000);
    const after = weigh(driver.router);
    assert.ok(after < before + 200, `${before} things before, ${after} after`);
  });
});
