import assert from 'node:assert/strict';
import { ENGINES, type EngineName, SETTLE, shippedConfig } from '../routed/engines.js';
import { monotonicNs } from '../routed/gauges.js';
import { PROTOCOL } from '../kit/marpd.js';
import { pause, staysTrue, waitFor } from '../kit/program.js';
import { type FirstHop, HOST, PLACES, type Role } from '../routed/places.js';
import { RoutedSite } from '../routed/routed-site.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import { test } from 'node:test';

/**
 * The shipped configurations of FRR and BIRD, without marpd: claims are written by hand, with the metrics and in the
 * order that marpd writes them. What is shown here is the routing daemon's half of "newest claim wins" (design.md 3.3).
 */

const FRESH = 1;
const SETTLED = 210 * 2 ** 24 + 2;

const claim = (ip: string, metric: number, protocol = PROTOCOL) =>
  `route replace ${ip}/32 dev lan0 scope link proto ${protocol} metric ${metric}`;
const withdraw = (ip: string, metric: number) =>
  `route del ${ip}/32 dev lan0 proto ${PROTOCOL} metric ${metric}`;

/** Generous, for a busy machine. BIRD's OSPF announces a host again no sooner than 5 s after the last time. */
const PATIENCE_MS = 15_000;

class ByHand {
  constructor(readonly site: RoutedSite) {}

  fresh(at: FirstHop, ip = HOST): number {
    const now = monotonicNs();
    this.site.router(at).ip(claim(ip, FRESH));
    return now;
  }

  settle(at: FirstHop, ip = HOST): void {
    this.site.router(at).ip(claim(ip, SETTLED), withdraw(ip, FRESH));
  }

  withdraw(at: FirstHop, metric: number, ip = HOST): void {
    this.site.router(at).ip(withdraw(ip, metric));
  }

  /** Waits until the router's kernel sends to `via` with a route that is not ours, and by nothing else of that kind. */
  async remote(at: Role, via: string, ip = HOST): Promise<void> {
    await waitFor(
      () => {
        const theirs = this.site
          .router(at)
          .json<{ dst: string; protocol: string; gateway?: string; nexthops?: object[] }>('route', 'show', ip)
          .filter((route) => route.protocol !== PROTOCOL);
        return theirs.length === 1 && theirs[0]?.gateway === via;
      },
      PATIENCE_MS,
      `${ip} via ${via} at ${at}`,
      10,
    );
  }

  /** Waits until nobody but `owner` announces the host any more, as a router has heard. */
  async announcedBy(owner: FirstHop, at: Role, when: string): Promise<void> {
    await waitFor(
      () =>
        this.site
          .engine(at)
          .holdings()
          .filter(({ table, ip }) => ip === HOST && table !== 'zebra')
          .every(({ by }) => by === PLACES[owner].id),
      PATIENCE_MS,
      `${owner} to be the only one that announces ${HOST} at ${at} ${when}`,
      20,
    );
  }
}

for (const engine of ENGINES) {
  labTest(
    `${engine}: the newest claim wins, the old router stops announcing by itself, no stuck route is left (design.md 3.3)`,
    async (lab) => {
      const site = await new RoutedSite(lab, engine).startEngines();
      const hand = new ByHand(site);
      await site.clean(new Map());

      hand.fresh('r1');
      await hand.remote('r3', PLACES.r1.uplink);
      await hand.remote('r2', '192.0.2.9');
      hand.settle('r1');
      await site.clean(new Map([[HOST, 'r1']]), PATIENCE_MS);

      for (const round of engine === 'bird-ospf' && !SOAK ? [1] : [1, 2]) {
        hand.fresh('r2');
        await hand.remote('r3', PLACES.r2.uplink);
        // R1 still holds its settled claim; nobody has asked its daemon, and yet its announcement is gone.
        await hand.remote('r1', '192.0.2.10');
        await hand.announcedBy('r2', 'r3', `in round ${round}`);
        await pause(20); // design.md 3.3: never sooner
        hand.withdraw('r1', SETTLED);
        await site.clean(new Map([[HOST, 'r2']]), PATIENCE_MS);
        hand.settle('r2');
        await site.clean(new Map([[HOST, 'r2']]), PATIENCE_MS);

        // Home again: the fresh claim hides the remote one in R1's kernel at once.
        hand.fresh('r1');
        await hand.remote('r3', PLACES.r1.uplink);
        await hand.remote('r2', '192.0.2.9');
        await pause(20);
        hand.withdraw('r2', SETTLED);
        hand.settle('r1');
        await site.clean(new Map([[HOST, 'r1']]), PATIENCE_MS);
      }
      // The old router's daemon is dead: its settled claim stays for ever and must never win the traffic back.
      hand.fresh('r2');
      await hand.remote('r1', '192.0.2.10');
      // A claim lives fresh for longer than this takes (router.settle).
      await hand.announcedBy('r2', 'r2', 'at the end');
      hand.settle('r2');
      const via = () => site.router('r1').json<{ gateway?: string }>('route', 'get', HOST)[0]?.gateway;
      // By way of R3 for less than a millisecond: with BIRD's BGP it still tells of the fresh claim when R2 no longer does.
      await staysTrue(() => via() !== undefined, 1000, 'a remote route at R1');
      await hand.remote('r1', '192.0.2.10');
      await hand.remote('r3', PLACES.r2.uplink);
      hand.withdraw('r1', SETTLED);
      await site.clean(new Map([[HOST, 'r2']]), PATIENCE_MS);
      hand.withdraw('r2', SETTLED);
      await site.clean(new Map(), PATIENCE_MS);
    },
    120_000,
  );

  labTest(
    `${engine}: nothing but /32 claims of the mobile prefixes is announced (design.md 3.3)`,
    async (lab) => {
      const site = await new RoutedSite(lab, engine).startEngines();
      const strangers = ['10.9.9.9/32', '10.1.1.128/25', '10.1.0.0/16', '192.0.2.77/32'];
      const r1 = site.router('r1');
      r1.ip(...strangers.map((prefix) => `route add ${prefix} dev lan0 proto ${PROTOCOL} metric ${FRESH}`));
      // Somebody else's host route in a mobile prefix: told by protocol, by metric, or by interface.
      if (engine === 'frr-ospf') r1.ip(`route add 10.1.1.77/32 dev core0 proto ${PROTOCOL} metric ${FRESH}`);
      else if (engine === 'frr-bgp') r1.ip('route add 10.1.1.77/32 dev lan0 proto 99 metric 7');
      else r1.ip(`route add 10.1.1.77/32 dev lan0 proto 99 metric ${FRESH}`);
      const hand = new ByHand(site);
      hand.fresh('r1', '10.1.1.5');
      hand.fresh('r1', '10.2.2.5');
      await hand.remote('r3', PLACES.r1.uplink, '10.1.1.5');
      await hand.remote('r3', PLACES.r1.uplink, '10.2.2.5');
      const heard = site
        .router('r3')
        .json<{ dst: string; gateway?: string }>('route', 'show')
        .filter(({ dst, gateway }) => gateway === PLACES.r1.uplink && !dst.startsWith('192.0.2.'))
        .map(({ dst }) => dst);
      assert.deepEqual(heard.sort(), ['10.1.1.0/24', '10.1.1.5', '10.2.2.5']);
    },
  );

  // The rest of BIRD's OSPF is slow and no different.
  if (engine === 'bird-ospf' && !SOAK) continue;

  labTest(
    `${engine}: 500 claims in one burst are all announced, aged and withdrawn (design.md 3.3)`,
    async (lab) => {
      const site = await new RoutedSite(lab, engine).startEngines();
      const hosts = Array.from({ length: 500 }, (_, i) => `10.${i < 250 ? '1.1' : '2.2'}.${2 + (i % 250)}`);
      const truth = (at: FirstHop) => new Map(hosts.map((ip) => [ip, at]));
      site.router('r1').ip(...hosts.map((ip) => claim(ip, FRESH)));
      await site.clean(truth('r1'), PATIENCE_MS);
      site.router('r1').ip(...hosts.flatMap((ip) => [claim(ip, SETTLED), withdraw(ip, FRESH)]));
      site.router('r2').ip(...hosts.map((ip) => claim(ip, FRESH)));
      await waitFor(
        () =>
          site
            .router('r1')
            .json<{ protocol: string; dst: string }>('route', 'show')
            .filter(({ dst, protocol }) => protocol !== PROTOCOL && hosts.includes(dst)).length === 500,
        PATIENCE_MS,
        '500 remote claims at R1',
        50,
      );
      await pause(20);
      site.router('r1').ip(...hosts.map((ip) => withdraw(ip, SETTLED)));
      await site.clean(truth('r2'), PATIENCE_MS);
      site.router('r2').ip(...hosts.map((ip) => withdraw(ip, FRESH)));
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
