import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import {
  matchesPattern,
  type Policy,
  policyRefusal,
  ruleFor,
  subnetOf,
} from '../../../src/mobility/policy.js';
import {
  type Ip,
  type Mac,
  type Prefix,
  parseIp,
  parseMac,
  parsePrefix,
} from '../../../src/wire/addresses.js';

const ip = (text: string): Ip => parseIp(text) as Ip;
const mac = (text: string): Mac => parseMac(text) as Mac;
const prefix = (text: string): Prefix => parsePrefix(text) as Prefix;

function policy(change: Partial<Policy> = {}): Policy {
  return { ...parseConfig('[[interface]]\nname = "lan0"\n').policy, ...change };
}

describe('interface patterns (design.md 4)', () => {
  it('only * and ? are special, and the whole name must match', () => {
    const rows: readonly (readonly [string, string, boolean])[] = [
      ['tap*', 'tap0', true],
      ['tap*', 'tap', true],
      ['tap*', 'mytap0', false],
      ['tap?', 'tap0', true],
      ['tap?', 'tap', false],
      ['tap?', 'tap10', false],
      ['*', 'anything', true],
      ['lan0', 'lan0', true],
      ['lan0', 'lan00', false],
      ['eth.1*', 'eth.10', true],
      ['eth.1*', 'ethx10', false],
      ['vm[0]*', 'vm[0]a', true],
      ['vm[0]*', 'vm0a', false],
      ['a+b?', 'a+bc', true],
      ['br-*-x', 'br-1-x', true],
      ['br-*-x', 'br-1-xy', false],
    ];
    for (const [pattern, name, matches] of rows)
      assert.equal(matchesPattern(pattern, name), matches, `${pattern} ${name}`);
  });

  it('the first rule that matches counts', () => {
    const [rule] = policy().interfaces;
    assert.ok(rule !== undefined);
    const rules = policy({
      interfaces: [
        { ...rule, pattern: 'tap7', learn: 'all' },
        { ...rule, pattern: 'tap*', learn: 'foreign' },
      ],
    });
    assert.equal(ruleFor(rules, 'tap7')?.learn, 'all');
    assert.equal(ruleFor(rules, 'tap8')?.learn, 'foreign');
    assert.equal(ruleFor(rules, 'lan0'), undefined);
  });
});

describe('subnets and who is allowed (design.md 3.1)', () => {
  it('the longest configured prefix is the home subnet', () => {
    const wide = { prefix: prefix('10.0.0.0/8'), gateways: [ip('10.0.0.1')] };
    const narrow = { prefix: prefix('10.1.1.0/24'), gateways: [ip('10.1.1.1')] };
    for (const subnets of [
      [wide, narrow],
      [narrow, wide],
    ]) {
      assert.equal(subnetOf(policy({ subnets }), ip('10.1.1.5')), narrow);
      assert.equal(subnetOf(policy({ subnets }), ip('10.1.2.5')), wide);
      assert.equal(subnetOf(policy({ subnets }), ip('192.0.2.1')), undefined);
      assert.equal(subnetOf(policy({ subnets }), ip('fd00::1')), undefined);
    }
  });

  it('deny outranks allow, allow outranks the default, bindings come last', () => {
    const host = ip('10.1.1.5');
    const [right, wrong] = [mac('02:00:00:00:00:05'), mac('02:00:00:00:00:06')];
    const byDefault = [prefix('10.1.1.0/24')];
    const bindings = new Map([[host, right]]);
    assert.equal(policyRefusal(policy(), byDefault, host, right), undefined);
    assert.equal(policyRefusal(policy(), [], host, right), 'not-allowed');
    assert.equal(
      policyRefusal(policy({ allow: [prefix('10.2.0.0/16')] }), byDefault, host, right),
      'not-allowed',
    );
    assert.equal(policyRefusal(policy({ allow: [] }), byDefault, host, right), 'not-allowed');
    assert.equal(policyRefusal(policy({ deny: [prefix('10.1.1.4/30')] }), byDefault, host, right), 'denied');
    assert.equal(policyRefusal(policy({ bindings }), byDefault, host, right), undefined);
    assert.equal(policyRefusal(policy({ bindings }), byDefault, host, wrong), 'mac-not-bound');
    assert.equal(policyRefusal(policy({ bindings }), byDefault, host, undefined), undefined);
    assert.equal(policyRefusal(policy({ bindings, deny: byDefault }), byDefault, host, wrong), 'denied');
  });
});
