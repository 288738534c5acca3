import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LinkStates } from '../../../src/kernel/claims/link-states.js';
import type { Link } from '../../../src/mobility/events.js';
import { type Ip, type Mac, type Prefix, parseIp, parsePrefix } from '../../../src/wire/addresses.js';

const link = (more: Partial<Link> = {}): Link => ({
  index: 2,
  name: 'lan0',
  mac: 1 as Mac,
  up: true,
  carrier: true,
  master: undefined,
  type: 'veth',
  addresses: [parsePrefix('10.1.1.1/24') as Prefix],
  rpFilter: 0,
  ...more,
});
const ipv4 = parseIp('10.1.1.5') as Ip;
const ipv6 = parseIp('2001:db8::5') as Ip;
const SAME = { lost: false, back: false };
const LOST = { lost: true, back: false };
const BACK = { lost: false, back: true };

describe('which links can hold claims (design.md 5.6)', () => {
  it('what is first heard of a link is no change', () => {
    assert.deepEqual(new LinkStates().change(link({ up: false })), { ipv4: SAME, ipv6: SAME });
  });

  it('admin down takes both families, the last IPv4 address one, the loss of IPv6 the other', () => {
    for (const [more, lost, back] of [
      [{ up: false }, { ipv4: LOST, ipv6: LOST }, { ipv4: BACK, ipv6: BACK }],
      [{ addresses: [] }, { ipv4: LOST, ipv6: SAME }, { ipv4: SAME, ipv6: SAME }],
      [{ hasIpv6: false }, { ipv4: SAME, ipv6: LOST }, { ipv4: SAME, ipv6: BACK }],
    ] as const) {
      const states = new LinkStates();
      states.change(link({ hasIpv6: true }));
      assert.deepEqual(states.change(link(more)), lost);
      assert.deepEqual(states.change(link(more)), { ipv4: SAME, ipv6: SAME });
      assert.deepEqual(states.change(link({ hasIpv6: true })), back);
    }
  });

  it('down with IPv6 disabled: enabling it alone brings nothing back', () => {
    const states = new LinkStates();
    states.change(link({ up: false, hasIpv6: false }));
    assert.deepEqual(states.change(link({ up: false, hasIpv6: true })), { ipv4: SAME, ipv6: SAME });
    assert.ok(!states.isUsable(ipv6, 2));
    states.change(link({ up: true, hasIpv6: false }));
    assert.deepEqual([states.isUsable(ipv4, 2), states.isUsable(ipv6, 2)], [true, false]);
    assert.ok(states.isUsable(ipv6, 9), 'a link that is not known yet');
  });
});
