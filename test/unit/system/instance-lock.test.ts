import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { InstanceError, lockInstance } from '../../../src/system/instance-lock.js';

const MODULE = new URL('../../../src/system/instance-lock.ts', import.meta.url).href;
/** Of this test process alone: other tests hold locks of their own in the same network namespace. */
let protocol = 1000 + process.pid * 100;

function directory(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'marpd-lock-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('one marpd per network namespace and protocol: the second is told which process holds the first', async (t) => {
  const number = protocol++;
  const first = await lockInstance({ protocol: number, stateDirectory: directory(t) });
  t.after(() => first.release());
  const other = directory(t);
  await assert.rejects(
    lockInstance({ protocol: number, stateDirectory: other }),
    (error) =>
      error instanceof InstanceError &&
      error.message.includes(`already running in this network namespace (pid ${process.pid})`),
  );
  assert.deepEqual(readdirSync(other), [], 'nothing was touched');
});

test('one marpd per state directory, and the next one may follow when it has ended', async (t) => {
  const stateDirectory = directory(t);
  const first = await lockInstance({ protocol: protocol++, stateDirectory });
  await assert.rejects(
    lockInstance({ protocol: protocol++, stateDirectory }),
    (error) =>
      error instanceof InstanceError &&
      error.message.includes(`${stateDirectory} is in use by another marpd (pid ${process.pid})`),
  );
  assert.deepEqual(readdirSync(stateDirectory), ['marpd.lock']);
  first.release();
  assert.deepEqual(readdirSync(stateDirectory), []);
  (await lockInstance({ protocol: protocol++, stateDirectory })).release();
});

test('a lock does not outlive its process, not even after kill -9', async (t) => {
  const stateDirectory = directory(t);
  const number = protocol++;
  const script = `import { lockInstance } from ${JSON.stringify(MODULE)};
    await lockInstance(${JSON.stringify({ protocol: number, stateDirectory })});
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script]);
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await assert.rejects(
    lockInstance({ protocol: protocol++, stateDirectory }),
    new RegExp(`\\(pid ${child.pid}\\)`),
  );
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.deepEqual(readdirSync(stateDirectory), ['marpd.lock'], 'a dead one is left');
  (await lockInstance({ protocol: number, stateDirectory })).release();
  assert.deepEqual(readdirSync(stateDirectory), []);
});

test('of many that start at the same moment, over a dead lock, exactly one runs', async (t) => {
  for (let round = 0; round < 20; round++) {
    const stateDirectory = directory(t);
    const script = `require('node:net').createServer().listen(${JSON.stringify(join(stateDirectory, 'marpd.lock'))}, () => process.kill(process.pid, 'SIGKILL'))`;
    await once(spawn(process.execPath, ['-e', script]), 'exit');
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, () => lockInstance({ protocol: protocol++, stateDirectory })),
    );
    const locks = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
    assert.equal(locks.length, 1);
    locks[0]?.release();
    assert.deepEqual(readdirSync(stateDirectory), []);
  }
});

test('a state directory that cannot be used is named with the reason', async (t) => {
  const parent = directory(t);
  const file = join(parent, 'file');
  writeFileSync(file, '');
  await assert.rejects(
    lockInstance({ protocol: protocol++, stateDirectory: join(file, 'state') }),
    /^InstanceError: router\.state_directory .*file\/state: ENOTDIR/,
  );
  writeFileSync(join(parent, 'marpd.lock'), 'precious');
  await assert.rejects(lockInstance({ protocol: protocol++, stateDirectory: parent }), /not a socket/);
});
