import { fileURLToPath } from 'node:url';

export interface ReaderLaunch {
  readonly file: string;
  readonly args: readonly string[];
}

/** Measured: the reader's heap stays below 10 MB under load, with a young generation this small. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=64'];

/**
 * How to start a reader, the most confined way first. Each may be impossible on some machine: setpriv may be missing,
 * the bounding set may be out of reach, and root without its other capabilities may be unable to read a checkout in a
 * private home directory.
 */
export function readerLaunches(): readonly ReaderLaunch[] {
  // From the sources, in development, the reader needs the same loader as the daemon.
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
  // A reader ends at the end of file on its channel; the death signal is for one that hangs.
  const withDeathSignal = '--pdeathsig=KILL';
  return [
    { file: 'setpriv', args: [...confined, withDeathSignal, ...node] },
    { file: 'setpriv', args: [withDeathSignal, ...node] },
    { file: process.execPath, args: node.slice(1) },
  ];
}

/** The reader needs nothing of the daemon's environment but the way to its programs and libraries. */
export function readerEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {};
  for (const name of ['PATH', 'LD_LIBRARY_PATH', 'TMPDIR']) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
