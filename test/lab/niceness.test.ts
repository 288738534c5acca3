import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { waitFor } from './program.js';
import { Site } from './site.js';
import { story } from './story.js';

/** The daemon's, on this machine: tests may run where nobody goes before others, or under a niceness of their own. */
function expected(own: number): number {
  if (own !== 0) return own;
  try {
    setPriority(HURRIED);
    setPriority(0);
    return HURRIED;
  } catch {
    return 0;
  }
}

const HURRIED = -10;
const PATIENT = 10;

/** A field of proc_pid_stat(5), counted from 1 as there; the name of the process is the second. */
function field(path: string, number: number): number {
  const stat = readFileSync(`${path}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[number - 3]);
}

/** The niceness of each thread, without repetitions. */
function nicenessOf(pid: number): number[] {
  return [
    ...new Set(readdirSync(`/proc/${pid}/task`).map((thread) => field(`/proc/${pid}/task/${thread}`, 19))),
  ];
}

/** That of the session; undefined where the kernel knows no autogroups (sched(7)). */
function sessionNiceness(pid: number): number | undefined {
  try {
    return Number(/nice (-?\d+)/.exec(readFileSync(`/proc/${pid}/autogroup`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}

function childOf(pid: number, pattern: RegExp): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return children.find((child) => pattern.test(commandOf(child)));
}

const READER = /capture\/child\.[jt]s\0?$/;
const STRAYS = /capture\/child\.[jt]s\0strays/;
const MONITOR = /^ip\0.*\0monitor\0/;

story(
  'the daemon, its reader and its monitor go before others, with every thread and as sessions',
  async (lab) => {
    const site = await new Site(lab).start();
    const { pid } = site.marpd;
    const own = getPriority();
    const wanted = expected(own);
    const child = (pattern: RegExp) => waitFor(() => childOf(pid, pattern), 5000, `a child like ${pattern}`);
    const reader = await child(READER);
    const monitor = await child(MONITOR);
    assert.deepEqual(nicenessOf(pid), [wanted]);
    assert.deepEqual(nicenessOf(reader), [own === 0 ? wanted : HURRIED]);
    assert.deepEqual(nicenessOf(monitor), [wanted]);

    assert.equal(field(`/proc/${pid}`, 6), pid, 'the daemon leads its session');
    assert.equal(field(`/proc/${reader}`, 6), pid, 'its reader is in it');
    if (sessionNiceness(process.pid) === undefined) return;
    // The kernel takes one in 0.1 s from a process that is not the administrator.
    for (const leader of [pid, monitor]) {
      await waitFor(() => sessionNiceness(leader) === wanted, 5000, `the session of ${commandOf(leader)}`);
    }
  },
);

story('the reader of strays lets others go before it, in a session of its own', async (lab) => {
  const site = await new Site(lab).start();
  await site.host('visitor').plug('lan1', 'request');
  const strays = await waitFor(() => childOf(site.marpd.pid, STRAYS), 5000, 'the reader of strays');
  assert.deepEqual(nicenessOf(strays), [PATIENT]);
  assert.equal(field(`/proc/${strays}`, 6), strays);
  if (sessionNiceness(process.pid) === undefined) return;
  await waitFor(() => sessionNiceness(strays) === PATIENT, 5000, 'its session');
});

it('a niceness that somebody chose for the daemon stays, and so does that of a session that it does not lead', () => {
  const module = pathToFileURL(join(import.meta.dirname, '..', '..', 'src', 'niceness.ts'));
  const program = `const { hurry } = await import(${JSON.stringify(module.href)}); hurry();
    const { getPriority } = await import('node:os'); console.log(getPriority());`;
  const node = [
    process.execPath,
    '--import',
    import.meta.resolve('tsx'),
    '--input-type=module',
    '-e',
    program,
  ];
  const at = (niceness: number) =>
    execFileSync('nice', ['-n', String(niceness), ...node], { encoding: 'utf8' }).trim();
  const own = getPriority();
  const session = sessionNiceness(process.pid);
  assert.equal(at(0), String(expected(own)));
  assert.equal(at(3), String(Math.min(19, own + 3)));
  assert.equal(sessionNiceness(process.pid), session, 'they do not lead our session');
});
