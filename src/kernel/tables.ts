import { readFileSync } from 'node:fs';
import { runTool } from './ip/exec.js';

/** What `ip` and `bridge` show of this machine, as they print it, for people who look at it elsewhere. */
const COMMANDS = [
  ['ip', '-j', '-d', 'address'],
  ['ip', '-j', '-N', 'route', 'show', 'table', 'all'],
  ['ip', '-j', '-N', '-6', 'route', 'show', 'table', 'all'],
  ['ip', '-j', 'rule'],
  ['ip', '-j', '-N', 'neighbour'],
  ['ip', '-j', 'neighbour', 'show', 'proxy'],
  ['bridge', '-j', 'fdb'],
  ['ip', '-V'],
] as const;

/** By a name that says how it was made. */
export function readTables(): { readonly name: string; readonly text: string }[] {
  const texts = COMMANDS.map(([tool, ...args]) => {
    const { stdout, stderr } = runTool(tool, args);
    return { name: [tool, ...args].join('_').replaceAll('_-', '-'), text: `${stdout}${stderr}` };
  });
  return [
    ...texts,
    { name: 'os-release', text: read('/etc/os-release') },
    { name: 'kernel', text: read('/proc/version') },
  ];
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return String(error);
  }
}
