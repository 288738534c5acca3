import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ELSEWHERE,
  Picture,
  type RoutedRecord,
  countBuckets,
  quantile,
  timeOf,
} from '../../../src/page/picture.js';
import { byMachine, orderOf } from '../../../src/page/order.js';
import { Replay, readRecords } from '../../../src/page/replay.js';
import { host, lan0, status } from '../control/fixture.js';

/** What the page knows, without a browser. */

const START = Date.parse('2026-11-29T12:00:00Z');
const IP = '10.1.1.5';

const at = (ms: number) =>
  `${new Date(START + Math.floor(ms)).toISOString().slice(0, -1)}${String(Math.round((ms % 1) * 1000)).padStart(3, '0')}Z`;

const change = (router: string, ms: number, from: string, to: string, lan: string | null): RoutedRecord => ({
  router,
  event: 'transition',
  time: at(ms),
  ip: IP,
  from,
  to,
  cause: 'proven',
  interface: lan,
  mac: '02:00:0a:01:01:05',
});
const installed = (router: string, ms: number, lan: string, latencyMs: number): RoutedRecord => ({
  router,
  event: 'installed',
  time: at(ms),
  ip: IP,
  age: 'fresh',
  interface: lan,
  latencyMs,
});

/** A host of r1's lan0 comes to r2, by the records of both routers. */
const MOVE: readonly RoutedRecord[] = [
  change('r2', 0, 'unknown', 'proving', 'lan7'),
  change('r2', 1.5, 'proving', 'fresh', 'lan7'),
  installed('r2', 2, 'lan7', 2.25),
  change('r1', 21.5, 'home', 'away', null),
  change('r2', 1001.5, 'fresh', 'settled', 'lan7'),
];

function atHome(): Picture {
  const picture = new Picture();
  picture.setInterfaces('r1', [lan0]);
  picture.setHosts('r1', [
    host(IP, { state: 'home', interface: 'lan0' }),
    host('10.1.1.6', { state: 'away', interface: null }),
  ]);
  return picture;
}

const rowOf = (picture: Picture, router: string, lan: string) => [
  ...(picture.routers.get(router)?.lans.get(lan)?.keys() ?? []),
];

test('the addresses of a machine stand together, IPv4 before IPv6, each by its value', () => {
  const texts = [
    '2001:db8::10',
    '10.1.1.20',
    '2001:db8::9',
    '10.1.1.3',
    '2001:db8:0:1::1',
    '::1',
    '1:2:3:4:5:6:7:8',
  ];
  const sorted = [...texts].sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
  assert.deepEqual(sorted, [
    '10.1.1.3',
    '10.1.1.20',
    '::1',
    '1:2:3:4:5:6:7:8',
    '2001:db8::9',
    '2001:db8::10',
    '2001:db8:0:1::1',
  ]);
  const host = (ip: string, mac: string | null) => ({ ip, mac, order: orderOf(ip) });
  const row = [
    host('10.1.1.3', 'b'),
    host('2001:db8::9', 'a'),
    host('10.1.1.1', 'a'),
    host('10.1.1.2', null),
  ];
  assert.deepEqual(
    byMachine(row).map(({ ip }) => ip),
    ['10.1.1.1', '2001:db8::9', '10.1.1.2', '10.1.1.3'],
  );
});

test('a host that two routers tell of is a move, with the times of both', () => {
  const picture = atHome();
  assert.deepEqual(rowOf(picture, 'r1', 'lan0'), [IP]);
  assert.deepEqual(rowOf(picture, 'r1', ELSEWHERE), ['10.1.1.6']);
  for (const record of MOVE) picture.apply(record);
  assert.deepEqual(picture.moves, [
    {
      ip: IP,
      from: { router: 'r1', lan: 'lan0' },
      to: { router: 'r2', lan: 'lan7' },
      at: START + 1.5,
      installMs: 2.25,
      withdrawnMs: 20,
    },
  ]);
  assert.deepEqual(rowOf(picture, 'r1', 'lan0'), []);
  assert.deepEqual(rowOf(picture, 'r1', ELSEWHERE), ['10.1.1.6', IP]);
  assert.equal(picture.routers.get('r2')?.hosts.get(IP)?.state, 'settled');
  assert.deepEqual(picture.newcomersMs, []);
});

test('the order in which the streams of two routers arrive changes nothing', () => {
  const order = [3, 0, 1, 4, 2];
  const picture = atHome();
  for (const index of order) picture.apply(MOVE[index] as RoutedRecord);
  assert.equal(picture.moves[0]?.withdrawnMs, 20);
  assert.equal(picture.moves[0]?.installMs, 2.25);
  const times = picture.entries.map((entry) => entry.at - START);
  assert.deepEqual(times, [0, 1.5, 2, 21.5, 1001.5]);
});

test('a host that is asked is in the row where it was heard, although its record names no place', () => {
  const picture = new Picture();
  picture.apply({
    router: 'r1',
    event: 'evidence',
    time: at(0),
    ip: IP,
    evidence: 'request',
    interface: 'lan3',
  });
  picture.apply(change('r1', 0, 'unknown', 'proving', null));
  assert.deepEqual(rowOf(picture, 'r1', 'lan3'), [IP]);
});

test('a newcomer is no move; a host that is gone is in no row', () => {
  const picture = new Picture();
  for (const record of MOVE.slice(0, 3)) picture.apply(record);
  assert.deepEqual(picture.moves, []);
  assert.deepEqual(picture.newcomersMs, [2.25]);
  picture.apply(change('r2', 50, 'fresh', 'unknown', null));
  assert.equal(picture.routers.get('r2')?.hosts.size, 0);
  assert.deepEqual(rowOf(picture, 'r2', 'lan7'), []);
});

test('a fresh table replaces what was known of a router, and of no other one', () => {
  const picture = atHome();
  for (const record of MOVE) picture.apply(record);
  picture.setHosts('r2', []);
  assert.equal(picture.routers.get('r2')?.hosts.size, 0);
  assert.equal(picture.routers.get('r1')?.hosts.size, 2);
});

test('alarms: as they happen, and as the router lists them', () => {
  const picture = new Picture();
  const alarm = {
    alarm: 'frozen',
    ip: IP,
    mac: null,
    interface: 'lan0',
    otherMac: null,
    otherInterface: 'remote',
    message: 'contested',
  };
  picture.apply(change('r1', 0, 'unknown', 'home', 'lan0'));
  picture.apply({ ...alarm, router: 'r1', event: 'alarm', time: at(5) });
  assert.equal(picture.alarms[0]?.message, 'contested (lan0, remote)');
  assert.equal(picture.routers.get('r1')?.hosts.get(IP)?.frozen, true);
  picture.setStatus('r1', { ...status, alarms: [] });
  assert.deepEqual(picture.alarms, []);
});

test('microseconds are kept, addresses are in the order of their value, figures are right', () => {
  assert.equal((timeOf('2026-11-29T12:00:00.123456Z') - START).toFixed(3), '123.456');
  assert.deepEqual(
    ['10.1.1.10', '10.1.1.9', '9.9.9.9'].sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1)),
    ['9.9.9.9', '10.1.1.9', '10.1.1.10'],
  );
  assert.deepEqual(
    countBuckets([0.4, 0.5, 0.6, 99_999]).filter((count) => count > 0),
    [2, 1, 1],
  );
  assert.equal(quantile([5, 1, 3], 0.5), 3);
  assert.equal(quantile([5, 1, 3], 0.99), 5);
  assert.equal(quantile([], 0.5), undefined);
});

test('a replay shows what was true at each time, forwards and backwards', () => {
  const text = MOVE.map((record) => JSON.stringify(record)).join('\n');
  const replay = new Replay(readRecords(`${text}\n`));
  assert.deepEqual([replay.start, replay.end], [START, START + 1001.5]);
  const stateAt = (ms: number) => {
    replay.goTo(START + ms);
    return replay.picture.routers.get('r2')?.hosts.get(IP)?.state;
  };
  assert.deepEqual([0, 1.4, 1.5, 900, 1001.5, 1.4, 2].map(stateAt), [
    'proving',
    'proving',
    'fresh',
    'fresh',
    'settled',
    'proving',
    'fresh',
  ]);
});

test('explain --json: one file per router, frames and decisions beside the events', () => {
  const file = [
    {
      event: 'frame',
      time: at(0),
      interface: 'lan7',
      direction: 'in',
      frame: 'Request who-has 10.1.1.1 tell 10.1.1.5',
      note: null,
    },
    { ...change('', 0, 'unknown', 'proving', 'lan7'), router: undefined },
    { ...change('', 1.5, 'proving', 'fresh', 'lan7'), router: undefined },
    { event: 'route', time: at(1.5), ip: IP, change: 'add', interface: 'lan7', age: 'fresh' },
  ];
  const text = file.map((record) => JSON.stringify(record)).join('\n');
  const other = JSON.stringify({ ...change('', -5, 'unknown', 'home', 'lan0'), router: undefined });
  const replay = new Replay([...readRecords(text, 'r2'), ...readRecords(other, 'r1')]);
  replay.goTo(replay.end);
  assert.deepEqual([...replay.picture.routers.keys()], ['r1', 'r2']);
  assert.deepEqual(
    replay.picture.moves.map(({ from, to, installMs }) => [from.router, to.router, installMs]),
    [['r1', 'r2', 1.5]],
  );
  assert.deepEqual(
    replay.picture.entries.map((entry) => entry.text),
    [
      'unknown → home on lan0 (proven)',
      'seen on lan7: Request who-has 10.1.1.1 tell 10.1.1.5',
      'unknown → proving on lan7 (proven)',
      'proving → fresh on lan7 (proven)',
      'fresh route on lan7',
    ],
  );
});

test('a file that is no recording is refused with its line', () => {
  assert.throws(() => readRecords('{"event":"transition"}\nnonsense'), /line 2 is not JSON/);
  assert.throws(() => readRecords('{"hosts":[]}\n'), /no events in this file/);
  assert.throws(() => readRecords(''), /no events in this file/);
});
