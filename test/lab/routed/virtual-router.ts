import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../kit/namespace.js';
import { Program, waitFor } from '../kit/program.js';

/**
 * The daemons that decide which of two routers has the gateway's address, with the very files of
 * config/redundant-routers. keepalived is a program of its own here; FRR's vrrpd belongs to the routing daemons
 * (test/lab/routed/engines.ts), and only its macvlan is made here.
 */

export type Vrrp = 'keepalived' | 'frr';

export const VIRTUAL_MAC = '00:00:5e:00:01:07';
/** The macvlan with the virtual MAC. */
export const VIRTUAL_PORT = 'vrrp7';

/** The same of IPv6, which has a virtual router of its own. */
export const VIRTUAL_MAC_IPV6 = '00:00:5e:00:02:07';
export const VIRTUAL_PORT_IPV6 = 'vrrp7-ipv6';

const EXAMPLE = join(import.meta.dirname, '../../../config/redundant-routers');

/** A file that we ship for a router of this role. */
export function redundantExample(role: string, name: string): string {
  return readFileSync(join(EXAMPLE, role, name), 'utf8');
}

interface Card {
  readonly operstate: string;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local?: string }[];
}

/** Whether a router's kernel has a gateway's address on an interface that works: what VRRP decided. */
export function hasGateway(router: Namespace, gateway: string): boolean {
  return router
    .json<Card>('addr', 'show')
    .some(
      ({ flags, addr_info }) =>
        flags.includes('LOWER_UP') && addr_info.some(({ local }) => local === gateway),
    );
}

/** What the kernel must have before FRR's vrrpd can work (config/redundant-routers, interfaces-vrrpd). */
export function addMacvlan(router: Namespace, gateway: string): void {
  router.ip(
    `link add link lan0 name ${VIRTUAL_PORT} address ${VIRTUAL_MAC} type macvlan mode bridge`,
    `addr add ${gateway}/32 dev ${VIRTUAL_PORT}`,
    `link set ${VIRTUAL_PORT} up`,
  );
}

/** The same for IPv6 (interfaces-vrrpd-ipv6). */
export function addMacvlanIpv6(router: Namespace, gateways: readonly string[]): void {
  const device = `dev ${VIRTUAL_PORT_IPV6}`;
  router.ip(
    `link add link lan0 name ${VIRTUAL_PORT_IPV6} address ${VIRTUAL_MAC_IPV6} type macvlan mode bridge`,
    `link set ${VIRTUAL_PORT_IPV6} addrgenmode none`,
    ...gateways.map((ip) => `addr add ${ip}/${ip.startsWith('fe80:') ? 64 : 128} ${device} nodad`),
    `link set ${VIRTUAL_PORT_IPV6} up`,
  );
}

export class Keepalived {
  readonly #argv: readonly string[];
  readonly #path: string;
  readonly #pidFiles: readonly string[];
  #program: Program | undefined;

  /** @param config text of keepalived.conf */
  constructor(
    readonly namespace: Namespace,
    config: string,
  ) {
    const file = (name: string): string =>
      join(namespace.lab.directory, `${namespace.role}-keepalived${name}`);
    this.#path = file('.conf');
    this.configure(config);
    const [pid, vrrpPid] = [file('.pid'), file('-vrrp.pid')];
    this.#pidFiles = [pid, vrrpPid];
    this.#argv = [
      ...['keepalived', '--dont-fork', '--dont-respawn', '--log-console', '--log-detail', '--no-syslog'],
      ...['--vrrp', '--use-file', this.#path, '--pid', pid, '--vrrp_pid', vrrpPid],
    ];
  }

  /** Writes another configuration; `reload` reads it. */
  configure(config: string): void {
    writeFileSync(this.#path, config);
  }

  /** Returns once it listens to the other one. */
  async start(): Promise<void> {
    this.#program = new Program(this.namespace, this.#argv, { title: 'keepalived' });
    await this.#program.line(/Entering (BACKUP|FAULT) STATE/);
  }

  get running(): boolean {
    return this.#program?.running === true;
  }

  reload(): void {
    this.#program?.child.kill('SIGHUP');
  }

  /** In order: the other one hears of it. */
  async stop(): Promise<void> {
    await this.#program?.stop('SIGTERM');
  }

  /** kill -9 of all its processes: the kernel keeps the address and the macvlan. */
  async crash(): Promise<void> {
    const program = this.#program;
    if (program === undefined) return;
    for (const pid of childrenOf(program.pid)) process.kill(pid, 'SIGKILL');
    await program.stop('SIGKILL');
    // It takes a child that nobody has waited for yet for one that runs.
    for (const path of this.#pidFiles) rmSync(path, { force: true });
  }
}

// Of the program that runs `ip netns exec`, which replaces itself: its children are keepalived's own.
function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** Waits until the kernel of `active` has all gateways, and that of `standby` has none. */
export async function untilActive(
  gateways: readonly string[],
  active: Namespace,
  standby: Namespace | undefined,
  timeoutMs = 10_000,
): Promise<void> {
  await waitFor(
    () =>
      gateways.every(
        (gateway) => hasGateway(active, gateway) && (standby === undefined || !hasGateway(standby, gateway)),
      ),
    timeoutMs,
    `${active.role} alone to have ${gateways.join(' and ')}`,
  );
}
