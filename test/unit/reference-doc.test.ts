import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_FIELDS } from '../../scripts/reference/markdown.js';
import { installedRecord, recordOf } from '../../src/control/records.js';
import { type Action, EVIDENCE_KINDS } from '../../src/mobility/events.js';
import { type Ip, type Mac, parseIp, parseMac } from '../../src/wire/addresses.js';

/** What docs/reference.md says by hand. The rest of it is made of tables of the program. */

const ip = parseIp('10.1.1.5') as Ip;
const mac = parseMac('02:00:0a:01:01:05') as Mac;
const [evidence] = EVIDENCE_KINDS;
const place = { iface: 3, interface: 'lan0', mac } as const;

const ACTIONS: readonly Action[] = [
  {
    kind: 'transition',
    ip,
    from: 'proving',
    to: 'fresh',
    cause: 'proven',
    ...place,
    deadline: undefined,
    heardAt: 0,
    at: 0,
  },
  {
    kind: 'alarm',
    alarm: 'duplicate',
    ip,
    mac,
    interface: 'lan0',
    otherMac: undefined,
    otherInterface: 'remote',
    message: 'two',
    at: 0,
  },
  {
    kind: 'role',
    iface: 3,
    interface: 'lan0',
    family: 'ipv4',
    role: 'gateway',
    state: 'active',
    reason: 'gateway-here',
    at: 0,
  },
  { kind: 'answered', asker: ip, target: ip, interface: 'lan0', at: 0 },
  { kind: 'evidence', evidence, ip, ...place, rttMs: undefined, at: 0 },
  { kind: 'drop', reason: 'denied', ip, mac, iface: 3, at: 0 },
];

test('docs/reference.md names exactly the fields that the records of /v1/events have', () => {
  const records = [
    ...ACTIONS.map((action) => recordOf(action, 0, () => 'lan0')),
    installedRecord(ip, 'fresh', 'lan0', 1, 0, 0),
    { event: 'lost' as const, lost: 3 },
  ];
  const documented = new Map(
    Object.entries(EVENT_FIELDS).map(([kind, { fields }]) => [kind, [...fields].sort()]),
  );
  for (const record of records) {
    const { event = '', time: _, ...fields } = record ?? {};
    assert.deepEqual(Object.keys(fields).sort(), documented.get(event), event);
    documented.delete(event);
  }
  assert.deepEqual([...documented.keys()], [], 'documented, and of no record here');
});
