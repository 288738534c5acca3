import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, Link } from '../../../src/mobility/events.js';
import type { Policy } from '../../../src/mobility/policy.js';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import { type Mac, formatIp, parseIp, parsePrefix } from '../../../src/wire/addresses.js';
import { LAN1, link, macOf } from './small-router.js';
import {
  SHARED,
  advertise,
  ip6,
  lan6,
  makeRouter6,
  policy6,
  route,
  sent6,
  solicit,
  subnet6,
  until6,
} from './small-router6.js';

/** Several first-hop routers on one LAN (design.md 3.5): each family has its own gateways, and so its own role. */

const [VRRP4, VRRP6] = [20, 21];
const MAC4 = 0x00005e000133 as Mac;
const MAC6 = 0x00005e000233 as Mac;
const VISITOR = '2001:db8:1::5';
const OWN = 'fe80::b';

const macvlan = (index: number, mac: Mac, address: string, change: Partial<Link> = {}) =>
  link(index, `vrrp${index}`, [address], { mac, type: 'macvlan', lower: LAN1, ...change });
const with4 = macvlan(VRRP4, MAC4, '10.2.2.254/32');
const with6 = macvlan(VRRP6, MAC6, `${SHARED}/64`);

function policy(): Policy {
  const gateway = parseIp('10.2.2.254');
  const prefix = parsePrefix('10.2.2.0/24');
  assert.ok(gateway !== undefined && prefix !== undefined);
  const subnets = [
    { prefix, gateways: [gateway] },
    subnet6('2001:db8:1::/64', SHARED),
    subnet6('2001:db8:2::/64', SHARED),
  ];
  const made = policy6(subnets);
  const [rule] = made.interfaces;
  assert.ok(rule !== undefined);
  return { ...made, interfaces: [{ ...rule, role: 'gateway' }] };
}

/** A standby for both: its own addresses alone. */
function standby(): HostTracker {
  const own = ['10.2.2.2/24', '2001:db8:2::2/64', `${OWN}/64`];
  return makeRouter6(policy(), [lan6(LAN1, {}, own)]);
}

const states = (tracker: HostTracker) =>
  (['ipv4', 'ipv6'] as const).map((family) => tracker.roleOn(LAN1, family)?.state);
const changes = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === 'role' ? [[action.family, action.state]] : []));

describe('role = "gateway" in both families', () => {
  it('each is active while a gateway of it is there', () => {
    const tracker = standby();
    assert.deepEqual(states(tracker), ['standby', 'standby']);
    assert.deepEqual(changes(tracker.handle({ kind: 'link', link: with6 }, 100)), [['ipv6', 'active']]);
    assert.deepEqual(states(tracker), ['standby', 'active']);
    assert.match(
      tracker.roleOn(LAN1)?.why ?? '',
      /no gateway address .*; IPv6 is active: .* fe80::1 is on vrrp21/,
    );
    assert.deepEqual(changes(tracker.handle({ kind: 'link', link: with4 }, 200)), [['ipv4', 'active']]);
    assert.deepEqual(changes(tracker.handle({ kind: 'link-gone', iface: VRRP6 }, 300)), [
      ['ipv6', 'standby'],
    ]);
    assert.deepEqual(states(tracker), ['active', 'standby']);
  });

  it('a LAN without a gateway of one family follows the other', () => {
    const all = policy();
    const without6 = { ...all, subnets: all.subnets.slice(0, 2) };
    const tracker = makeRouter6(without6, [lan6(LAN1, {}, ['10.2.2.2/24', '2001:db8:2::2/64', `${OWN}/64`])]);
    assert.deepEqual(states(tracker), ['standby', 'standby']);
    tracker.handle({ kind: 'link', link: with4 }, 100);
    assert.deepEqual(states(tracker), ['active', 'active']);
  });

  it('a standby asks as itself, from its link-local address and with its own MAC, and answers nobody', () => {
    const tracker = standby();
    tracker.handle({ kind: 'link', link: with4 }, 100);
    const sent = sent6(solicit(tracker, LAN1, VISITOR, SHARED));
    assert.deepEqual(
      sent.map(({ purpose, source, sourceIp }) => [purpose, source, formatIp(sourceIp)]),
      [['probe', macOf(LAN1), OWN]],
    );
    advertise(tracker, LAN1, VISITOR, OWN);
    assert.equal(tracker.host(ip6(VISITOR))?.state, 'beneath', 'and leaves it to the active one');
  });

  it('a standby that announces a visitor answers it, and leaves the gateway of the LAN to the virtual router', () => {
    const tracker = standby();
    solicit(tracker, LAN1, VISITOR, SHARED);
    advertise(tracker, LAN1, VISITOR, OWN);
    until6(tracker, 2100);
    assert.equal(tracker.host(ip6(VISITOR))?.cause, 'unannounced');
    tracker.handle({ kind: 'installed', ip: ip6(VISITOR), age: 'fresh' }, 2101);
    const answers = (target: string, now: number) =>
      sent6(solicit(tracker, LAN1, VISITOR, target, { now })).filter(({ purpose }) => purpose === 'answer');
    assert.deepEqual(answers(SHARED, 2200), [], 'the kernel of the active router has it');
    const far = route('2001:db8:1::77/128', 188, 'fe80::fe');
    tracker.handle({ kind: 'route', change: 'add', route: far, initial: false }, 2300);
    assert.equal(answers('2001:db8:1::77', 2400).length, 1);
  });

  it('a promotion claims at once what is beneath, and asks in the gateway’s name with the MAC of its virtual router', () => {
    const tracker = standby();
    solicit(tracker, LAN1, VISITOR, SHARED);
    advertise(tracker, LAN1, VISITOR, OWN);
    const other = route(`${VISITOR}/128`, 188, 'fe80::fe');
    tracker.handle({ kind: 'route', change: 'add', route: other, initial: false }, 1050);
    assert.equal(tracker.host(ip6(VISITOR))?.state, 'beneath');
    assert.deepEqual(changes(tracker.handle({ kind: 'link', link: with4 }, 2000)), [['ipv4', 'active']]);
    assert.equal(tracker.host(ip6(VISITOR))?.state, 'beneath', 'IPv4 says nothing of it');
    const actions = tracker.handle({ kind: 'link', link: with6 }, 2100);
    const claim = actions.find(({ kind }) => kind === 'claim');
    assert.ok(claim?.kind === 'claim' && claim.ip === ip6(VISITOR) && claim.age === 'fresh');
    const probe = sent6(actions).find(({ purpose }) => purpose === 'probe');
    assert.deepEqual([probe?.source, probe?.linkLayerAddress, probe?.sourceIp], [MAC6, MAC6, ip6(SHARED)]);
  });
});
