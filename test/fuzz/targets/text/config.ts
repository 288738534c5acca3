import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ConfigError, needsRestart, parseConfig } from '../../../../src/config/config.js';
import { HostTracker } from '../../../../src/mobility/tracker.js';
import { networkOf } from '../../../../src/wire/addresses.js';
import type { Target } from '../../engine/target.js';

/** The configuration file: any text is a configuration that can work, or a ConfigError that says what is wrong. */

const MAX_PROBLEM = 2000;

export const target: Target = {
  covers: ['src/config/'],
  maxBytes: 3000,
  words: [
    '[[interface]]',
    '[[subnet]]',
    '[',
    ']',
    '[[',
    '{',
    '}',
    '"""',
    "'''",
    '\n',
    ' = ',
    '"',
    '#',
    '0x',
    'nan',
    'inf',
    'true',
    '1979-05-27',
    '_',
    '__proto__',
    'constructor',
  ],
  seeds: () =>
    [
      'config/reference.toml',
      'config/marpd.toml',
      'config/libvirt/marpd.toml',
      'config/proxmox/marpd.toml',
    ].flatMap((path) => {
      // Without its comments a file is short enough for many changes a second.
      const text = readFileSync(path, 'utf8')
        .replace(/^# .*\n|^#\n| +# .*$/gm, '')
        .replace(/^#/gm, '');
      return [text, ...text.split(/\n(?=\[)/).map((section) => `[[interface]]\nname = "lan0"\n${section}`)];
    }),
  run(input) {
    const text = new TextDecoder().decode(input);
    let config: ReturnType<typeof parseConfig>;
    try {
      config = parseConfig(text, 'marpd.toml');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      assert.ok(error.problems.length > 0);
      for (const problem of error.problems) {
        assert.ok(problem.length > 0 && problem.length < MAX_PROBLEM + text.length, problem);
      }
      return;
    }
    assert.deepEqual(parseConfig(text), config, 'the same text gives the same configuration');
    assert.deepEqual(needsRestart(config, config), []);
    const { policy, router } = config;
    assert.ok(policy.interfaces.length > 0);
    for (const rule of policy.interfaces) {
      const times = [rule.keepaliveMs, rule.holdMs, rule.keepaliveTimeoutMs];
      assert.ok(
        times.every((ms) => Number.isSafeInteger(ms) && ms > 0),
        JSON.stringify(rule),
      );
      assert.ok(rule.holdMs > rule.keepaliveMs);
    }
    for (const { prefix } of policy.subnets) assert.equal(networkOf(prefix.ip, prefix.length), prefix.ip);
    const numbers = [...Object.values(policy.limits), ...Object.values(policy.timers)];
    assert.ok(numbers.every((number) => typeof number !== 'number' || number >= 0));
    assert.ok(router.protocol >= 5 && router.protocol <= 255);
    assert.ok(router.stateDirectory.startsWith('/'));
    assert.notEqual(router.freshMetric, router.settledMetric);
    new HostTracker(policy).handle({ kind: 'tick' }, 1);
  },
};
