import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { pathToFileURL } from 'node:url';
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

/** Field 19 of proc_pid_stat(5). */
function nicenessOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}

story('the daemon and its reader go before others', async (lab) => {
  const site = await new Site(lab).start();
  const { pid } = site.marpd;
  const own = getPriority();
  assert.equal(nicenessOf(pid), expected(own));
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  // That of strays is for packets of which nearly all are thrown away, and there only when it is needed.
  const readers = children.filter((child) => /capture\/child\.[jt]s(?!\0strays)/.test(commandOf(child)));
  assert.deepEqual(readers.map(nicenessOf), [own === 0 ? expected(0) : HURRIED]);
});

it('a niceness that somebody chose for the daemon stays', () => {
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
  assert.equal(at(0), String(expected(own)));
  assert.equal(at(3), String(Math.min(19, own + 3)));
});
