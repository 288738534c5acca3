// The restart of `ip -batch`, with a program in its place that answers like it and ends when it is told to.

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { IpBatch } from '../../../src/kernel/ip/batch.js';
import { LOST, type Outcomes } from '../../../src/kernel/ip/process.js';
import { signalIfAlive } from '../../lab/kit/processes.js';

const REFUSAL = 'RTNETLINK answers: No such process';
const REFUSED_AT_THE_END = 'RTNETLINK answers: Operation not supported';
/** `absent`: refused; `end`: refused, and the process ends (ipneigh.c: exit(2)). */
const FAKE_IP = `#!/usr/bin/env bash
n=0
while IFS= read -r line; do
  n=$((n + 1))
  case $line in
    marpd-barrier) printf 'Object "marpd-barrier" is unknown, try "ip help".\\nCommand failed -:%d\\n' $n >&2 ;;
    absent*) printf '${REFUSAL}\\nCommand failed -:%d\\n' $n >&2 ;;
    end*) printf '${REFUSED_AT_THE_END}\\n' >&2; exit 2 ;;
    *) printf '%s\\n' "$line" >>"$FAKE_IP_LOG" ;;
  esac
done
`;
/** Far above what a loaded machine needs to start a process. */
const SOON_MS = 3000;

describe('the restart of ip -batch (design.md 5.4)', () => {
  const directory = mkdtempSync(join(tmpdir(), 'marpd-batch-'));
  const log = join(directory, 'log');
  const { PATH } = process.env;
  before(() => {
    writeFileSync(join(directory, 'ip'), FAKE_IP);
    chmodSync(join(directory, 'ip'), 0o755);
    writeFileSync(log, '');
    process.env.PATH = `${directory}:${PATH}`;
    process.env.FAKE_IP_LOG = log;
  });
  after(() => {
    process.env.PATH = PATH;
    process.env.FAKE_IP_LOG = undefined;
    rmSync(directory, { recursive: true });
  });
  const open = (t: TestContext) => {
    const batch = new IpBatch({ onWarning: () => undefined, warmUp: 'absent' });
    t.after(() => batch.close(0));
    return batch;
  };
  const ask = (batch: IpBatch, commands: readonly string[], fenced = false) =>
    new Promise<Outcomes>((resolve) => {
      if (fenced) batch.submitFenced(commands, resolve);
      else batch.submit(commands, resolve);
    });
  const kill = (batch: IpBatch) => {
    const [pid] = batch.pids;
    if (pid !== undefined) signalIfAlive(pid, 'SIGKILL'); // killed just now, and its end is not known yet
  };
  /** How long it was not ready, ms. */
  const untilReady = async (batch: IpBatch): Promise<number> => {
    const began = performance.now();
    while (!batch.ready) await delay(2);
    return performance.now() - began;
  };

  it('starts at once in place of one that had worked, however often, also without work in between', async (t) => {
    const batch = open(t);
    await untilReady(batch);
    const gapsMs: number[] = [];
    for (let kills = 1; kills <= 8; kills++) {
      await delay(250);
      kill(batch);
      while (batch.deaths < kills) await delay(1);
      gapsMs.push(await untilReady(batch));
    }
    // The shortest: a loaded machine may be slow to start any one of them.
    assert.ok(Math.min(...gapsMs.slice(5)) < 400, `${gapsMs} ms`);
  });

  it('does not pause between refused commands that each end a process', async (t) => {
    const batch = open(t);
    const began = performance.now();
    let jobs = Array.from({ length: 12 }, (_, n) => [`end ${n}`, `behind ${n}`]);
    while (jobs.length > 0) {
      const outcomes = await Promise.all(jobs.map((job) => ask(batch, job, true)));
      assert.deepEqual(outcomes[0], [REFUSED_AT_THE_END, LOST]);
      for (const outcome of outcomes.slice(1)) assert.deepEqual(outcome, [LOST, LOST]);
      jobs = jobs.slice(1);
    }
    const tookMs = performance.now() - began;
    assert.ok(tookMs < 12 * 500, `${tookMs} ms`);
  });

  it('pauses when each one ends at once, but not for long', async (t) => {
    const batch = open(t);
    const end = performance.now() + 1500;
    while (performance.now() < end) {
      if (batch.ready) assert.deepEqual(await ask(batch, ['end at once']), [LOST]);
      else await delay(2);
    }
    assert.ok(batch.deaths > 2 && batch.deaths < 25, `${batch.deaths} deaths`);
    const gapMs = await untilReady(batch);
    assert.ok(gapMs < SOON_MS, `${gapMs} ms`);
  });

  it('is killed at random: each command is answered once, by its own answer or as lost', async (t) => {
    const batch = open(t);
    const answers = new Map<string, number>();
    const attempt = async (name: string, fenced: boolean): Promise<void> => {
      for (let tries = 0; ; tries++) {
        // The name of each try is its own.
        const good = `${name} good ${tries}`;
        const outcomes = await ask(batch, [good, `absent ${name}`, `${name} last ${tries}`], fenced);
        answers.set(good, (answers.get(good) ?? 0) + 1);
        const [first, second, third] = outcomes;
        assert.ok(first === undefined || first === LOST, `${good}: ${first}`);
        assert.ok(second === REFUSAL || second === LOST, `${good}: ${second}`);
        assert.ok(third === undefined || third === LOST, `${good}: ${third}`);
        const done = readFileSync(log, 'utf8').split('\n');
        if (first === undefined) assert.ok(done.includes(good), `${good} was carried out`);
        if (third === undefined) {
          assert.ok(done.includes(`${name} last ${tries}`), `${name} last ${tries} was carried out`);
          return;
        }
      }
    };
    const killer = setInterval(() => {
      if (batch.ready && Math.random() < 0.3) kill(batch);
    }, 3);
    const work: Promise<void>[] = [];
    for (let n = 0; n < 50 || batch.deaths < 8; n++) {
      work.push(attempt(`job-${n}`, n % 3 === 0));
      await delay(1);
    }
    clearInterval(killer);
    await Promise.all(work);
    for (const [good, count] of answers) assert.equal(count, 1, good);
    assert.equal(batch.outstanding, 0);
  });
});
