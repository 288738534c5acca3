import { fileURLToPath } from 'node:url';
import { type Argv, type Confinement, confined, firstThatReads } from '../system/confine.js';

/** Measured: the reader's heap stays below 10 MB under load, with a young generation this small. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=64'];

/** The most confined first. A checkout in a private home cannot be read by everybody. */
const CONFINEMENTS: readonly Confinement[] = [{ keep: 'net_raw', nobody: true }, { keep: 'net_raw' }];

/** How to start a reader: as confined as it can be, and in case that fails without confinement. */
export function readerLaunches(): readonly Argv[] {
  // From the sources, in development, the reader needs the same loader as the daemon.
  const fromSource = import.meta.url.endsWith('.ts');
  const script = fileURLToPath(new URL(fromSource ? './reader.ts' : './reader.js', import.meta.url));
  const loader = fromSource ? ['--import', import.meta.resolve('tsx')] : [];
  const node: Argv = [process.execPath, ...NODE_FLAGS, ...loader, script];
  const best = firstThatReads([process.execPath, script], CONFINEMENTS);
  return best === undefined ? [node] : [confined(node, best), node];
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
