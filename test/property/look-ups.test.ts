import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LOOKUPS_PER_SECOND, OPEN_LOOKUPS } from '../../src/mobility/admission/constants.js';
import type { Ipv4, Mac } from '../../src/wire/addresses.js';
import { Crowd } from './crowd.js';
import { LAN0, LAN1, frameOf, hostRoute } from './driver.js';

/** What we ask because somebody else said so never delays the proof of a host that speaks for itself. */

const STRANGER = 0x026600000000;
const FAR = 500_000;

function rarp(crowd: Crowd, mac: Mac, iface: number): void {
  crowd.take({ kind: 'frame', iface, bytes: frameOf('rarp', mac, 0 as Ipv4) });
}

/** Another router claims `count` hosts. */
function claimedElsewhere(crowd: Crowd, count: number): void {
  for (let n = FAR; n < FAR + count; n++)
    crowd.take({ kind: 'route', change: 'add', route: hostRoute(Crowd.ip(n)), initial: false });
}

/** A newcomer speaks: how long until it is asked, ms. */
function waits(crowd: Crowd, n: number, iface: number): number {
  const said = crowd.now;
  let asked: number | undefined;
  const { delayOf } = crowd;
  crowd.delayOf = (question) => {
    if (question.ip === Crowd.ip(n)) asked ??= question.at;
    return question.ip === Crowd.ip(n) ? 1 : (delayOf?.(question) ?? Number.POSITIVE_INFINITY);
  };
  crowd.says(n, iface);
  crowd.advance(100);
  crowd.delayOf = delayOf;
  assert.equal(
    crowd.router.host(Crowd.ip(n))?.isHeldAt(iface, Crowd.mac(n)),
    true,
    `newcomer ${n} is routed`,
  );
  return (asked ?? Number.POSITIVE_INFINITY) - said;
}

describe('RARP and the proofs of others', () => {
  it('19 s of random MACs, 1,000 a second, delay no newcomer, during and afterwards', () => {
    const crowd = new Crowd();
    crowd.delayOf = () => Number.POSITIVE_INFINITY;
    claimedElsewhere(crowd, 2000);
    for (let i = 0; i < 19_000; i++) {
      rarp(crowd, (STRANGER + i) as Mac, LAN0);
      crowd.advance(1);
      if (i % 1000 === 0) assert.equal(waits(crowd, i / 1000, i % 2000 === 0 ? LAN0 : LAN1), 0, `after ${i}`);
    }
    for (let n = 100; n < 140; n++) assert.equal(waits(crowd, n, LAN1), 0);
    assert.ok(crowd.dropped('inquiry-limit') > 15_000);
  });

  it('in the names of 512 known hosts, on two other LANs at once, they delay no newcomer and no keepalive', () => {
    const crowd = new Crowd();
    crowd.delayOf = ({ iface }) => (iface === LAN0 ? 1 : Number.POSITIVE_INFINITY);
    for (let n = 0; n < 512; n++) crowd.says(n);
    crowd.advance(1500);
    assert.equal(crowd.claimed, 512);
    for (let i = 0; i < 19_000; i++) {
      rarp(crowd, Crowd.mac(i % 512), LAN1);
      crowd.advance(1);
      if (i % 1000 === 0) assert.equal(waits(crowd, 1000 + i / 1000, LAN1), 0, `after ${i}`);
    }
    for (let n = 2000; n < 2040; n++) assert.equal(waits(crowd, n, LAN1), 0);
    for (let n = 0; n < 512; n++)
      assert.ok(crowd.router.host(Crowd.ip(n))?.isHeldAt(LAN0, Crowd.mac(n)), `${n}`);
  });

  it('a MAC is asked once a second on a LAN, however often it is named', () => {
    const crowd = new Crowd();
    crowd.delayOf = ({ iface }) => (iface === LAN0 ? 1 : Number.POSITIVE_INFINITY);
    crowd.says(0);
    crowd.advance(100);
    claimedElsewhere(crowd, 3);
    const asked = new Map<Mac, number>();
    crowd.delayOf = ({ iface, mac }) => {
      if (iface === LAN1) asked.set(mac, (asked.get(mac) ?? 0) + 1);
      return iface === LAN0 ? 1 : Number.POSITIVE_INFINITY;
    };
    for (let ms = 0; ms < 10_000; ms++) {
      rarp(crowd, Crowd.mac(0), LAN1);
      rarp(crowd, STRANGER as Mac, LAN1);
      crowd.advance(1);
    }
    // Five tries a second: to the known one for its address, to the stranger for three and the control address.
    const known = asked.get(Crowd.mac(0)) ?? 0;
    const stranger = asked.get(STRANGER as Mac) ?? 0;
    assert.ok(known >= 40 && known <= 55, `known: ${known} questions in 10 s`);
    assert.ok(stranger >= 160 && stranger <= 220, `stranger: ${stranger} questions in 10 s`);
  });

  it('strangers on one LAN use up their own share: a guest that sends nothing but RARP is found on another', () => {
    const crowd = new Crowd();
    claimedElsewhere(crowd, 3);
    const guest = Crowd.mac(FAR + 1);
    crowd.delayOf = ({ ip, mac }) =>
      ip === Crowd.ip(FAR + 1) && mac === guest ? 1 : Number.POSITIVE_INFINITY;
    for (let i = 0; i < 2000; i++) {
      rarp(crowd, (STRANGER + i) as Mac, LAN0);
      if (i % 20 === 0) crowd.advance(1);
    }
    rarp(crowd, guest, LAN1);
    crowd.advance(20);
    assert.ok(crowd.router.host(Crowd.ip(FAR + 1))?.isHeldAt(LAN1, guest));
    assert.ok(crowd.dropped('inquiry-limit') >= 2000 - OPEN_LOOKUPS);
  });

  it('MACs that are known have a share of their own: strangers on the same LAN do not hide them', () => {
    const crowd = new Crowd();
    const there = new Set([LAN0]);
    crowd.delayOf = ({ ip, iface }) =>
      ip === Crowd.ip(0) && there.has(iface) ? 1 : Number.POSITIVE_INFINITY;
    crowd.says(0);
    crowd.advance(1500);
    claimedElsewhere(crowd, 3);
    for (let i = 0; i < 2000; i++) rarp(crowd, (STRANGER + i) as Mac, LAN1);
    there.delete(LAN0);
    there.add(LAN1);
    rarp(crowd, Crowd.mac(0), LAN1);
    crowd.advance(20);
    assert.ok(crowd.router.host(Crowd.ip(0))?.isHeldAt(LAN1, Crowd.mac(0)));
  });

  it('a guest whose port forwards only 700 ms after the first RARP is found', () => {
    const crowd = new Crowd();
    let there = LAN0;
    crowd.delayOf = ({ ip, iface }) => (ip === Crowd.ip(0) && iface === there ? 1 : Number.POSITIVE_INFINITY);
    crowd.says(0);
    crowd.advance(1500);
    there = -1;
    for (const ms of [0, 50, 150, 250, 350]) {
      crowd.advance(ms);
      rarp(crowd, Crowd.mac(0), LAN1);
      if (ms === 250) there = LAN1;
    }
    crowd.advance(20);
    assert.ok(crowd.router.host(Crowd.ip(0))?.isHeldAt(LAN1, Crowd.mac(0)));
  });

  it('more known MACs than the share of a LAN: no more are asked, and what is asked later is not delayed', () => {
    const crowd = new Crowd();
    crowd.delayOf = ({ iface }) => (iface === LAN0 ? 1 : Number.POSITIVE_INFINITY);
    for (let n = 0; n < 3000; n++) crowd.says(n);
    crowd.advance(3000);
    assert.equal(crowd.claimed, 3000);
    for (let n = 0; n < 3000; n++) rarp(crowd, Crowd.mac(n), LAN1);
    assert.equal(crowd.dropped('inquiry-limit'), 3000 - LOOKUPS_PER_SECOND);
    assert.equal(waits(crowd, 5000, LAN1), 0);
  });
});

describe('the budget of probes', () => {
  const TEN = '[policy.limits]\nprobes_per_second = 10\n';

  it('hosts that were lost on one LAN do not delay the keepalive of a host on another', () => {
    const crowd = new Crowd(TEN);
    let alive = true;
    crowd.delayOf = ({ iface }) =>
      alive && (iface === LAN0 || iface === LAN1) ? 1 : Number.POSITIVE_INFINITY;
    for (let n = 0; n < 500; n++) crowd.says(n, LAN0);
    crowd.advance(100);
    crowd.delayOf = ({ iface }) => (alive && iface === LAN1 ? 1 : Number.POSITIVE_INFINITY);
    crowd.advance(120_000);
    assert.equal(crowd.router.counts.remembered, 500);
    crowd.says(1000, LAN1);
    crowd.advance(3000);
    alive = false;
    crowd.advance(5000 + 2000);
    assert.equal(crowd.router.host(Crowd.ip(1000))?.claimed, false);
  });

  it('makes no debt while hosts speak that were to be asked: one that dies after an hour is noticed', () => {
    const crowd = new Crowd(TEN);
    crowd.delayOf = () => 1;
    for (let n = 0; n < 100; n++) crowd.says(n);
    crowd.advance(2000);
    for (let s = 0; s < 600; s++) {
      crowd.advance(6000);
      for (let n = 1; n < 100; n++) crowd.says(n);
    }
    crowd.delayOf = () => Number.POSITIVE_INFINITY;
    crowd.advance(30_000);
    assert.equal(crowd.router.host(Crowd.ip(0))?.claimed, false);
  });
});
