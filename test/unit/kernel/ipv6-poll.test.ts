import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ipv6Poll } from '../../../src/kernel/watch/ipv6-poll.js';
import { link } from '../mobility/small-router.js';

describe('whether interfaces do IPv6 is looked at in turn', () => {
  const links = (count: number, hasIpv6: boolean, from = 1) =>
    Array.from({ length: count }, (_, at) => link(from + at, `tap${from + at}`, [], { hasIpv6 }));

  it('of a thousand ports without IPv6 no more than of others, and each has its turn', () => {
    const looked: number[] = [];
    const poll = new Ipv6Poll((iface) => looked.push(iface));
    const all = [...links(1000, false), ...links(10, true, 2000)];
    const seen = new Set<number>();
    for (let second = 0; second < 17; second++) {
      looked.length = 0;
      poll.check(all);
      assert.ok(looked.length <= 128, `${looked.length} in one second`);
      for (const iface of looked) seen.add(iface);
    }
    assert.equal(seen.size, all.length);
  });

  it('a few without IPv6 are looked at each second, however many have it', () => {
    const looked: number[] = [];
    const poll = new Ipv6Poll((iface) => looked.push(iface));
    const all = [...links(500, true), ...links(3, false, 2000)];
    for (let second = 0; second < 3; second++) {
      looked.length = 0;
      poll.check(all);
      for (const { index } of all.slice(-3)) assert.ok(looked.includes(index));
    }
  });
});
