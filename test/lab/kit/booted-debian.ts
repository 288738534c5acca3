import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Namespace, run } from './namespace.js';
import { childOf } from './processes.js';
import { Program, waitFor } from './program.js';

/** `scripts/setup --test` makes it. */
const ROOT = '/var/cache/marpd-setup/roots/trixie-systemd';

/**
 * A Debian in which systemd is the first process, with the interfaces of a namespace. The root is an overlay and the
 * control groups are the lab's; systemd-nspawn makes the rest, and its child ends when it is killed.
 */
export class BootedDebian {
  readonly #nspawn: Program;
  readonly #upper: string;
  #init: string | undefined;

  constructor(readonly namespace: Namespace) {
    const { lab } = namespace;
    if (!existsSync(ROOT)) throw new Error(`${ROOT} is missing: scripts/setup --test`);
    const at = (part: string) => join(lab.directory, `${namespace.role}-${part}`);
    for (const part of ['upper', 'work', 'root']) mkdirSync(at(part));
    this.#upper = at('upper');
    // `ip netns exec` has mounts of its own, and a /sys without control groups. nspawn leaves files in /run/systemd.
    const script = `
      mount -t cgroup2 cgroup2 /sys/fs/cgroup
      echo $$ >/sys/fs/cgroup/${lab.controlGroup()}/cgroup.procs
      mkdir -p /run/systemd
      mount -t tmpfs tmpfs /run/systemd
      mount -t overlay overlay -o lowerdir=${ROOT},upperdir=${at('upper')},workdir=${at('work')} ${at('root')}
      export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
      exec systemd-nspawn --quiet --boot --directory=${at('root')} --machine=${namespace.role} --register=no --keep-unit \\
        --network-namespace-path=/run/netns/${namespace.name} --capability=CAP_NET_ADMIN --console=pipe`;
    this.#nspawn = new Program(namespace, ['sh', '-ec', script], { title: 'systemd-nspawn' });
    lab.onFailure(() => this.run('journalctl --no-pager --quiet | tail -n 60'));
  }

  /** Waits until all that systemd starts by itself has started. @throws when something of it failed */
  async booted(): Promise<this> {
    const state = () => this.run('systemctl is-system-running || :').trim();
    await waitFor(
      () => {
        if (!this.#nspawn.running) throw new Error(`systemd-nspawn ended: ${this.#nspawn.output}`);
        const init = childOf(this.#nspawn.pid, /^\S*\/systemd(?: |$)/);
        this.#init = init === undefined ? undefined : String(init);
        return init !== undefined && /^(running|degraded)$/.test(state());
      },
      20_000,
      'systemd to have started everything',
      200,
    );
    if (state() !== 'running') throw new Error(this.run('systemctl --failed --no-pager'));
    return this;
  }

  /** Shuts it down, and waits for the end. */
  async shutDown(): Promise<void> {
    this.run('systemctl poweroff 2>/dev/null');
    await this.#nspawn.ended();
    this.#init = undefined;
  }

  /** A file that was written, after the end. */
  left(path: string): string {
    return readFileSync(join(this.#upper, path), 'utf8');
  }

  /** Runs a shell script in it to its end. @throws CommandFailed */
  run(script: string): string {
    const environment = ['env', '-i', 'LC_ALL=C', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
    return run(
      ['nsenter', '--target', this.#pid(), '--all', ...environment, 'sh', '-ec', script],
      '',
      30_000,
    );
  }

  /** Writes a file. */
  put(path: string, content: string | Uint8Array, mode = 0o644): void {
    const at = join(`/proc/${this.#pid()}/root`, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, content, { mode });
  }

  #pid(): string {
    if (this.#init === undefined) throw new Error('systemd has not started');
    return this.#init;
  }

  /** Properties of a unit. */
  show(unit: string, ...names: readonly string[]): Record<string, string> {
    const lines = this.run(`systemctl show ${unit} --property=${names.join()}`).trim().split('\n');
    return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  }

  /** What a unit wrote to the journal. */
  journal(unit: string): { readonly PRIORITY: string; readonly MESSAGE: string; readonly _PID: string }[] {
    const text = this.run(`journalctl --quiet --output=json _SYSTEMD_UNIT=${unit}`);
    return text
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }
}
