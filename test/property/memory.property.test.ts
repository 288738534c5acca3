import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OPEN_LOOKUPS } from '../../src/mobility/admission/constants.js';
import type { Policy } from '../../src/mobility/policy.js';
import type { Ipv4, Mac } from '../../src/wire/addresses.js';
import { mulberry32 } from '../random.js';
import { Driver, frameOf, hostRoute, IPS, LAN0, LAN1, MACS, testPolicy } from './driver.js';
import { retainedBytes } from './retained.js';

const PORT = 20;

const LIMITED = (policy: Policy): Policy => ({
  ...policy,
  limits: { ...policy.limits, hosts: 500, remembered: 200, newcomerBurst: 5000, newcomersPerSecond: 1000 },
});

const KB = 1024;
const MB = 1024 * KB;

/** Never two in a row the same: more MACs than any table keeps. */
const macAt = (n: number): Mac => (0x020000000000 + n) as Mac;

/** Runs `round` for some rounds to warm up, then for more; returns by how many bytes the second part grew. */
function growth(rounds: readonly [warm: number, more: number], round: (i: number) => void): number {
  for (let i = 0; i < rounds[0]; i++) round(i);
  const before = retainedBytes();
  for (let i = rounds[0]; i < rounds[0] + rounds[1]; i++) round(i);
  return retainedBytes() - before;
}

function assertBelow(bytes: number, limit: number): void {
  console.log(`# grew by ${(bytes / KB).toFixed(0)} kB, ${(limit / KB).toFixed(0)} kB allowed`);
  assert.ok(bytes < limit, `grew by ${(bytes / KB).toFixed(0)} kB, ${(limit / KB).toFixed(0)} kB allowed`);
}

describe('memory is bounded', () => {
  it('the reading sees private fields, closures and buffers', () => {
    class Keeper {
      readonly #kept: Uint8Array[] = [];
      keep(): () => number {
        this.#kept.push(new Uint8Array(1000));
        return () => this.#kept.length;
      }
    }
    const keeper = new Keeper();
    let count = () => 0;
    const grown = growth([10, 1000], () => {
      count = keeper.keep();
    });
    assert.equal(count(), 1010);
    // The test runner may have freed some of its own meanwhile.
    assert.ok(grown > 900_000, `${grown} bytes seen`);
  });

  for (const prove of ['before', 'after', 'never'] as const) {
    it(`C5: 100,000 random senders, prove = ${prove}`, () => {
      const random = mulberry32(7);
      const driver = new Driver(testPolicy({ prove }, LIMITED), false);
      driver.boot();
      const grown = growth([40_000, 60_000], (i) => {
        const mac = macAt(Math.floor(random() * 2 ** 32));
        const ip = (0x0a090900 + Math.floor(random() * 254) + (random() < 0.5 ? 0 : -0x80800)) as Ipv4;
        const kind =
          (['gratuitous', 'request', 'probe', 'rarp', 'reply'] as const)[Math.floor(random() * 5)] ?? 'rarp';
        driver.handle({ kind: 'frame', iface: random() < 0.5 ? LAN0 : LAN1, bytes: frameOf(kind, mac, ip) });
        if (i % 10 === 0) driver.advance(1);
      });
      let hosts = 0;
      for (const _ of driver.router.hosts()) hosts++;
      assert.ok(hosts <= 500, `${hosts} hosts`);
      assertBelow(grown, MB);
    });
  }

  it('one talkative host costs no more than a quiet one', () => {
    const driver = new Driver(testPolicy(), false);
    driver.boot();
    const ip = IPS[4] as Ipv4;
    const mac = MACS[0] as Mac;
    driver.setAnswering(ip, mac, LAN0, true);
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
    driver.advance(3000);
    const grown = growth([20_000, 100_000], (i) => {
      driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
      if (i % 100 === 0) driver.advance(1);
    });
    assertBelow(grown, 300 * KB);
  });

  it('a host that moves to and fro for ever costs no more than one that moved some times', () => {
    const driver = new Driver(testPolicy(), false);
    driver.boot();
    const ip = IPS[4] as Ipv4;
    const mac = MACS[0] as Mac;
    const grown = growth([5000, 9000], (i) => {
      const iface = i % 2 === 0 ? LAN0 : LAN1;
      for (const index of [LAN0, LAN1]) driver.setAnswering(ip, mac, index, index === iface);
      driver.handle({ kind: 'frame', iface, bytes: frameOf('gratuitous', mac, ip) });
      driver.advance(300);
    });
    assertBelow(grown, 300 * KB);
  });

  it('remote claims that come and go leave nothing', () => {
    const driver = new Driver(testPolicy(), false);
    driver.boot();
    const grown = growth([2000, 20_000], (i) => {
      const route = hostRoute((0x0a090900 + (i % 250) + 1) as Ipv4);
      driver.handle({ kind: 'route', change: i % 500 < 250 ? 'add' : 'delete', route, initial: false });
      if (i % 2000 === 1999) driver.advance(1_000_000);
    });
    assertBelow(grown, 300 * KB);
  });

  it('MACs without number that RARP names are bounded, and so is what they are asked', () => {
    const driver = new Driver(testPolicy(), false);
    driver.boot();
    for (let i = 1; i < 100; i++)
      driver.handle({
        kind: 'route',
        change: 'add',
        route: hostRoute((0x0a090900 + i) as Ipv4),
        initial: false,
      });
    let sent = 0;
    const grown = growth([40_000, 200_000], (i) => {
      const bytes = frameOf('rarp', macAt(i), IPS[0] as Ipv4);
      for (const { kind } of driver.handle({ kind: 'frame', iface: i % 2 === 0 ? LAN0 : LAN1, bytes }))
        if (kind === 'send') sent++;
      if (i % 40 === 0) driver.advance(1);
    });
    assertBelow(grown, MB);
    // So many MACs of each interface a second, 64 addresses and the control address each.
    assert.ok(sent <= 7 * 2 * OPEN_LOOKUPS * 65, `${sent} first tries in 6 s`);
  });

  it('MACs that a bridge learns and forgets leave nothing', () => {
    const driver = new Driver(testPolicy(), false);
    driver.boot();
    const grown = growth([5000, 100_000], (i) => {
      driver.handle({ kind: 'fdb', bridge: LAN0, mac: macAt(i), port: PORT });
      driver.handle({ kind: 'fdb', bridge: LAN0, mac: macAt(i), port: undefined });
    });
    assertBelow(grown, 300 * KB);
  });

  it('MACs that a bridge learns and does not forget yet are bounded', () => {
    const driver = new Driver(testPolicy(), false);
    driver.boot();
    const grown = growth([40_000, 200_000], (i) => {
      driver.handle({ kind: 'fdb', bridge: LAN0, mac: macAt(i), port: PORT });
    });
    assertBelow(grown, MB);
  });
});
