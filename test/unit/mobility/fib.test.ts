import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Route } from '../../../src/mobility/events.js';
import { Fib } from '../../../src/mobility/network/fib.js';
import {
  contains,
  type Ip,
  networkOf,
  type Prefix,
  parseIp,
  parsePrefix,
} from '../../../src/wire/addresses.js';

const OURS = 44;
const MAIN = 254;
const REMOTE = [12, 186, 188];
const LAN = 10;
const ip = (text: string): Ip => parseIp(text) as Ip;

function route(to: string, change: Partial<Route> = {}): Route {
  return {
    prefix: parsePrefix(to) as Prefix,
    table: MAIN,
    protocol: 188,
    metric: 20,
    type: 'unicast',
    iface: 2,
    via: ip('10.255.0.2'),
    ...change,
  };
}

describe('remote claims (design.md 3.3)', () => {
  it('a host route of a routing protocol in a watched table is one; it appears and vanishes once', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    assert.equal(fib.apply('add', route('10.1.1.5/32'), 100), 'appeared');
    assert.equal(
      fib.apply('add', route('10.1.1.5/32', { via: ip('10.255.0.6') }), 200),
      'changed',
      'another next hop',
    );
    assert.equal(fib.remote(ip('10.1.1.5'))?.since, 100);
    assert.equal(fib.apply('delete', route('10.1.1.5/32'), 300), 'vanished');
    assert.equal(fib.apply('delete', route('10.1.1.5/32'), 400), undefined);
    assert.equal(fib.remote(ip('10.1.1.5')), undefined);
  });

  it('a change of metric, add before delete, is no new claim', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    fib.apply('add', route('10.1.1.5/32', { metric: 20 }), 100);
    assert.equal(fib.apply('add', route('10.1.1.5/32', { metric: 30 }), 200), undefined);
    assert.equal(fib.apply('delete', route('10.1.1.5/32', { metric: 20 }), 200), undefined);
    assert.equal(fib.remote(ip('10.1.1.5'))?.since, 100);
  });

  it('our own claims, other tables, the administrator and wider prefixes are none', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    const none: readonly Route[] = [
      route('10.1.1.5/32', { protocol: OURS, metric: 1, via: undefined, iface: 10 }),
      route('10.1.1.5/32', { table: 100 }),
      route('10.1.1.5/32', { protocol: 2 }),
      route('10.1.1.5/32', { protocol: 4 }),
      route('10.1.1.4/31'),
    ];
    for (const other of none) {
      assert.equal(fib.apply('add', other, 100), undefined);
      assert.equal(fib.remote(ip('10.1.1.5')), undefined);
    }
  });

  it('a host route of an administrator, an agent or a routing daemon’s static table is a foreign route', () => {
    const local = { via: undefined, iface: 10 };
    const foreign: readonly Partial<Route>[] = [
      ...[2, 3, 4, 9, 16, 18, 196].map((protocol) => ({ protocol })),
      { protocol: 196, ...local },
      { protocol: 12, ...local },
      { protocol: 188, type: 'blackhole', via: undefined, iface: undefined },
    ];
    for (const change of foreign) {
      const fib = new Fib(OURS, [MAIN], REMOTE);
      assert.equal(fib.apply('add', route('10.1.1.5/32', change), 100), undefined);
      assert.equal(fib.remote(ip('10.1.1.5')), undefined);
      assert.equal(fib.foreignRoute(ip('10.1.1.5'))?.protocol, change.protocol);
      fib.apply('add', route('10.1.1.5/32', { metric: 30 }), 200);
      assert.equal(fib.remote(ip('10.1.1.5'))?.since, 200, 'a claim beside it counts');
      fib.apply('delete', route('10.1.1.5/32', change), 300);
      assert.equal(fib.foreignRoute(ip('10.1.1.5')), undefined);
    }
  });

  it('a claim whose next hops the kernel keeps in a nexthop object names none of them', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    const bare = route('10.1.1.5/32', { via: undefined, iface: undefined });
    assert.equal(fib.apply('add', bare, 100), 'appeared');
  });

  it('IPv6 /128 host routes are claims as well', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    assert.equal(fib.apply('add', route('fd00::5/128', { via: ip('fe80::1') }), 1), 'appeared');
    assert.ok(fib.remote(ip('fd00::5')) !== undefined);
  });

  it('a dump keeps what it repeats and reports what it does not (design.md 5.5)', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    for (const to of ['10.1.1.5/32', '10.1.1.6/32', '10.1.0.0/16']) fib.apply('add', route(to), 100);
    fib.beginDump();
    assert.equal(fib.apply('add', route('10.1.1.5/32'), 200), undefined);
    assert.equal(fib.apply('add', route('10.1.1.7/32'), 200), 'appeared');
    assert.deepEqual(fib.endDump(200), [ip('10.1.1.6')]);
    assert.equal(fib.remote(ip('10.1.1.5'))?.since, 100, 'still the old claim');
    assert.equal(fib.bestRoute(ip('10.1.9.9')), undefined);
    assert.deepEqual(
      fib.endDump(300),
      [ip('10.1.1.5'), ip('10.1.1.7')],
      'a dump that never began repeats nothing',
    );
  });
});

describe('legs of one route: IPv6 routes of one prefix and metric (RFC 2991)', () => {
  const address = ip('2001:db8:1::5');
  const to = '2001:db8:1::5/128';
  const A = { via: ip('fe80::a'), iface: 2 };
  const B = { via: ip('fe80::b'), iface: 3 };
  const both = { via: A.via, iface: undefined, legs: [A, B] };

  it('one leg deleted is no vanished claim; the claim is gone with the last one, in any order', () => {
    for (const [first, last] of [
      [A, B],
      [B, A],
    ] as const) {
      const fib = new Fib(OURS, [MAIN], REMOTE);
      assert.equal(fib.apply('add', route(to, A), 100), 'appeared');
      assert.equal(fib.apply('add', route(to, both), 110), 'changed');
      assert.equal(fib.apply('delete', route(to, first), 120), 'changed');
      assert.deepEqual(fib.remote(address), { ip: address, since: 100, route: route(to, last) });
      assert.equal(fib.apply('delete', route(to, first), 130), undefined, 'told twice');
      assert.equal(fib.apply('delete', route(to, last), 140), 'vanished');
      assert.deepEqual([...fib.allRoutes()], []);
    }
  });

  it('of three legs two are left; all of them deleted at once is the end', () => {
    const C = { via: ip('fe80::a'), iface: 4 };
    const fib = new Fib(OURS, [MAIN], REMOTE);
    const all = { via: A.via, iface: undefined, legs: [A, B, C] };
    fib.apply('add', route(to, all), 100);
    assert.equal(fib.apply('delete', route(to, A), 110), 'changed');
    assert.deepEqual(fib.remote(address)?.route.legs, [B, C]);
    assert.equal(fib.apply('add', route(to, all), 120), 'changed');
    assert.equal(fib.apply('delete', route(to, all), 130), 'vanished');
  });

  it('a leg deleted while a dump runs leaves a route that the dump need not repeat', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    fib.apply('add', route(to, both), 100);
    fib.beginDump();
    fib.apply('delete', route(to, B), 110);
    assert.deepEqual(fib.endDump(120), []);
    assert.equal(fib.remote(address)?.route.via, A.via);
  });

  it('the deletion of an IPv4 route is the end of it, whatever hop it names', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    fib.apply('add', route('10.1.1.5/32'), 100);
    assert.equal(fib.apply('delete', route('10.1.1.5/32', { via: ip('10.255.0.9') }), 110), 'vanished');
  });

  it('RFC 4007: a link-local next hop is nobody on another interface; a global one is known by each leg', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    fib.apply('add', route(to, both), 100);
    assert.ok(!fib.isNextHopElsewhere(A.via, LAN));
    const hop = ip('2001:db8:c::2');
    fib.apply('add', route('2001:db8:2::/64', { legs: [A, { via: hop, iface: 3 }], iface: undefined }), 100);
    assert.ok(fib.isNextHopElsewhere(hop, LAN));
    assert.ok(!fib.isNextHopElsewhere(hop, 3));
  });

  it('RFC 4191: a route of a router advertisement (protocol 9) is never a claim, whatever is configured', () => {
    const fib = new Fib(OURS, [MAIN], [...REMOTE, 9]);
    assert.equal(fib.apply('add', route(to, { ...A, protocol: 9 }), 100), undefined);
    assert.equal(fib.remote(address), undefined);
  });
});

describe('next hops and lookup', () => {
  it('a next hop is one as long as a route uses it', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    const hop = ip('10.255.0.2');
    fib.apply('add', route('10.1.1.5/32'), 1);
    fib.apply('add', route('10.2.0.0/16'), 1);
    fib.apply('delete', route('10.1.1.5/32'), 2);
    assert.ok(fib.isNextHopElsewhere(hop, LAN));
    fib.apply('add', route('10.2.0.0/16', { via: ip('10.255.0.6') }), 3);
    assert.ok(!fib.isNextHopElsewhere(hop, LAN));
    assert.ok(fib.isNextHopElsewhere(ip('10.255.0.6'), LAN));
    fib.apply('delete', route('10.2.0.0/16'), 4);
    assert.ok(!fib.isNextHopElsewhere(ip('10.255.0.6'), LAN));
  });

  it('a next hop of routes by the LAN itself, or by several interfaces, is none elsewhere', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    const hop = ip('10.1.1.5');
    fib.apply('add', route('10.244.1.0/24', { via: hop, iface: LAN }), 1);
    fib.apply('add', route('10.244.2.0/24', { via: hop, iface: undefined }), 1);
    assert.ok(!fib.isNextHopElsewhere(hop, LAN));
    assert.ok(fib.isNextHopElsewhere(hop, LAN + 1));
    fib.apply('delete', route('10.244.1.0/24', { via: hop, iface: LAN }), 2);
    assert.ok(!fib.isNextHopElsewhere(hop, LAN + 1));
  });

  it('RFC 1812 section 5.2.4.3: longest match, then lowest metric', () => {
    const fib = new Fib(OURS, [MAIN], REMOTE);
    fib.apply('add', route('0.0.0.0/0', { metric: 5 }), 1);
    fib.apply('add', route('10.1.1.0/24', { metric: 30 }), 1);
    fib.apply('add', route('10.1.1.0/24', { metric: 10, iface: 7 }), 1);
    assert.equal(fib.bestRoute(ip('10.1.1.5'))?.iface, 7);
    assert.equal(fib.bestRoute(ip('192.0.2.1'))?.metric, 5);
    assert.equal(fib.bestRoute(ip('fd00::1')), undefined);
  });

  it('agrees with a plain list of routes', () => {
    const one = fc
      .tuple(
        fc.constantFrom(0, 8, 16, 24, 31, 32),
        fc.nat({ max: 15 }),
        fc.constantFrom(1, 20, 100),
        fc.boolean(),
      )
      .map(([length, low, metric, add]) => {
        const prefix = { ip: networkOf((0x0a010100 + low * 17) as Ip, length), length };
        return {
          change: add ? ('add' as const) : ('delete' as const),
          route: route('0.0.0.0/0', { prefix, metric }),
        };
      });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 60, size: 'max' }), fc.nat({ max: 300 }), (changes, low) => {
        const fib = new Fib(OURS, [MAIN], REMOTE);
        let list: Route[] = [];
        for (const { change, route: changed } of changes) {
          fib.apply(change, changed, 1);
          const { prefix, metric } = changed;
          list = list.filter(
            (other) =>
              other.metric !== metric ||
              other.prefix.ip !== prefix.ip ||
              other.prefix.length !== prefix.length,
          );
          if (change === 'add') list.push(changed);
        }
        const address = (0x0a010100 + low) as Ip;
        const matching = list.filter((other) => contains(other.prefix, address));
        matching.sort((a, b) => b.prefix.length - a.prefix.length || a.metric - b.metric);
        const best = fib.bestRoute(address);
        assert.equal(best?.prefix.length, matching[0]?.prefix.length);
        assert.equal(best?.metric, matching[0]?.metric);
        const remotes = new Set(
          list.filter((other) => other.prefix.length === 32).map((other) => other.prefix.ip),
        );
        assert.deepEqual(new Set([...fib.allRemotes()].map((claim) => claim.ip)), remotes);
        assert.equal(fib.isNextHopElsewhere(ip('10.255.0.2'), LAN), list.length > 0);
      }),
      { numRuns: 500 },
    );
  });
});
