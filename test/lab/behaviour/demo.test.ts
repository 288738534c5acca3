import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pause, waitFor } from '../kit/program.js';

/** The built-in laboratory is the first thing that a newcomer sees: it has to come true, and to go without a trace. */

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

function start(...args: readonly string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      said.text += chunk;
    });
  }
  return { child, said };
}

// Labs are named after the pid of their process.
function traces(pid: number): string[] {
  const prefix = `marp-${pid.toString(36)}-`;
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  return [...namespaces, ...readdirSync(tmpdir())].filter((entry) => entry.startsWith(prefix));
}

test('single-router --once: every step comes true', { timeout: 120_000 }, async () => {
  const { child, said } = start('single-router', '--once');
  const [status] = (await once(child, 'exit')) as [number | null];
  assert.equal(status, 0, said.text);
  for (const word of [
    'proof asked',
    'proof given',
    'route',
    'ARP answered',
    'echo back',
    'route withdrawn',
  ]) {
    assert.ok(said.text.includes(word), `the timeline tells: ${word}\n${said.text}`);
  }
  assert.deepEqual(traces(child.pid as number), []);
});

test('Ctrl-C at any moment leaves nothing behind', { timeout: 180_000 }, async () => {
  for (const moment of [300, 700, 1100, 1800, 3000, 5000]) {
    const { child, said } = start('single-router');
    await pause(moment);
    child.kill('SIGINT');
    await once(child, 'exit');
    assert.deepEqual(traces(child.pid as number), [], `after ${moment} ms\n${said.text}`);
  }
});

test('it stays up with commands to look for oneself, which really run', { timeout: 120_000 }, async () => {
  const { child, said } = start('single-router');
  const folder = mkdtempSync(join(tmpdir(), 'marpd-demo-'));
  try {
    await waitFor(() => said.text.includes('Ctrl-C'), 100_000, 'the commands');
    const commands = said.text.split('\n').filter((line) => / (ip -n|node) /.test(line));
    assert.ok(commands.length >= 5, said.text);
    for (const line of commands) {
      const command = line.replace(/^.*?(?=(sudo |ip |node ))/, '');
      if (/monitor|tcpdump|ping|doctor/.test(command)) continue;
      // By itself a recording goes on until Ctrl-C. It is written where one stands.
      const bounded = command.replace('capture -w', 'capture --duration 1s -w');
      const shell = spawn('sh', ['-c', bounded], { cwd: folder, stdio: ['ignore', 'ignore', 'ignore'] });
      const [status] = (await once(shell, 'exit')) as [number | null];
      assert.equal(status, 0, command);
    }
  } finally {
    child.kill('SIGINT');
    await once(child, 'exit');
    rmSync(folder, { recursive: true });
  }
  assert.deepEqual(traces(child.pid as number), []);
});
