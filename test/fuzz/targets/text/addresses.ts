import assert from 'node:assert/strict';
import { formatDurationMs, parseDurationMs } from '../../../../src/config/durations.js';
import { parseSizeBytes } from '../../../../src/config/scalars.js';
import {
  contains,
  formatIp,
  formatMac,
  formatPrefix,
  hostLength,
  networkOf,
  parseIp,
  parseMac,
  parsePrefix,
} from '../../../../src/wire/addresses.js';
import { readHostIp, readHostMac, readHostPrefix, readIp } from '../../../../src/wire/host-address.js';
import { type Target, textOf } from '../../engine/target.js';

/** Scalars that people and programs write: each that is read is written in a form that is read as the same. */

export const target: Target = {
  covers: ['src/wire/addresses.ts', 'src/wire/host-address.ts'],
  maxBytes: 80,
  words: ['::', ':', '.', '/', '255', '0', 'ffff', '::ffff:', '10.1.1.1', '/24', '/128', 'ms', 'KiB'],
  seeds: () => [
    '10.1.1.5',
    '10.1.1.0/24',
    'fe80::1',
    '2001:db8::/32',
    '::ffff:192.0.2.1',
    '1:2:3:4:5:6:7:8',
    '02:00:0a:01:01:05',
    '02-00-0A-01-01-05',
    '1.5s',
    '250ms',
    '32MiB',
  ],
  run(input) {
    const text = textOf(input);
    const ip = parseIp(text);
    if (ip !== undefined) {
      const canonical = formatIp(ip);
      assert.equal(parseIp(canonical), ip);
      assert.equal(formatIp(parseIp(canonical) ?? ip), canonical);
      assert.ok(typeof ip === 'number' ? ip >= 0 && ip < 2 ** 32 : ip.length === 16);
      assert.deepEqual(parsePrefix(text), { ip, length: hostLength(ip) });
    }
    const prefix = parsePrefix(text);
    if (prefix !== undefined) {
      assert.deepEqual(parsePrefix(formatPrefix(prefix)), prefix);
      const network = networkOf(prefix.ip, prefix.length);
      assert.ok(contains(prefix, network) && contains(prefix, prefix.ip));
      assert.equal(networkOf(network, prefix.length), network);
    }
    const mac = parseMac(text);
    if (mac !== undefined) {
      assert.equal(parseMac(formatMac(mac)), mac);
      assert.equal(formatMac(mac), text.toLowerCase().replaceAll('-', ':'));
    }
    for (const read of [readIp, readHostIp, readHostMac, readHostPrefix]) {
      const reading = read(text);
      if ('problem' in reading) assert.ok(reading.problem.length > 0 && reading.problem.length < 1000);
    }
    const ms = parseDurationMs(text);
    if (ms !== undefined) {
      assert.ok(Number.isSafeInteger(ms) && ms >= 0);
      assert.equal(parseDurationMs(formatDurationMs(ms)), ms);
    }
    const bytes = parseSizeBytes(text);
    if (bytes !== undefined) assert.ok(Number.isSafeInteger(bytes) && bytes >= 0);
  },
};
