import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config/config.js';
import type { Facts, Finding } from '../../src/doctor/finding.js';
import { checkSharedLans } from '../../src/doctor/shared-lans.js';
import type { Link } from '../../src/mobility/events.js';
import type { Mac } from '../../src/wire/addresses.js';
import { link as linkOf } from './mobility/small-router.js';

/** Several first-hop routers on one LAN (design.md 3.5): what does not fit, and what VRRP daemons leave to others. */

const configOf = (keys: string) =>
  parseConfig(
    `[[interface]]\nname = "lan0"\n${keys}\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.1"\n`,
  );

const link = (name: string, index: number, addresses: readonly string[], more: Partial<Link> = {}) =>
  linkOf(index, name, addresses, { rpFilter: 0, ...more });
const macvlan = (addresses: readonly string[]) =>
  link('vrrp4-1', 9, addresses, { type: 'macvlan', lower: 3, mac: 0x00005e000133 as Mac });
const wan = link('wan', 2, ['192.0.2.1/30']);

function findings(
  keys: string,
  links: readonly Link[],
  { uplinks = [2], state = 'standby' }: { uplinks?: readonly number[]; state?: 'active' | 'standby' } = {},
): Finding[] {
  const facts = { links: [wan, ...links], uplinks } as unknown as Facts;
  const daemon = { roles: [{ interface: 'lan0', state }] } as unknown as Parameters<
    typeof checkSharedLans
  >[2];
  const lans = links.filter(({ name }) => name === 'lan0');
  return checkSharedLans(facts, configOf(keys), daemon, lans).filter(({ level }) => level !== 'ok');
}

const GATEWAY = 'role = "gateway"\npeers = ["10.1.1.3"]';
const own = link('lan0', 3, ['10.1.1.2/24']);

describe('doctor on a LAN with several routers', () => {
  it('finds nothing with an address of its own and the gateway as a /32 on a macvlan, or with one router', () => {
    assert.deepEqual(findings(GATEWAY, [own, macvlan(['10.1.1.1/32'])], { state: 'active' }), []);
    assert.deepEqual(findings(GATEWAY, [own, macvlan([])]), []);
    assert.deepEqual(findings('', [link('lan0', 3, ['10.1.1.1/24'])]), []);
  });

  it('finds nothing wrong with a link-local gateway that has its prefix (RFC 4291 section 2.5.6)', () => {
    const both = link('lan0', 3, ['10.1.1.2/24', '2001:db8:1::2/64', 'fe80::2/64']);
    const ipv6 = `${GATEWAY}\n[router]\nfamilies = ["ipv4", "ipv6"]\n[[subnet]]\nprefix = "2001:db8:1::/64"\ngateway = ["fe80::1", "2001:db8:1::1"]`;
    assert.deepEqual(findings(ipv6, [both, macvlan(['fe80::1/64', '2001:db8:1::1/128'])]), []);
    const [found] = findings(ipv6, [both, macvlan(['2001:db8:1::1/64'])]);
    assert.match(
      found?.message ?? '',
      /^2001:db8:1::1\/64 on vrrp4-1 gives its subnet a second connected route/,
    );
  });

  for (const [what, found, level, message] of [
    ['VRRP and no role', findings('', [own, macvlan([])]), 'error', /^vrrp4-1 belongs to a virtual router/],
    [
      'no address but the gateway',
      findings('role = "told"', [link('lan0', 3, ['10.1.1.1/24'])]),
      'error',
      /no address of its own/,
    ],
    [
      'no address but the gateway and one of IPv6, which the kernel gives to each interface',
      findings('role = "told"', [link('lan0', 3, ['10.1.1.1/24', 'fe80::a1/64'])]),
      'error',
      /no address of its own for IPv4/,
    ],
    [
      'the gateway as a /24 on a macvlan',
      findings(GATEWAY, [own, macvlan(['10.1.1.1/24'])]),
      'warning',
      /^10\.1\.1\.1\/24 on vrrp4-1 gives its subnet a second connected route/,
    ],
    [
      'peers with an address of this router',
      findings('role = "gateway"\npeers = ["10.1.1.2"]', [own]),
      'error',
      /10\.1\.1\.2, an address of this router/,
    ],
    [
      'peers elsewhere',
      findings('role = "gateway"\npeers = ["10.7.7.2"]', [own]),
      'warning',
      /10\.7\.7\.2, which is in no subnet of that LAN/,
    ],
    [
      'anycast without the gateway',
      findings('role = "second"', [own]),
      'error',
      /each router of an anycast group/,
    ],
    [
      'case 10: active, and the uplink is dead',
      findings(GATEWAY, [own, macvlan(['10.1.1.1/32'])], { state: 'active', uplinks: [] }),
      'warning',
      /^this router is active on lan0, and no route leads out/,
    ],
  ] as const)
    it(`${what}: ${level}`, () => {
      assert.equal(found.length, 1, JSON.stringify(found));
      assert.equal(found[0]?.level, level);
      assert.match(found[0]?.message ?? '', message);
      assert.ok(found[0]?.fix !== undefined);
    });
});
