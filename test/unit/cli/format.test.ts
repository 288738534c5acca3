import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRecord, formatStatus } from '../../../src/cli/format.js';
import { PLAIN, formatAge, formatTable } from '../../../src/cli/table.js';
import { status } from '../control/fixture.js';

test('ages are short and round the way people expect', () => {
  for (const [ms, text] of [
    [0, '0ms'],
    [999, '999ms'],
    [999.6, '1.0s'],
    [1234, '1.2s'],
    [59_949, '59.9s'],
    [59_960, '1m00s'],
    [61_000, '1m01s'],
    [3_599_400, '59m59s'],
    [3_723_000, '1h02m'],
    [100 * 3_600_000, '4d04h'],
  ] as const) {
    assert.equal(formatAge(ms), text);
  }
});

test('tables align, and no line ends with spaces', () => {
  assert.equal(
    formatTable(
      ['A', 'B', 'C'],
      [
        ['long cell', '', ''],
        ['x', 'y', 'z'],
      ],
    ),
    'A          B  C\nlong cell\nx          y  z\n',
  );
});

test('the status names a role where a LAN has several routers, as far as is known', () => {
  const why = 'another machine has its gateway';
  const alone = {
    interface: 'lan0',
    role: 'alone',
    state: 'active',
    reason: 'alone',
    why,
    sinceMs: 5000,
  } as const;
  for (const contests of [true, false]) {
    const text = formatStatus({ ...status, roles: [{ ...alone, contests }] }, PLAIN);
    assert.equal(text.includes('role on lan0') && text.includes(why), !contests);
  }
});

test('every kind of record has its line', () => {
  const time = '2024-05-01T12:00:00.000000Z';
  for (const [record, line] of [
    [
      {
        event: 'alarm',
        time,
        ip: '10.1.1.5',
        alarm: 'duplicate',
        message: 'two hosts',
        interface: 'lan0',
        mac: 'a',
        otherMac: 'b',
        otherInterface: 'remote',
      },
      / ALARM duplicate: two hosts on lan0 a against b on remote$/,
    ],
    [
      {
        event: 'alarm',
        time,
        ip: null,
        alarm: 'newcomer-storm',
        message: 'too many',
        interface: 'lan0',
        mac: null,
        otherMac: null,
        otherInterface: null,
      },
      / - {14} ALARM newcomer-storm: too many on lan0$/,
    ],
    [
      { event: 'answered', time, ip: '10.1.1.5', target: '10.1.1.1', interface: 'lan1' },
      / 10\.1\.1\.5 +asked for 10\.1\.1\.1 on lan1: answered$/,
    ],
    [
      {
        event: 'evidence',
        time,
        ip: '10.1.1.5',
        evidence: 'answer',
        interface: 'lan1',
        mac: 'a',
        rttMs: 0.42,
      },
      / answer on lan1 a after 0\.4 ms$/,
    ],
    [
      { event: 'drop', time, ip: null, reason: 'truncated', interface: null, mac: null },
      / ignored: truncated$/,
    ],
    [
      { event: 'installed', time, ip: '10.1.1.5', age: 'fresh', interface: 'lan1', latencyMs: 0.5 },
      / fresh route installed on lan1 0\.50 ms after the frame or command that caused it$/,
    ],
    [{ event: 'lost', lost: 7 }, /^\.\.\. 7 records lost/],
  ] as const) {
    assert.match(formatRecord(record), line);
  }
});
