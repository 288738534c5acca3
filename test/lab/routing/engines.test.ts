import assert from 'node:assert/strict';
import { ENGINES, type EngineName, SETTLE, shippedConfig } from '../routed/engines.js';
import { PROTOCOL } from '../kit/marpd.js';
import type { Namespace } from '../kit/namespace.js';
import { pause, staysTrue, waitFor } from '../kit/program.js';
import { type FirstHop, HOST, HOST_IPV6, PLACES, type Role, routerAt } from '../routed/places.js';
import { RoutedSite } from '../routed/routed-site.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import { test } from 'node:test';

/**
 * The shipped configurations of FRR and BIRD, without marpd: claims are written by hand, with the metrics and in the
 * order that marpd writes them, for both families. What is shown here is the routing daemon's half of "newest claim wins" (design.md 3.3).
 */

const FRESH = 1;
const SETTLED = 210 * 2 ** 24 + 2;

const flag = (ip: string) => (ip.includes(':') ? '-6' : '-4');
const length = (ip: string) => (ip.includes(':') ? 128 : 32);
const claim = (ip: string, metric: number, protocol = PROTOCOL) =>
  `route replace ${ip}/${length(ip)} dev lan0 scope link proto ${protocol} metric ${metric}`;
const withdraw = (ip: string, metric: number) =>
  `route del ${ip}/${length(ip)} dev lan0 proto ${PROTOCOL} metric ${metric}`;

const FAMILIES = ['ipv4', 'ipv6'] as const;
/** Of the routers themselves, in OSPF below BGP. */
const CORE_LOOPBACK = /^2001:db8:c0::\d$/;
/** The addresses of one dual-stack host: they move together. */
const BOTH = [HOST, HOST_IPV6];
const truth = (at: FirstHop, ips: readonly string[] = BOTH) => new Map(ips.map((ip) => [ip, at]));

/** Generous, for a busy machine. BIRD's OSPF announces a host again no sooner than 5 s after the last time. */
const PATIENCE_MS = 15_000;

interface KernelRoute {
  readonly dst: string;
  readonly protocol: string;
  readonly gateway?: string;
}
const routes = (router: Namespace): KernelRoute[] =>
  ['-4', '-6'].flatMap((family) => router.json<KernelRoute>(family, 'route', 'show'));

class ByHand {
  constructor(readonly site: RoutedSite) {}

  fresh(at: FirstHop, ips: readonly string[] = BOTH): void {
    this.site.router(at).ip(...ips.map((ip) => claim(ip, FRESH)));
  }

  settle(at: FirstHop, ips: readonly string[] = BOTH): void {
    this.site.router(at).ip(...ips.flatMap((ip) => [claim(ip, SETTLED), withdraw(ip, FRESH)]));
  }

  withdraw(at: FirstHop, metric: number, ips: readonly string[] = BOTH): void {
    this.site.router(at).ip(...ips.map((ip) => withdraw(ip, metric)));
  }

  /** Waits until the router's kernel sends to `to` with routes that are not ours, and by nothing else of that kind. */
  async remote(at: Role, to: Role, ips: readonly string[] = BOTH): Promise<void> {
    for (const ip of ips) {
      await waitFor(
        () => {
          const theirs = this.site
            .router(at)
            .json<KernelRoute>(flag(ip), 'route', 'show', ip)
            .filter((route) => route.protocol !== PROTOCOL);
          return theirs.length === 1 && routerAt(theirs[0]?.gateway ?? '') === to;
        },
        PATIENCE_MS,
        `${ip} via ${to} at ${at}`,
        10,
      );
    }
  }

  /** Waits until nobody but `owner` announces the host any more, as a router has heard. */
  async announcedBy(owner: FirstHop, at: Role, when: string): Promise<void> {
    await waitFor(
      () =>
        this.site
          .engine(at)
          .holdings()
          .filter(({ table, ip }) => BOTH.includes(ip) && table !== 'zebra')
          .every(({ by }) => by === PLACES[owner].id),
      PATIENCE_MS,
      `${owner} to be the only one that announces the host at ${at} ${when}`,
      20,
    );
  }
}

for (const engine of ENGINES) {
  labTest(
    `${engine}: the newest claim wins, the old router stops announcing by itself, no stuck route is left (design.md 3.3)`,
    async (lab) => {
      const site = await new RoutedSite(lab, engine, { families: FAMILIES }).startEngines();
      const hand = new ByHand(site);
      await site.clean(new Map());

      hand.fresh('r1');
      await hand.remote('r3', 'r1');
      await hand.remote('r2', 'r1');
      hand.settle('r1');
      await site.clean(truth('r1'), PATIENCE_MS);

      for (const round of engine === 'bird-ospf' && !SOAK ? [1] : [1, 2]) {
        hand.fresh('r2');
        await hand.remote('r3', 'r2');
        // R1 still holds its settled claim; nobody has asked its daemon, and yet its announcement is gone.
        await hand.remote('r1', 'r2');
        await hand.announcedBy('r2', 'r3', `in round ${round}`);
        await pause(20); // design.md 3.3: never sooner
        hand.withdraw('r1', SETTLED);
        await site.clean(truth('r2'), PATIENCE_MS);
        hand.settle('r2');
        await site.clean(truth('r2'), PATIENCE_MS);

        // Home again: the fresh claim hides the remote one in R1's kernel at once.
        hand.fresh('r1');
        await hand.remote('r3', 'r1');
        await hand.remote('r2', 'r1');
        await pause(20);
        hand.withdraw('r2', SETTLED);
        hand.settle('r1');
        await site.clean(truth('r1'), PATIENCE_MS);
      }
      // The old router's daemon is dead: its settled claim stays for ever and must never win the traffic back.
      hand.fresh('r2');
      await hand.remote('r1', 'r2');
      // A claim lives fresh for longer than this takes (router.settle).
      await hand.announcedBy('r2', 'r2', 'at the end');
      hand.settle('r2');
      const away = () =>
        BOTH.every((ip) => site.router('r1').json<KernelRoute>('route', 'get', ip)[0]?.gateway !== undefined);
      // By way of R3 for less than a millisecond: with BIRD's BGP it still tells of the fresh claim when R2 no longer does.
      await staysTrue(away, 1000, 'a remote route at R1');
      await hand.remote('r1', 'r2');
      await hand.remote('r3', 'r2');
      hand.withdraw('r1', SETTLED);
      await site.clean(truth('r2'), PATIENCE_MS);
      hand.withdraw('r2', SETTLED);
      await site.clean(new Map(), PATIENCE_MS);
    },
    120_000,
  );

  labTest(
    `${engine}: nothing but host routes of the mobile prefixes that are claims is announced (design.md 3.3)`,
    async (lab) => {
      const site = await new RoutedSite(lab, engine, { families: FAMILIES }).startEngines();
      const strangers = ['10.9.9.9/32', '10.1.1.128/25', '10.1.0.0/16', '192.0.2.77/32'];
      const strangersOfIpv6 = [
        '2001:db8:9::9/128',
        '2001:db8:1::/80',
        '2001:db8::/32',
        '2001:db8:c0::77/128',
      ];
      const r1 = site.router('r1');
      r1.ip(
        ...[...strangers, ...strangersOfIpv6].map(
          (prefix) => `route add ${prefix} dev lan0 proto ${PROTOCOL} metric ${FRESH}`,
        ),
      );
      // Somebody else's host route in a mobile prefix: told by protocol, by metric, or by interface.
      for (const prefix of ['10.1.1.77/32', '2001:db8:1::77/128']) {
        if (engine === 'frr-ospf') r1.ip(`route add ${prefix} dev core0 proto ${PROTOCOL} metric ${FRESH}`);
        else if (engine === 'frr-bgp') r1.ip(`route add ${prefix} dev lan0 proto 99 metric 7`);
        else r1.ip(`route add ${prefix} dev lan0 proto 99 metric ${FRESH}`);
      }
      const hand = new ByHand(site);
      const claims = ['10.1.1.5', '10.2.2.5', '2001:db8:1::5', '2001:db8:2::5'];
      hand.fresh('r1', claims);
      await hand.remote('r3', 'r1', claims);
      const heard = routes(site.router('r3'))
        .filter(({ gateway }) => gateway !== undefined && routerAt(gateway) === 'r1')
        .map(({ dst }) => dst)
        .filter((dst) => !dst.startsWith('192.0.2.') && !CORE_LOOPBACK.test(dst));
      assert.deepEqual(heard.sort(), ['10.1.1.0/24', '2001:db8:1::/64', ...claims].sort());
    },
  );

  // The rest of BIRD's OSPF is slow and no different.
  if (engine === 'bird-ospf' && !SOAK) continue;

  labTest(
    `${engine}: 500 dual-stack hosts in one burst are all announced, aged and withdrawn (design.md 3.3)`,
    async (lab) => {
      const site = await new RoutedSite(lab, engine, { families: FAMILIES }).startEngines();
      const hosts = Array.from({ length: 500 }, (_, i) => {
        const [home, number] = [i < 250 ? 1 : 2, 2 + (i % 250)];
        return [`10.${home}.${home}.${number}`, `2001:db8:${home}::${number.toString(16)}`];
      }).flat();
      const hand = new ByHand(site);
      hand.fresh('r1', hosts);
      await site.clean(truth('r1', hosts), PATIENCE_MS);
      hand.settle('r1', hosts);
      hand.fresh('r2', hosts);
      const wanted = new Set(hosts);
      await waitFor(
        () =>
          routes(site.router('r1')).filter(({ dst, protocol }) => protocol !== PROTOCOL && wanted.has(dst))
            .length === hosts.length,
        PATIENCE_MS,
        `${hosts.length} remote claims at R1`,
        50,
      );
      await pause(20);
      hand.withdraw('r1', SETTLED, hosts);
      await site.clean(truth('r2', hosts), PATIENCE_MS);
      hand.withdraw('r2', FRESH, hosts);
      await site.clean(new Map(), PATIENCE_MS);
    },
  );
}

test('every router of the site is configured for every engine, and settle times suit them', () => {
  for (const engine of ENGINES satisfies readonly EngineName[]) {
    for (const role of ['r1', 'r2', 'r3']) assert.match(shippedConfig(engine, role), /192\.0\.2\.25[123]/);
    assert.match(SETTLE[engine], /^\d+s$/);
  }
});
