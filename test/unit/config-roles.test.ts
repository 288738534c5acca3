import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, parseConfig } from '../../src/config/config.js';
import { parseIp } from '../../src/wire/addresses.js';

/** `role` and `peers` of an interface (design.md 3.5). */

const SUBNET = '[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.1"\n';

const problemsOf = (text: string): readonly string[] => {
  try {
    parseConfig(text);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};
const lan = (keys: string) => `[[interface]]\nname = "lan0"\n${keys}\n`;

describe('role and peers', () => {
  it('arrive as typed values', () => {
    const { policy } = parseConfig(lan('role = "gateway"\npeers = ["10.1.1.2", "10.1.1.3"]') + SUBNET);
    assert.equal(policy.interfaces[0]?.role, 'gateway');
    assert.deepEqual(policy.interfaces[0]?.peers, [parseIp('10.1.1.2'), parseIp('10.1.1.3')]);
  });

  for (const [what, text, message] of [
    [
      'an unknown role',
      lan('role = "master"'),
      /^interface\[0\]\.role: must be "alone" or "gateway" or "told"/,
    ],
    [
      'a role that follows no gateway',
      lan('role = "gateway"'),
      /^interface\[0\]\.role: "gateway" follows the gateway address of a \[\[subnet\]\] on this LAN, and no/,
    ],
    [
      'claims without a proof',
      lan('role = "told"\nprove = "never"'),
      /^interface\[0\]\.prove: "never" with role = "told": .* \(prove = "before"\)$/,
    ],
    [
      'the same by policy.prove',
      `${lan('role = "second"')}${SUBNET}[policy]\nprove = "after"\n`,
      /^interface\[0\]\.role: policy\.prove is "after" with role = "second"/,
    ],
    [
      'a peer twice',
      lan('peers = ["10.1.1.2", "10.1.1.2"]'),
      /^interface\[0\]\.peers\[1\]: 10\.1\.1\.2 is named twice/,
    ],
    [
      'the gateway as a peer',
      lan('peers = ["10.1.1.1"]') + SUBNET,
      /^interface\[0\]\.peers: 10\.1\.1\.1 is a gateway; name the addresses that the other routers have/,
    ],
    ['a peer that is no host', lan('peers = ["224.0.0.18"]'), /^interface\[0\]\.peers\[0\]: /],
  ] as const)
    it(`${what} is refused`, () => {
      const problems = problemsOf(text);
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0] ?? '', message);
    });
});
