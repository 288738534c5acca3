import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { type Ip, type Prefix, formatIp, parseIp, parsePrefix } from '../../src/wire/addresses.js';
import { SEED } from '../random.js';
import { type Network, site } from '../scenario/mapping/network.js';

/**
 * Any life of a site with a map-server ends with one owner of each host, the router where it is, and with the same at every
 * router; whatever was lost, repeated or overtaken on the way, and however often the server was away.
 */

const HOSTS = ['10.1.1.5', '10.1.1.6', '2001:db8::5'] as const;
const ROUTERS = ['R1', 'R2', 'R3'] as const;
const RLOC = { MS: '10.255.0.9', R1: '10.255.0.1', R2: '10.255.0.2', R3: '10.255.0.3' } as const;
const SOAK = process.env.MARPD_SOAK === '1';

type Step =
  | { readonly kind: 'move'; readonly host: string; readonly to: (typeof ROUTERS)[number] }
  | { readonly kind: 'leave'; readonly host: string }
  | { readonly kind: 'kill-server'; readonly forgets: boolean }
  | { readonly kind: 'start-server' }
  | { readonly kind: 'restart-router'; readonly name: (typeof ROUTERS)[number] }
  | { readonly kind: 'wait'; readonly ms: number };

const hosts = fc.constantFrom(...HOSTS);
const routers = fc.constantFrom(...ROUTERS);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('move' as const), host: hosts, to: routers }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), host: hosts }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill-server' as const), forgets: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('start-server' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart-router' as const), name: routers }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        ms: fc.constantFrom(1, 20, 500, 6000, 40_000),
      }),
    },
  ),
  { maxLength: 25 },
);

const prefixOf = (text: string) => parsePrefix(text) as Prefix;
const ipOf = (text: string) => parseIp(text) as Ip;

function apply(network: Network, step: Step): void {
  switch (step.kind) {
    case 'move':
      return network.move(step.host, step.to);
    case 'leave':
      network.places.delete(step.host);
      return;
    case 'kill-server':
      return network.kill(network.router('MS'), step.forgets);
    case 'start-server':
      if (network.router('MS').node === undefined) network.start('MS', RLOC.MS, [RLOC.MS]);
      return;
    case 'restart-router': {
      const router = network.start(step.name, RLOC[step.name], [RLOC.MS]);
      for (const [key, rloc] of router.routes) router.node?.client.cache.adopt(prefixOf(key), ipOf(rloc));
      for (const { prefix } of router.claims.values())
        router.node?.client.claim(prefix, 'settled', network.now);
      return;
    }
    case 'wait':
      return network.run(step.ms);
  }
}

it('one owner everywhere, in the end', () => {
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom(0, 0.1, 0.3), fc.boolean(), steps, (seed, loss, reorders, life) => {
      const network = site({ seed, reorders, delay: [0.2, reorders ? 20 : 0.4] });
      network.loss = loss;
      network.duplicates = loss;
      for (const step of life) apply(network, step);
      apply(network, { kind: 'start-server' });
      network.run(60_000);
      network.loss = 0;
      network.run(400_000);
      for (const host of HOSTS) {
        const place = network.places.get(host) as keyof typeof RLOC | undefined;
        const rloc = place === undefined ? undefined : RLOC[place];
        assert.equal(network.owner(host), rloc ?? '', `owner of ${host}`);
        for (const [name, route] of Object.entries(network.routesTo(host)))
          assert.equal(route, name === place ? undefined : rloc, `route of ${name} to ${host}`);
        for (const { node } of network.routers.values()) {
          const entries = node?.client.cache.entries().map(({ prefix }) => formatIp(prefix.ip)) ?? [];
          assert.equal(new Set(entries).size, entries.length);
        }
      }
    }),
    { seed: SEED, numRuns: SOAK ? 2000 : 60, endOnFailure: !SOAK },
  );
});
