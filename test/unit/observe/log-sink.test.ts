import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

const SINK = JSON.stringify(new URL('../../../src/observe/log-sink.ts', import.meta.url).href);
/** Writes 40,000 lines of 100 bytes, then says on standard error how often its timer ran and how much was lost. */
const SCRIPT = `
  import { LogSink } from ${SINK};
  const sink = new LogSink();
  process.once('SIGTERM', () => process.exit(0));
  let ticks = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < 400; i++) sink.write('x'.repeat(99) + '\\n');
    if (++ticks < 100) return;
    clearInterval(timer);
    process.stderr.write(ticks + ' ' + sink.lost + '\\n');
    setInterval(() => sink.write('after\\n'), 20);
  }, 2);
`;

describe('the way out of the log', () => {
  const directory = mkdtempSync(join(tmpdir(), 'marpd-sink-'));
  const children: ChildProcess[] = [];
  after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });
  /** Lines lost after it has written all; it goes on. */
  async function lossOf(
    stdout: number | 'pipe',
  ): Promise<{ readonly lost: number; readonly child: ChildProcess }> {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', SCRIPT], {
      stdio: ['ignore', stdout, 'pipe'],
    });
    children.push(child);
    const said = await new Promise<string>((resolve) =>
      child.stderr?.once('data', (text) => resolve(String(text))),
    );
    assert.match(said, /^100 \d+\n$/);
    return { lost: Number(said.split(' ')[1]), child };
  }
  const end = (child: ChildProcess) =>
    new Promise<number | null>((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGTERM');
    });

  it('a disk that is full: it goes on, and counts what is lost', async () => {
    const full = openSync('/dev/full', 'w');
    const { lost, child } = await lossOf(full);
    closeSync(full);
    assert.ok(lost > 20_000, `${lost} lost`);
    assert.equal(await end(child), 0);
  });

  it('a pipe that nobody reads: it goes on, counts what is lost, says so when somebody reads, and can end', async () => {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const { lost, child } = await lossOf(reader);
    assert.ok(lost > 20_000, `${lost} lost`);
    let text = '';
    const buffer = Buffer.alloc(65_536);
    while (!text.includes('"lost":')) {
      try {
        text += buffer.toString('latin1', 0, readSync(reader, buffer));
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    assert.match(text, /"msg":"\d+ log lines are lost: they could not be written"/);
    assert.equal(await end(child), 0);
    closeSync(reader);
  });

  it('a socket that nobody reads, as that of a hung journal', async () => {
    const { lost, child } = await lossOf('pipe');
    assert.ok(lost > 20_000, `${lost} lost`);
    assert.equal(await end(child), 0);
  });

  it('a file loses nothing and is appended to where the shell opened it', async () => {
    const path = join(directory, 'file');
    const file = openSync(path, 'w');
    const { lost, child } = await lossOf(file);
    closeSync(file);
    assert.equal(lost, 0);
    assert.equal(await end(child), 0);
    const lines = readFileSync(path, 'latin1').split('\n');
    assert.equal(lines.filter((line) => line.length === 99).length, 40_000);
  });
});
