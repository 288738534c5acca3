import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isGroupMac, isMulticast, isUnspecified } from '../../../../src/wire/addresses.js';
import { allowedHosts, readSavedHosts, writeSavedHosts } from '../../../../src/system/state/saved-hosts.js';
import { Driver, testPolicy } from '../../../property/driver.js';
import { assertCounts } from '../../../property/steps.js';
import { type Target, scratch } from '../../engine/target.js';

/** `hosts.json`: damaged, of another version, or written by somebody else. */

const directory = scratch('hosts');
const policy = testPolicy();

export const target: Target = {
  covers: ['src/system/state/saved-hosts.ts', 'src/mobility/input/commands.ts', 'src/mobility/policy.ts'],
  maxBytes: 4000,
  words: [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    'null',
    '-1',
    '1e999',
    '\\u0000',
    '"__proto__"',
    '10.9.9.5',
    'lan0',
  ],
  run(input) {
    writeFileSync(join(directory, 'hosts.json'), input);
    const warnings: string[] = [];
    const hosts = readSavedHosts(directory, (message) => warnings.push(message));
    assert.ok(warnings.length <= 1);
    writeSavedHosts(directory, hosts, new Date(0));
    assert.deepEqual(readSavedHosts(directory, assert.fail), hosts, 'what is written is read again');
    const allowed = allowedHosts(hosts, policy);
    for (const { ip, mac } of allowed) assert.ok(!isUnspecified(ip) && !isMulticast(ip) && mac >= 0);
    const driver = new Driver(policy);
    driver.boot();
    driver.handle({ kind: 'remember', memories: allowed });
    driver.advance(5000);
    assertCounts(driver);
    for (const [, host] of driver.router.hosts())
      assert.ok(host.attachment === undefined || !isGroupMac(host.attachment.mac));
  },
  close: () => rmSync(directory, { recursive: true, force: true }),
};
