// A network namespace that lives and dies with the test process: nothing to clean up, whatever happens to it.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MARK = 'MARPD_PRIVATE_NET';

/**
 * Runs the calling test file again inside network and mount namespaces of its own, with a sysfs that belongs to them,
 * and ends this process with its status. Inside, it returns. node:test sees the tests as if they had run here.
 */
export function enterPrivateNetwork(moduleUrl: string): void {
  if (process.env[MARK] === '1') return;
  const script = 'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"';
  const node = [process.execPath, '--import', 'tsx', fileURLToPath(moduleUrl)];
  const { status, error } = spawnSync(
    'unshare',
    ['--net', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...node],
    { stdio: 'inherit', env: { ...process.env, [MARK]: '1' } },
  );
  if (error !== undefined) console.error(`unshare: ${error.message}`);
  process.exit(status ?? 1);
}

/** `ip ...`, words separated by blanks. */
export function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8', maxBuffer: 1 << 26 });
}

/** A second network namespace, for the far end of a cable; it ends with `end()` or with this process. */
export class FarEnd {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async open(): Promise<FarEnd> {
    const holder = spawn(
      'setpriv',
      ['--pdeathsig=KILL', 'unshare', '--net', 'sh', '-c', 'echo ready; read _'],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    await once(holder.stdout, 'data');
    return new FarEnd(holder);
  }

  get pid(): number {
    return this.#holder.pid as number;
  }

  /** Runs a program there. */
  run(...argv: readonly string[]): string {
    return execFileSync('nsenter', ['-t', String(this.pid), '-n', ...argv], { encoding: 'utf8' });
  }

  ip(command: string): string {
    return this.run('ip', ...command.split(' '));
  }

  end(): void {
    this.#holder.kill('SIGKILL');
  }
}

/** Polls until `look` returns something else than undefined or false. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false,
  timeoutMs = 5000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
