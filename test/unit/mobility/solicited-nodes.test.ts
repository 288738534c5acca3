import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SolicitedNodes } from '../../../src/mobility/presence/solicited-nodes.js';
import { type Ipv6, low24, parseIp } from '../../../src/wire/addresses.js';

describe('addresses by the group that all of them are in', () => {
  const ip6 = (text: string) => parseIp(text) as Ipv6;

  it('are found by it, each once, for as long as they are there', () => {
    const nodes = new SolicitedNodes();
    const [one, other, another] = [ip6('2001:db8:1::5'), ip6('2001:db8:2::5'), ip6('2001:db8:1::6')];
    for (const ip of [one, one, other, another, other]) nodes.add(ip);
    nodes.add(parseIp('10.0.0.5') ?? one);
    assert.deepEqual(nodes.get(5), [one, other]);
    assert.deepEqual(nodes.get(6), [another]);
    nodes.delete(one);
    nodes.delete(one);
    assert.deepEqual(nodes.get(5), [other]);
    nodes.delete(other);
    assert.deepEqual(nodes.get(5), []);
    nodes.delete(another);
    assert.deepEqual(nodes.get(6), []);
  });

  it('a `::1` of each prefix is added in no more time than others', () => {
    const msOf = (addresses: readonly Ipv6[]) => {
      const nodes = new SolicitedNodes();
      const began = performance.now();
      for (const ip of addresses) nodes.add(ip);
      return performance.now() - began;
    };
    const many = Array.from({ length: 16_000 }, (_, at) => at.toString(16));
    const apart = many.map((at) => ip6(`2001:db8::${at}`));
    const together = many.map((at) => ip6(`2001:db8:${at}::1`));
    assert.equal(new Set(together.map(low24)).size, 1);
    msOf(apart);
    const [apartMs, togetherMs] = [msOf(apart), msOf(together)];
    assert.ok(togetherMs < 10 * apartMs + 100, `${togetherMs} ms, and ${apartMs} ms`);
  });
});
