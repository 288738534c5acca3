import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAUSE_MEANINGS, DROP_MEANINGS } from '../../../src/observe/descriptions.js';
import { HostHistory } from '../../../src/observe/history.js';
import {
  type Action,
  type AlarmKind,
  CAUSES,
  type Cause,
  DROP_REASONS,
  type DropReason,
  type EvidenceKind,
  type HostState,
} from '../../../src/mobility/events.js';
import { type Ip, type Ipv4, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';

const visitor = parseIp('10.1.1.5') as Ip;
const mac = parseMac('02:00:0a:01:01:05') as Mac;
const nameOf = (iface: number) => ({ 3: 'lan0', 4: 'lan1' })[iface];

const evidence = (
  at: number,
  kind: 'gratuitous' | 'request' | 'answer',
  rttMs?: number,
  ip = visitor,
): Action => ({
  kind: 'evidence',
  evidence: kind,
  ip,
  mac,
  iface: 4,
  interface: 'lan1',
  rttMs,
  at,
});
const transition = (at: number, from: HostState, to: HostState, cause: Cause, ip = visitor): Action => ({
  kind: 'transition',
  ip,
  from,
  to,
  cause,
  iface: 4,
  interface: 'lan1',
  mac,
  deadline: undefined,
  heardAt: at,
  at,
});
const drop = (at: number, reason: DropReason, ip: Ip | undefined = visitor): Action => ({
  kind: 'drop',
  reason,
  ip,
  mac,
  iface: 3,
  at,
});

function conclusion(...actions: Action[]): string {
  const journal = new HostHistory({ nameOf });
  for (const action of actions) journal.record(action);
  return journal.why(visitor, 10_000).conclusion;
}

test('what a host of IPv6 did is told in the words of Neighbor Discovery (RFC 4861, RFC 4862)', () => {
  const ip = parseIp('2001:db8:1::5') as Ip;
  const journal = new HostHistory({ nameOf });
  const heard = (at: number, kind: EvidenceKind): Action => ({
    kind: 'evidence',
    evidence: kind,
    ip,
    mac,
    iface: 4,
    interface: 'lan1',
    rttMs: undefined,
    at,
  });
  journal.record(heard(1000, 'probe'));
  journal.record(heard(2000, 'gratuitous'));
  journal.record(heard(3000, 'request'));
  journal.record(heard(4000, 'reply'));
  journal.record({
    kind: 'answered',
    asker: ip,
    target: parseIp('fe80::1') as Ip,
    interface: 'lan1',
    at: 5000,
  });
  assert.deepEqual(
    journal.why(ip, 10_000).records.map(({ text }) => text),
    [
      'Duplicate Address Detection (RFC 4862) from 02:00:0a:01:01:05 on lan1',
      'unsolicited neighbour advertisement from 02:00:0a:01:01:05 on lan1',
      'neighbour solicitation from 02:00:0a:01:01:05 on lan1',
      'neighbour advertisement from 02:00:0a:01:01:05 on lan1',
      'answered its neighbour solicitation for fe80::1 on lan1',
    ],
  );
  const never = journal.why(parseIp('2001:db8:1::6') as Ip, 10_000).conclusion;
  assert.match(never, /^never heard: no Neighbor Discovery from 2001:db8:1::6 was received/);
});

test('why says how a host was learned on a router that was active for a while', () => {
  const learned = [
    evidence(100.4, 'answer', 0.4),
    transition(100.4, 'proving', 'beneath', 'proven'),
    transition(2000, 'beneath', 'settled', 'surfaced'),
    transition(2001, 'settled', 'remembered', 'took-over'),
    transition(2026, 'remembered', 'fresh', 'took-over'),
    transition(4000, 'fresh', 'settled', 'aged'),
  ];
  assert.equal(conclusion(...learned), 'learned: answered the probe on lan1 after 0.4 ms (settled)');
  const sunk = conclusion(...learned, transition(9000, 'settled', 'beneath', 'remote-claim'));
  assert.match(sunk, /^standby on lan1: .* ours is beneath it; answered the probe on lan1 after 0\.4 ms$/);
});

test('why says how a host was learned, with the round trip of its proof', () => {
  const actions = [
    evidence(100, 'gratuitous'),
    transition(100, 'unknown', 'proving', 'sighting'),
    evidence(100.4, 'answer', 0.4),
    transition(100.4, 'proving', 'fresh', 'proven'),
  ];
  assert.equal(conclusion(...actions), 'learned: answered the probe on lan1 after 0.4 ms');
  assert.equal(
    conclusion(...actions, transition(1100.4, 'fresh', 'settled', 'aged')),
    'learned: answered the probe on lan1 after 0.4 ms (settled)',
  );
  assert.match(
    conclusion(transition(1, 'unknown', 'settled', 'adopted')),
    /^learned: its route was there when marpd started on lan1 \(settled\)$/,
  );
});

test('why tells of the proof that put the host where it is, not of an earlier one', () => {
  const on = (action: Action, iface: number) => ({ ...action, iface, interface: `lan${iface}` }) as Action;
  const proof = (at: number, rttMs: number, iface: number) => on(evidence(at, 'answer', rttMs), iface);
  const became = (at: number, from: HostState, to: HostState, cause: Cause, iface: number) =>
    on(transition(at, from, to, cause), iface);
  const moves = [
    became(10, 'unknown', 'proving', 'sighting', 1),
    proof(17.6, 7.6, 1),
    became(17.6, 'proving', 'fresh', 'proven', 1),
    proof(2000, 0.3, 2),
    became(2000, 'fresh', 'fresh', 'moved', 2),
  ];
  const there = 'learned: answered the probe on lan2 after 0.3 ms, a new location';
  assert.equal(conclusion(...moves), there);
  const settled = [...moves, became(3000, 'fresh', 'settled', 'aged', 2)];
  assert.equal(conclusion(...settled), `${there} (settled)`);
  assert.equal(conclusion(...settled, proof(4000, 9, 2)), `${there} (settled)`);
  assert.equal(conclusion(...settled, became(4000, 'settled', 'fresh', 'contested', 2)), there);
  const back = [...settled, proof(5000, 0.5, 1), became(5000, 'settled', 'fresh', 'moved', 1)];
  assert.equal(
    conclusion(...back, became(6000, 'fresh', 'settled', 'aged', 1)),
    'learned: answered the probe on lan1 after 0.5 ms, a new location (settled)',
  );
  assert.match(conclusion(...back, became(6000, 'fresh', 'fresh', 'contested', 2)), /the address.* on lan2$/);
});

test('why says why a host was not learned', () => {
  assert.match(conclusion(), /^never heard: no ARP from 10\.1\.1\.5 was received on a mobility interface/);
  assert.match(conclusion(drop(1, 'mac-not-bound')), /^not learned: the address is bound to another MAC/);
  assert.match(conclusion(evidence(1, 'request')), /^heard, but not decided/);
  assert.match(
    conclusion(transition(1, 'unknown', 'proving', 'sighting')),
    /^not learned yet: probing on lan1, because a frame of it was received$/,
  );
  assert.match(
    conclusion(transition(1, 'proving', 'unknown', 'no-answer')),
    /^not learned: no answer to the probe$/,
  );
  assert.match(
    conclusion(transition(1, 'settled', 'remembered', 'keepalive-lost')),
    /^gone: it stopped answering keepalives$/,
  );
  assert.match(
    conclusion(transition(1, 'home', 'away', 'remote-claim')),
    /^away: another router announces it/,
  );
  assert.match(conclusion(transition(1, 'proving', 'home', 'proven')), /^at home on lan1: only recorded/);
  assert.match(
    conclusion(transition(1, 'settled', 'home', 'returned')),
    /^at home on lan1: .*; it is back home, and no other router announces it$/,
  );
  assert.match(
    conclusion(transition(1, 'proving', 'fresh', 'proven'), drop(2, 'frozen'), drop(3, 'frozen')),
    /^learned: answered the probe on lan1; after that 2 frames were ignored: the address was contested too often/,
  );
});

test('why lists what happened, oldest first, repeats counted', () => {
  const journal = new HostHistory({ nameOf });
  journal.record(evidence(1000, 'request'));
  journal.record(drop(2000, 'denied'));
  journal.record(drop(3000, 'denied'));
  journal.record({ kind: 'drop', reason: 'denied', ip: visitor, mac, iface: 99, at: 4000 });
  journal.record({
    kind: 'answered',
    asker: visitor,
    target: parseIp('10.1.1.1') as Ip,
    interface: 'lan1',
    at: 5000,
  });
  journal.record({
    kind: 'alarm',
    alarm: 'duplicate',
    ip: visitor,
    mac,
    interface: 'lan1',
    otherMac: undefined,
    otherInterface: 'remote',
    message: 'two of them',
    at: 6000,
  });
  journal.record({ kind: 'release', ip: visitor });
  assert.deepEqual(journal.why(visitor, 7000), {
    ip: '10.1.1.5',
    conclusion: 'not learned: the address is in a denied prefix (policy.deny)',
    records: [
      { agoMs: 6000, kind: 'evidence', times: 1, text: 'ARP request from 02:00:0a:01:01:05 on lan1' },
      {
        agoMs: 4000,
        kind: 'drop',
        times: 2,
        text: 'frame from 02:00:0a:01:01:05 on lan0 ignored: the address is in a denied prefix (policy.deny)',
      },
      {
        agoMs: 3000,
        kind: 'drop',
        times: 1,
        text: 'frame from 02:00:0a:01:01:05 on interface 99 (gone) ignored: the address is in a denied prefix (policy.deny)',
      },
      { agoMs: 2000, kind: 'answered', times: 1, text: 'answered its ARP request for 10.1.1.1 on lan1' },
      {
        agoMs: 1000,
        kind: 'alarm',
        times: 1,
        text: 'alarm duplicate: two of them (02:00:0a:01:01:05 on lan1, and on remote)',
      },
    ],
  });
});

test('every cause and every drop reason has a sentence of its own', () => {
  for (const [list, meanings] of [
    [CAUSES, CAUSE_MEANINGS],
    [DROP_REASONS, DROP_MEANINGS],
  ] as const) {
    const sentences = list.map((name) => (meanings as Record<string, string>)[name] ?? '');
    assert.ok(sentences.every((sentence) => sentence.length > 10));
    assert.equal(new Set(sentences).size, list.length);
  }
});

test('an address keeps its last 32 records', () => {
  const journal = new HostHistory({ nameOf });
  for (let i = 0; i < 100; i++) journal.record(i % 2 === 0 ? evidence(i, 'request') : drop(i, 'contested'));
  const { records } = journal.why(visitor, 100);
  assert.equal(records.length, 32);
  assert.deepEqual([records[0]?.agoMs, records.at(-1)?.agoMs], [32, 1]);
});

test('a storm of forged senders does not push out what is known of real hosts, and stays bounded', () => {
  const journal = new HostHistory({ nameOf, unprovenRecords: 1000 });
  journal.record(drop(0, 'contested'));
  journal.record(transition(1, 'proving', 'fresh', 'proven'));
  const forged = (i: number) => (0xc0000000 + i) as Ipv4;
  for (let i = 0; i < 20_000; i++) {
    journal.record(transition(2 + i, 'unknown', 'proving', 'sighting', forged(i)));
    journal.record(transition(3 + i, 'proving', 'unknown', 'no-answer', forged(i)));
  }
  assert.match(journal.why(visitor, 30_000).conclusion, /^learned/);
  assert.equal(journal.why(visitor, 30_000).records.length, 2, 'what was known before the proof moves along');
  assert.match(journal.why(forged(0), 30_000).conclusion, /^never heard/);
  assert.match(journal.why(forged(19_999), 30_000).conclusion, /^not learned: no answer/);
});

test('hosts are bounded too: the one that was silent longest is forgotten first', () => {
  const journal = new HostHistory({ nameOf, hostRecords: 10 });
  const ipOf = (i: number) => (0x0a000000 + i) as Ipv4;
  for (let i = 0; i < 10; i++) journal.record(transition(i, 'proving', 'fresh', 'proven', ipOf(i)));
  journal.record(transition(1011, 'fresh', 'settled', 'aged', ipOf(0)));
  assert.equal(journal.why(ipOf(1), 20).records.length, 0);
  assert.equal(journal.why(ipOf(0), 20).records.length, 2);
});

test('drops are counted by interface too, and those of a place that is gone stay counted', () => {
  const journal = new HostHistory({ nameOf: (iface) => ({ 3: 'lan0', 4: 'lan1' })[iface] });
  const dropOn = (iface: number, at: number) =>
    journal.record({ kind: 'drop', reason: 'truncated', ip: undefined, mac: undefined, iface, at });
  for (let i = 0; i < 3; i++) dropOn(3, i);
  dropOn(4, 9);
  const counts = (place?: string) =>
    journal.drops(10, place).map(({ count, interface: last }) => [count, last]);
  assert.deepEqual(counts(), [[4, 'lan1']]);
  assert.deepEqual(counts('lan0'), [[3, 'lan0']]);
  assert.deepEqual(counts('lan9'), []);
  for (let tap = 100; tap < 10_000; tap++) dropOn(tap, tap);
  assert.deepEqual(counts(), [[9904, null]]);
});

test('drops are counted by reason with the last one as an example', () => {
  const journal = new HostHistory({ nameOf });
  journal.record({ kind: 'drop', reason: 'truncated', ip: undefined, mac: undefined, iface: 3, at: 1 });
  journal.record(drop(2, 'not-allowed'));
  journal.record(drop(3, 'not-allowed'));
  assert.deepEqual(journal.drops(10), [
    {
      reason: 'not-allowed',
      count: 2,
      agoMs: 7,
      ip: '10.1.1.5',
      mac: '02:00:0a:01:01:05',
      interface: 'lan0',
      meaning: DROP_MEANINGS['not-allowed'],
    },
    {
      reason: 'truncated',
      count: 1,
      agoMs: 9,
      ip: null,
      mac: null,
      interface: 'lan0',
      meaning: DROP_MEANINGS.truncated,
    },
  ]);
});

test('alarms: counted per kind and interface, the last of each shown, most recent first; the newest of each kind stays', () => {
  const journal = new HostHistory({ nameOf });
  const alarm = (at: number, kind: AlarmKind, place: string): Action => ({
    kind: 'alarm',
    alarm: kind,
    ip: (0x0a000000 + at) as Ipv4,
    mac,
    interface: place,
    otherMac: undefined,
    otherInterface: 'remote',
    message: 'm',
    at,
  });
  journal.record(alarm(0, 'frozen', 'lan1'));
  for (let at = 1; at <= 70; at++) journal.record(alarm(at, 'other-router', 'lan2'));
  const [last, first] = journal.alarms(200);
  assert.deepEqual(last, {
    alarm: 'other-router',
    agoMs: 130,
    count: 70,
    ip: '10.0.0.70',
    mac: '02:00:0a:01:01:05',
    interface: 'lan2',
    otherMac: null,
    otherInterface: 'remote',
    message: 'm',
  });
  assert.equal(first?.alarm, 'frozen');
  for (let at = 100; at < 300; at++) journal.record(alarm(at, 'duplicate', `tap${at}`));
  const kinds = journal.alarms(300).map((view) => view.alarm);
  assert.equal(kinds.length, 64);
  assert.deepEqual([...new Set(kinds)], ['duplicate', 'other-router', 'frozen']);
});

test('a record costs little enough for 50,000 a second', () => {
  const journal = new HostHistory({ nameOf });
  const actions: Action[] = [];
  for (let i = 0; i < 50_000; i++)
    actions.push(transition(i / 50, 'proving', 'fresh', 'proven', (0x0a000000 + (i % 20_000)) as Ipv4));
  const begin = process.cpuUsage();
  for (const action of actions) journal.record(action);
  const { user, system } = process.cpuUsage(begin);
  const tookMs = (user + system) / 1000;
  // Some 30 ms; the bound only catches an algorithm that went wrong.
  assert.ok(tookMs < 1000, `${tookMs} ms of processor time`);
});
