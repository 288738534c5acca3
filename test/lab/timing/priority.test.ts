import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { MARPD } from '../kit/ctl.js';
import { childOf, commandOf } from '../kit/processes.js';
import { Program, staysTrue, waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

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

const READER = /capture\/reader\.[jt]s\0?$/;
const MONITOR = /^ip\0.*\0monitor\0/;

/** As scripts/run and the unit have it: the kernel takes one niceness of a session in 0.1 s then. */
const UNPRIVILEGED = [
  'setpriv',
  '--bounding-set=-all,+net_admin,+net_raw,+chown,+sys_nice',
  '--inh-caps=-all',
  '--no-new-privs',
];

async function start(site: Site, ...prefix: readonly string[]): Promise<Program> {
  const argv = [...prefix, process.execPath, MARPD, '--config', site.marpd.configPath];
  const program = new Program(site.router, argv, { title: 'marpd' });
  await site.marpd.answers();
  return program;
}

function child(pid: number, pattern: RegExp): Promise<number> {
  return waitFor(() => childOf(pid, pattern), 5000, `a child like ${pattern}`);
}

for (const [how, prefix] of [
  ['', []],
  [', without CAP_SYS_ADMIN', UNPRIVILEGED],
] as const) {
  labTest(`the daemon, its reader and its monitor go before others, as sessions too${how}`, async (lab) => {
    const { pid } = await start(new Site(lab), ...prefix);
    const own = getPriority();
    const wanted = expected(own);
    const reader = await child(pid, READER);
    const monitor = await child(pid, MONITOR);
    assert.deepEqual(nicenessOf(pid), [wanted]);
    assert.deepEqual(nicenessOf(reader), [own === 0 ? wanted : HURRIED]);
    assert.deepEqual(nicenessOf(monitor), [wanted]);

    assert.equal(field(`/proc/${pid}`, 6), pid, 'the daemon leads its session');
    assert.equal(field(`/proc/${reader}`, 6), pid, 'its reader is in it');
    if (sessionNiceness(process.pid) === undefined) return;
    for (const leader of [pid, monitor]) {
      await waitFor(() => sessionNiceness(leader) === wanted, 5000, `the session of ${commandOf(leader)}`);
    }
  });
}

labTest('in the session of a shell no tool goes before the daemon', async (lab) => {
  const shell = await start(new Site(lab), 'sh', '-c', '"$@"; :', 'sh');
  const pid = await child(shell.pid, /main\.js/);
  assert.deepEqual(nicenessOf(pid), [expected(getPriority())]);
  const monitor = await child(pid, MONITOR);
  await child(pid, READER);
  if (sessionNiceness(process.pid) === undefined) return;
  // Nothing is tried again in longer than that.
  await staysTrue(
    () => [pid, monitor].every((each) => sessionNiceness(each) === 0),
    500,
    'the niceness of 0',
  );
});

it('a niceness that somebody chose for the daemon stays, and so does that of a session that it does not lead', () => {
  const module = pathToFileURL(join(import.meta.dirname, '..', '..', '..', 'src', 'system', 'priority.ts'));
  const program = `const { raisePriority } = await import(${JSON.stringify(module.href)}); raisePriority();
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
