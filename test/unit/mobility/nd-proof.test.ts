import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { type Ip, type Mac, type Prefix, formatIp, parsePrefix } from '../../../src/wire/addresses.js';
import {
  DualRouter,
  FOREIGN,
  GATEWAY,
  GUEST_MAC,
  HOME,
  advertisement,
  dad,
  ip6,
  mldReport,
} from './dual-router.js';

const A = ip6('2001:db8:1::5');
/** At home on lan1. */
const B = ip6('2001:db8:2::6');

let router: DualRouter;

beforeEach(() => {
  router = new DualRouter();
});

const isHeld = (ip: Ip, iface: number, mac = GUEST_MAC) =>
  router.tracker.host(ip)?.isHeldAt(iface, mac) === true;

/** The host is heard here, and answers. */
function arrive(iface: number, ip = A): void {
  router.plug(iface, GUEST_MAC, ip);
  router.frame(iface, advertisement(GUEST_MAC, ip));
  router.advance(3);
}

describe('a host with several gateways (RFC 4861 section 7.2.3)', () => {
  const GLOBAL = ip6('2001:db8:1::1');
  const OLD = ip6('fe80::a1');

  beforeEach(() => {
    const subnets = [{ prefix: parsePrefix('2001:db8:1::/64') as Prefix, gateways: [GATEWAY, GLOBAL, OLD] }];
    router = new DualRouter({ subnets });
  });

  it('is asked once in the name of each, the first of which is the proof', () => {
    router.frame(FOREIGN, advertisement(GUEST_MAC, A));
    const sources = router
      .asked(A)
      .filter(({ iface }) => iface === FOREIGN)
      .map(({ source }) => source);
    assert.deepEqual(sources.map(formatIp), [GATEWAY, GLOBAL, OLD].map(formatIp));
  });

  it('and so with each try, since one may be the first that reaches it', () => {
    router.frame(FOREIGN, advertisement(GUEST_MAC, A));
    router.advance(60);
    assert.equal(
      router.asked(A).filter(({ source, iface }) => source === OLD && iface === FOREIGN).length,
      2,
    );
  });

  it('its answers to the others are no evidence of anything new', () => {
    arrive(FOREIGN);
    router.advance(100);
    const transitions = router.actions.filter((action) => action.kind === 'transition' && action.ip === A);
    assert.equal(transitions.length, 2, 'proving, and claimed');
  });

  it('a host at home is asked in the name of those that we have there', () => {
    router.frame(HOME, advertisement(GUEST_MAC, A));
    const sources = router.asked(A).map(({ source }) => formatIp(source));
    assert.deepEqual(sources, [GATEWAY, GLOBAL].map(formatIp));
  });
});

describe('a proof never comes through a proxy (RFC 4861 section 7.2.8)', () => {
  const proxy = 0x020000000077 as Mac;

  /** Another MAC names the address on the LAN where its host was a moment ago. */
  function otherMac(isProxy: boolean): void {
    arrive(FOREIGN, B);
    router.alive.set(B, { iface: FOREIGN, mac: proxy, isProxy });
    router.takeSent();
    router.frame(FOREIGN, advertisement(proxy, B));
    router.advance(1500);
  }

  it('an owner overrides in its answer to a solicitation of the group, and is believed', () => {
    otherMac(false);
    assert.ok(isHeld(B, FOREIGN, proxy));
    const last = router.asked(B).find(({ isToGroup }) => isToGroup);
    assert.equal(last?.destination, proxy, 'in a frame to that MAC alone');
  });

  it('a proxy does not, and is not', () => {
    otherMac(true);
    assert.equal(isHeld(B, FOREIGN, proxy), false);
    assert.ok(router.actions.some((action) => action.kind === 'drop' && action.reason === 'other-router'));
    assert.ok(router.asked(B).length < 20, 'nor asked again and again');
  });

  it('nothing is ever asked from ::, which is duplicate address detection', () => {
    otherMac(true);
    assert.ok(router.sent.every(({ kind, source }) => kind === 'query' || formatIp(source) !== '::'));
  });
});

describe('the neighbours on every LAN that a host left are told', () => {
  const announced = () => router.sent.filter(({ purpose }) => purpose === 'announce');
  const told = (lan: number, ip: Ip = A) =>
    announced().filter(({ iface, target }) => iface === lan && target === ip);

  it('of a visitor that goes to another LAN of ours, on the one where it was: it was redirected to there', () => {
    arrive(FOREIGN, A);
    router.advance(4000);
    router.takeSent();
    arrive(HOME, A);
    router.advance(3000);
    assert.equal(told(FOREIGN).length, 3);
    assert.equal(told(HOME).length, 0, 'not where it is');
  });

  it('of a visitor that another router has proven to have', () => {
    const far = ip6('2001:db8:7::7');
    router = new DualRouter({ allow: [parsePrefix('2001:db8::/32') as Prefix] });
    arrive(FOREIGN, far);
    router.advance(3000);
    router.takeSent();
    router.alive.clear();
    const { now } = router;
    router.remote('add', far);
    assert.deepEqual(announced(), [], 'not before it was silent here');
    router.advance(60);
    const [first] = told(FOREIGN, far);
    assert.ok(first !== undefined && first.at - now <= 55, `after ${(first?.at ?? 0) - now} ms`);
  });

  it('no host of IPv4 has more LANs told than before', () => {
    arrive(FOREIGN, A);
    router.advance(20);
    assert.deepEqual([...new Set(told(HOME).map(({ iface }) => iface))], [HOME]);
  });

  describe('but not while the host may be about to come back to that LAN', () => {
    /** Gone to lan1, where it answers, and heard at home. Returns how often its home is told from then on. */
    function afterwards(bytes: Uint8Array, ms: number): number {
      arrive(HOME);
      router.advance(3000);
      arrive(FOREIGN);
      router.advance(100);
      assert.equal(told(HOME).length, 1);
      router.frame(HOME, bytes);
      router.advance(ms);
      return told(HOME).length - 1;
    }

    it('which it says by duplicate address detection, over within 4 s', () => {
      assert.equal(afterwards(dad(GUEST_MAC, A), 3900), 0);
      router.advance(2000);
      assert.equal(told(HOME).length, 3, 'it did not come');
    });

    it('or by an MLD report that joins the group of the address, which comes before that', () => {
      assert.equal(afterwards(mldReport(GUEST_MAC, ip6('::'), A), 3900), 0);
      router.advance(2000);
      assert.equal(told(HOME).length, 3, 'it did not come');
    });

    it('a report of other groups holds nothing back', () => {
      assert.equal(afterwards(mldReport(GUEST_MAC, ip6('::'), ip6('fe80::77')), 3900), 2);
    });

    it('nor does one of another MAC', () => {
      assert.equal(afterwards(mldReport(0x020000000099 as Mac, ip6('::'), A), 3900), 2);
    });

    it('what is said on the LAN where it has gone holds nothing back', () => {
      arrive(HOME, A);
      router.advance(3000);
      router.takeSent();
      router.plug(FOREIGN, GUEST_MAC, A);
      router.frame(FOREIGN, mldReport(GUEST_MAC, ip6('::'), A));
      router.frame(FOREIGN, dad(GUEST_MAC, A));
      router.advance(100);
      assert.equal(told(HOME).length, 1);
    });
  });
});
