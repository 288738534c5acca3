import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { commandHelp } from '../../../src/cli/arguments/help.js';
import { run } from '../../../src/ctl.js';
import type { Mac } from '../../../src/wire/addresses.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import { Recorder } from '../../../src/replay/recorder.js';
import { Driver, IPS, LAN0, frameOf, testPolicy } from '../../property/driver.js';
import { startWith } from './kit.js';

/** A daemon that records a frame and then goes on for ever. */
async function recording(t: TestContext) {
  const running = await startWith(t);
  const { policy } = new Driver(testPolicy());
  running.daemon.record = (stream: Writable) => {
    const tracker = new HostTracker(policy);
    const recorder = new Recorder({
      application: 'marpd test',
      nameOf: (iface) => tracker.link(iface)?.name,
      beginning: () => ({ originMs: 0, now: 5, policy, events: [], known: undefined }),
      onActive: () => undefined,
    });
    recorder.add(stream, { complete: true });
    const bytes = frameOf('gratuitous', 0x0200_0000_0005 as Mac, IPS[0] as never);
    const event = { kind: 'frame', iface: LAN0, bytes } as const;
    recorder.input(event, 5, tracker.handle(event, 5), undefined);
    return true;
  };
  return running;
}

/** Until `ends` says so, by what was printed. */
async function capture(socket: string, argv: readonly string[], ends: (out: string, err: string) => boolean) {
  const interrupt = new AbortController();
  const said = { out: '', err: '' };
  const note = () => {
    if (ends(said.out, said.err)) interrupt.abort();
  };
  const status = await run(['--socket', socket, 'capture', ...argv], {
    out: (text) => {
      said.out += text;
      note();
    },
    err: (text) => {
      said.err += text;
      note();
    },
    signal: interrupt.signal,
  });
  return { status, ...said };
}

test('capture as text ends quietly with Ctrl-C, with a summary', async (t) => {
  const { socket } = await recording(t);
  for (const argv of [[], ['--json']]) {
    const { status, out, err } = await capture(socket, argv, (text) => text.includes('who-has'));
    assert.equal(status, 0, err);
    assert.match(out, /who-has/);
    assert.match(err, /^1 packets in 0\.000 s; 1 recorded events, 0 differences\n$/);
  }
});

test('capture --duration ends by itself: as text, and into a file', async (t) => {
  const { socket } = await recording(t);
  const text = await capture(socket, ['--duration', '300ms'], () => false);
  assert.equal(text.status, 0, text.err);
  assert.match(text.out, /who-has/);
  assert.match(text.err, /^1 packets in /);
  const folder = mkdtempSync(join(tmpdir(), 'marpctl-capture-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'story.pcapng');
  const file = await capture(socket, ['--duration', '300ms', '-w', path], () => false);
  assert.deepEqual(file, {
    status: 0,
    out: '',
    err: 'capturing; ends after 0.3 s, and Ctrl-C ends it\n',
  });
  assert.ok(readFileSync(path).length > 100);
});

test('capture --timeout is the time that marpd has to answer, not that of the capture', async (t) => {
  const { socket } = await recording(t);
  const { status, err } = await capture(socket, ['--timeout', '2s', '--duration', '3s'], () => false);
  assert.deepEqual([status, err.includes('1 packets in')], [0, true]);
  const silent = createServer(() => undefined);
  const path = join(mkdtempSync(join(tmpdir(), 'marpctl-silent-')), 'socket');
  await new Promise<void>((resolve) => silent.listen(path, resolve));
  t.after(() => {
    silent.close();
    rmSync(join(path, '..'), { recursive: true });
  });
  const late = await capture(path, ['--timeout', '100ms'], () => false);
  assert.equal(late.status, 3);
  assert.match(late.err, /no answer within 100 ms/);
  const help = commandHelp('capture');
  assert.match(help, /--timeout TIME +give up when marpd does not answer within TIME/);
  assert.match(help, /--duration TIME +end after TIME/);
  assert.match(commandHelp('wait'), /--timeout TIME +give up after TIME \(default: 10s\)/);
});
