import { fileURLToPath } from 'node:url';

export interface ReaderLaunch {
  readonly file: string;
  readonly args: readonly string[];
}

/** Measured: the child's heap stays below 10 MB during floods, with a young generation this small. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=64'];

/** Tells a child that it is for flooded interfaces only. */
export const FLOOD_ARGUMENT = 'flood';
/** Tells a reader that it is for misdirected packets: one frame in a while is enough. */
export const MISDIRECTED_ARGUMENT = 'misdirected';

/**
 * How to start the capture child, the most confined way first. Each may be impossible on some machine: setpriv may be
 * missing, the bounding set may be out of reach, and root without its other capabilities may be unable to read a
 * checkout in somebody's private home.
 */
export function readerLaunches(): readonly ReaderLaunch[] {
  // From the sources, in development, the child needs the same loader as its parent.
  const fromSource = import.meta.url.endsWith('.ts');
  const script = fileURLToPath(new URL(fromSource ? './reader.ts' : './reader.js', import.meta.url));
  const loader = fromSource ? ['--import', import.meta.resolve('tsx')] : [];
  const node = [process.execPath, ...NODE_FLAGS, ...loader, script];
  const confined = [
    '--bounding-set=-all,+net_raw',
    '--inh-caps=-all,+net_raw',
    '--ambient-caps=-all,+net_raw',
    '--no-new-privs',
  ];
  // The child dies of the end of file on its channel; the death signal is for a child that hangs.
  const mortal = '--pdeathsig=KILL';
  return [
    { file: 'setpriv', args: [...confined, mortal, ...node] },
    { file: 'setpriv', args: [mortal, ...node] },
    { file: process.execPath, args: node.slice(1) },
  ];
}

/** The child needs nothing of the daemon's environment but the way to its programs and libraries. */
export function readerEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {};
  for (const name of ['PATH', 'LD_LIBRARY_PATH', 'TMPDIR']) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
