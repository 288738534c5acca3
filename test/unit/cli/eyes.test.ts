import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { test } from 'node:test';
import { EventCounter, formatTop } from '../../../src/cli/top.js';
import { PLAIN } from '../../../src/cli/table.js';
import { run } from '../../../src/ctl.js';
import { ask as askHttp, lan0, start, status, temporaryDirectory, until } from '../control/fixture.js';
import { Replay, readRecords } from '../../../src/page/replay.js';
import { ctl } from './kit.js';

/** The commands that show: top and ui. */

const alarm = {
  alarm: 'duplicate',
  agoMs: 10,
  time: '2026-11-29T12:00:00.000000Z',
  count: 1,
  ip: '10.1.1.5',
  mac: null,
  interface: 'lan0',
  otherMac: null,
  otherInterface: 'remote',
  message: 'two living hosts use one address',
} as const;

const sampleAt = (at: number, frames: number) => ({
  at,
  status: { ...status, capture: { ...status.capture, frames }, alarms: [alarm] },
  interfaces: [{ ...lan0, frames }],
  counts: { claims: 3, moves: 1, latenciesMs: [1, 2, 30] },
});

const transition = (ip: string, cause = 'proven') =>
  ({
    event: 'transition',
    time: '2026-11-29T12:00:00.123456Z',
    ip,
    from: 'proving',
    to: 'fresh',
    cause,
    interface: 'lan1',
  }) as const;

test('top: rates are differences of two samples, the newest change comes first', () => {
  const screen = { rows: 24, columns: 200 };
  const text = formatTop(
    sampleAt(3000, 700),
    sampleAt(1000, 500),
    [transition('10.1.1.5'), transition('10.1.1.6')],
    screen,
    PLAIN,
  );
  assert.match(text, /^r1 {2}marpd 0\.1\.0, up 1h02m/);
  assert.match(text, /^frames {3}100\/s received; kernel 0\/s commands/m);
  assert.match(
    text,
    /^claims {3}3 new, 1 of them moves between its interfaces; first frame to route p50 2\.0 ms, p99 30\.0 ms$/m,
  );
  assert.match(text, /ALARM duplicate: two living hosts use one address on lan0 against remote$/m);
  assert.match(text, /^lan0 +2 +100 +captured$/m);
  assert.match(text, /10\.1\.1\.6 .*\n.*10\.1\.1\.5 /);
  assert.match(formatTop(sampleAt(0, 1), undefined, [], screen, PLAIN), /^frames {3}-\/s received/m);
});

test('top: never more lines or columns than the screen has, whatever its size', () => {
  const records = Array.from({ length: 300 }, (_, i) => transition(`10.1.2.${i % 250}`));
  for (const [rows, columns] of [
    [24, 80],
    [5, 20],
    [60, 300],
    [1, 1],
  ] as const) {
    const text = formatTop(sampleAt(1, 1), undefined, records, { rows, columns }, { ...PLAIN, color: true });
    const lines = text.split('\n').map((line) => stripVTControlCharacters(line));
    assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
    assert.ok(
      lines.every((line) => line.length <= columns),
      `${columns} columns`,
    );
  }
});

test('top: counts claims and moves, and keeps a bounded number of records', () => {
  const counter = new EventCounter();
  for (let i = 0; i < 1000; i++) counter.take(transition('10.1.1.5', i % 2 === 0 ? 'moved' : 'proven'));
  counter.take({ event: 'installed', latencyMs: 2.5 });
  assert.deepEqual(counter.counts, { claims: 1000, moves: 500, latenciesMs: [2.5] });
  assert.equal(counter.records.length, 200);
});

test('top draws until q is pressed, and leaves the screen as it was', async (t) => {
  const { socket, server } = await start(t);
  let out = '';
  let press: (key: string) => void = () => assert.fail('keys are not read');
  let left = false;
  const done = run(['--socket', socket, 'top', '--watch=10ms'], {
    out: (text) => {
      out += text;
    },
    err: (text) => assert.fail(text),
    isTTY: true,
    size: () => ({ rows: 10, columns: 60 }),
    keys: (listener) => {
      press = listener;
      return () => {
        left = true;
      };
    },
  });
  await until('two pictures', () => out.split('marpd 0.1.0').length > 2, 20_000);
  press('x');
  press('q');
  assert.equal(await done, 0);
  assert.ok(out.startsWith('\x1b[?1049h') && out.endsWith('\x1b[?1049l'));
  assert.ok(left);
  await until('the stream is closed', () => server.subscribers === 0);
  assert.match((await ctl('--socket', socket, 'top')).err, /top needs a terminal/);
});

test('ui serves the page for the routers named, until it is interrupted', async (t) => {
  const { socket } = await start(t);
  const file = join(temporaryDirectory(t), 'story.json');
  writeFileSync(file, '{"event":"transition"}\n');
  const interrupt = new AbortController();
  let out = '';
  const terminal = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => assert.fail(text),
    signal: interrupt.signal,
  };
  const done = run(['ui', `r1=${socket}`, 'r2=/nonexistent', '--port', '0', '--replay', file], terminal);
  await until('its address', () => out.endsWith('\n'), 20_000);
  const { hostname: host, port, hash } = new URL(out);
  assert.equal(host, '127.0.0.1');
  const headers = { authorization: `Bearer ${hash.replace('#token=', '')}` };
  const setup = await askHttp({ host, port, headers }, 'GET', '/api/setup');
  assert.deepEqual(JSON.parse(setup.text), { routers: ['r1', 'r2'], replay: 'story.json' });
  const taken = await ctl('ui', 'r1=/nonexistent', '--port', port);
  assert.equal(taken.status, 2);
  assert.match(taken.err, /port \d+ is taken/);
  interrupt.abort();
  assert.equal(await done, 0);
  for (const [argument, problem] of [
    ['r1', /"r1" is not NAME=SOCKET/],
    ['r1=', /is not NAME=SOCKET/],
    ['r1=https://[', /needs --cert, --key and --ca/],
  ] as const) {
    const refused = await ctl('ui', argument);
    assert.equal(refused.status, 2, argument);
    assert.match(refused.err, problem);
  }
  assert.match((await ctl('ui', 'a=/x', 'a=/y')).err, /two routers have the same name/);
  assert.match((await ctl('ui', '--replay', '/nonexistent')).err, /--replay \/nonexistent: ENOENT/);
});

test('what explain --json writes of a capture is a recording for the page', async (t) => {
  const config = join(temporaryDirectory(t), 'marpd.toml');
  writeFileSync(
    config,
    '[[interface]]\nname = "lan1"\n[[subnet]]\nprefix = "10.9.9.0/24"\ngateway = "10.9.9.1"\n',
  );
  const capture = join(import.meta.dirname, '../../property/captures/roaming.pcap');
  const link = ['--link', 'lan1,02:00:00:00:00:01,10.1.1.1/24', '--assume-alive'];
  const { status: exit, out, err } = await ctl('explain', `lan1=${capture}`, ...link, '-c', config, '--json');
  assert.equal(exit, 0, err);
  const replay = new Replay(readRecords(out, 'r1'));
  assert.ok(replay.end - replay.start < 60_000, 'every record has the time of the capture');
  replay.goTo(replay.end);
  const hosts = [...(replay.picture.routers.get('r1')?.lans.get('lan1')?.values() ?? [])];
  assert.deepEqual(
    hosts.map(({ ip, state }) => [ip, state]),
    [
      ['10.9.9.2', 'settled'],
      ['10.9.9.3', 'settled'],
    ],
  );
  assert.equal(replay.picture.newcomersMs.length, 2);
});
