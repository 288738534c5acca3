import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import { type Ip, type Ipv6, type Mac, isIpv4 } from '../../../src/wire/addresses.js';
import {
  DualRouter,
  FOREIGN,
  GATEWAY,
  GUEST_LINK_LOCAL,
  GUEST_MAC,
  HOME,
  advertisement,
  gratuitousArp,
  ip4,
  ip6,
  mldReport,
  solicitation,
} from './dual-router.js';

/** The addresses of one MAC (RFC 7934): each is proven, and one vouches for the place of the others. */

const V4 = ip4('10.1.1.5');
const addresses = (count: number) =>
  Array.from({ length: count }, (_, n) => ip6(`2001:db8:1::${(n + 0x100).toString(16)}`));
const KEEPALIVE_MS = 5000;

let router: DualRouter;

beforeEach(() => {
  router = new DualRouter();
});

const isHeld = (ip: Ip, iface: number) => router.tracker.host(ip)?.isHeldAt(iface, GUEST_MAC) === true;
const heldOn = (iface: number, ips: readonly Ip[]) => ips.filter((ip) => isHeld(ip, iface)).length;
const questions = () => router.sent.filter(({ purpose, kind }) => purpose === 'probe' && kind !== 'query');

function say(iface: number, ip: Ip): void {
  router.frame(iface, isIpv4(ip) ? gratuitousArp(GUEST_MAC, ip) : advertisement(GUEST_MAC, ip as Ipv6));
}

/** All of them are held on lan1, settled, and no question of the arrival is open. */
function settle(ips: readonly Ip[]): void {
  router.plug(FOREIGN, GUEST_MAC, ...ips);
  for (const ip of ips) say(FOREIGN, ip);
  router.advance(4000);
  assert.equal(heldOn(FOREIGN, ips), ips.length);
  router.takeSent();
}

describe('keepalives', () => {
  it('16 addresses cost 27 questions in 12 intervals, not 192', () => {
    const ips = addresses(16);
    settle(ips);
    router.advance(12 * KEEPALIVE_MS);
    const asked = questions();
    assert.ok(asked.length >= 26 && asked.length <= 29, `${asked.length} questions`);
    for (const ip of ips)
      assert.ok(
        asked.some(({ target }) => target === ip),
        'each is asked now and then',
      );
    assert.equal(heldOn(FOREIGN, ips), 16);
  });

  it('an address of IPv4 vouches for those of IPv6, and is asked as ever', () => {
    settle([V4, ...addresses(4)]);
    router.advance(12 * KEEPALIVE_MS);
    const ofIpv4 = questions().filter(({ target }) => target === V4);
    assert.ok(ofIpv4.length >= 11 && ofIpv4.length <= 12, `${ofIpv4.length} of IPv4`);
    assert.ok(questions().length - ofIpv4.length <= 5);
  });

  it('IPv4 addresses are not vouched for, whatever has their MAC', () => {
    const second = ip4('10.1.1.6');
    settle([...addresses(2), V4, second]);
    router.advance(12 * KEEPALIVE_MS);
    for (const ip of [V4, second]) assert.ok(questions().filter(({ target }) => target === ip).length >= 11);
  });

  it('an address that is silent while another one answers is withdrawn alone', () => {
    const ips = addresses(17);
    settle(ips);
    router.alive.delete(ips[9] as Ip);
    router.advance(13 * KEEPALIVE_MS);
    assert.equal(isHeld(ips[9] as Ip, FOREIGN), false);
    assert.equal(heldOn(FOREIGN, ips), 16);
    assert.equal(router.tracker.host(ips[9] as Ip)?.cause, 'keepalive-lost');
  });

  it('so is the one that vouched; another one does from then on', () => {
    const ips = addresses(5);
    settle(ips);
    router.alive.delete(ips[0] as Ip);
    router.advance(2 * KEEPALIVE_MS);
    assert.equal(isHeld(ips[0] as Ip, FOREIGN), false);
    assert.equal(heldOn(FOREIGN, ips), 4);
    router.takeSent();
    router.advance(12 * KEEPALIVE_MS);
    const perAddress = ips.map((ip) => questions().filter(({ target }) => target === ip).length);
    const [lost, ...rest] = perAddress as [number, ...number[]];
    assert.ok(lost <= 2 * 10, 'the lost one is asked as a lost one');
    assert.equal(rest.filter((count) => count >= 11).length, 1, String(perAddress));
    assert.equal(rest.filter((count) => count <= 2).length, 3, String(perAddress));
  });

  it('a host that is gone is noticed for all its addresses within an interval and two time-outs', () => {
    const ips = addresses(16);
    settle(ips);
    router.alive.clear();
    router.advance(KEEPALIVE_MS + 2 * 750 + 100);
    assert.equal(heldOn(FOREIGN, ips), 0);
  });

  it('a MAC that goes on speaking is asked no less for each of its addresses', () => {
    const ips = addresses(3);
    settle(ips);
    router.alive.delete(ips[0] as Ip);
    for (let second = 0; second < 130; second++) {
      router.frame(FOREIGN, solicitation(GUEST_MAC, GUEST_LINK_LOCAL, GATEWAY));
      router.advance(1000);
    }
    assert.deepEqual(
      ips.map((ip) => isHeld(ip, FOREIGN)),
      [false, true, true],
    );
  });

  it('a deaf interface does not end what another address vouched for a moment ago', () => {
    const ips = addresses(4);
    settle(ips);
    router.advance(11 * KEEPALIVE_MS);
    router.handle({ kind: 'capture', iface: FOREIGN, open: false });
    router.advance(2 * KEEPALIVE_MS);
    assert.equal(heldOn(FOREIGN, ips), 4);
    router.advance(3 * KEEPALIVE_MS);
    assert.equal(heldOn(FOREIGN, ips), 0, 'but `hold` does');
  });
});

describe('a host that moves', () => {
  it('one word of it has all its addresses asked once where it is, and they move', () => {
    const ips = [V4, ...addresses(17)];
    settle(ips);
    router.plug(HOME, GUEST_MAC, ...ips);
    say(HOME, ips[3] as Ip);
    router.advance(20);
    assert.equal(heldOn(HOME, ips), ips.length);
    for (const ip of ips)
      assert.equal(questions().filter(({ target, iface }) => target === ip && iface === HOME).length, 1);
  });

  it('carrier flap of a silent host with four addresses: one MLD report has all of them proven', () => {
    const ips = [V4, ...addresses(3)];
    settle(ips);
    router.alive.clear();
    router.advance(3 * KEEPALIVE_MS);
    assert.equal(heldOn(FOREIGN, ips), 0);
    router.plug(FOREIGN, GUEST_MAC, ...ips);
    router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL, ...(ips.slice(1) as Ipv6[])));
    router.advance(5);
    assert.equal(heldOn(FOREIGN, ips), 4);
  });
});

describe('the limit of addresses per MAC', () => {
  it('is counted for each family: 64 of IPv6 leave room for 16 of IPv4', () => {
    const v6 = addresses(66);
    const v4 = Array.from({ length: 18 }, (_, n) => ip4(`10.1.1.${n + 10}`));
    router.plug(FOREIGN, GUEST_MAC, ...v6, ...v4);
    for (const ip of [...v6, ...v4]) say(FOREIGN, ip);
    router.advance(100);
    assert.deepEqual([heldOn(FOREIGN, v6), heldOn(FOREIGN, v4)], [64, 16]);
    const { addressesPerMac } = parseConfig('[[interface]]\nname = "lan*"\n').policy.limits;
    assert.deepEqual(addressesPerMac, { ipv4: 16, ipv6: 64 });
  });
});

it('100 hosts of 16 addresses: questions in 5 s are an eighth of one for each', () => {
  const hosts = Array.from({ length: 100 }, (_, n) => (0x020000020000 + n) as Mac);
  for (const [n, mac] of hosts.entries())
    for (let i = 0; i < 16; i++) {
      const ip = ip6(`2001:db8:1::${(n + 1).toString(16)}:${(i + 1).toString(16)}`);
      router.plug(FOREIGN, mac, ip);
      router.frame(FOREIGN, advertisement(mac, ip));
      router.advance(1);
    }
  router.advance(10_000);
  assert.equal(router.tracker.counts.settled, 1600);
  router.takeSent();
  router.advance(12 * KEEPALIVE_MS);
  const perInterval = questions().length / 12;
  assert.ok(perInterval < 1600 / 7, `${perInterval} in an interval`);
  assert.equal(router.tracker.counts.settled, 1600);
});

describe('a MAC that has had more addresses than it may have, one after the other', () => {
  const LIMIT = 64;

  it('has no more of them asked because of one frame, and those that it had last', () => {
    const ips = addresses(3 * LIMIT);
    for (let first = 0; first < ips.length; first += LIMIT) {
      const some = ips.slice(first, first + LIMIT);
      router.plug(FOREIGN, GUEST_MAC, ...some);
      for (const ip of some) say(FOREIGN, ip);
      router.advance(100);
      assert.equal(heldOn(FOREIGN, some), LIMIT);
      router.alive.clear();
      router.advance(9000);
    }
    assert.ok(router.tracker.counts.remembered <= 160, 'twice as many as it may have, of both families');
    const asked = () => new Set(questions().map(({ target }) => target));
    for (let second = 0; second < 3; second++) {
      router.advance(3000);
      router.takeSent();
      router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL));
      assert.deepEqual(asked(), new Set(ips.slice(-LIMIT)));
    }
    const [last] = ips.slice(-1);
    assert.ok(last !== undefined);
    router.advance(3000);
    router.takeSent();
    router.plug(FOREIGN, GUEST_MAC, last);
    say(FOREIGN, last);
    router.advance(1);
    assert.ok(isHeld(last, FOREIGN));
    const older = ips.slice(0, -LIMIT).filter((ip) => asked().has(ip));
    assert.ok(older.length <= 1, `${older.length} older ones when one of them is proven`);
    assert.ok(asked().size >= LIMIT, 'but the others that it had last');
  });
});
