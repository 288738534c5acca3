import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Marpd } from '../kit/marpd.js';
import type { Namespace } from '../kit/namespace.js';
import { Program } from '../kit/program.js';
import type { GuestOptions, Tap } from './virtual-machine.js';

/**
 * libvirt, as far as marpd is told of it: calls the shipped hook and feeds the shipped events agent of one hypervisor,
 * in libvirt's order, with libvirt's XML and virsh's lines. (test/unit/hooks.test.ts has what a real one was seen to
 * do.)
 */

const CONFIG = fileURLToPath(new URL('../../../config/', import.meta.url));
export const HOOK = join(CONFIG, 'libvirt', 'qemu');
export const AGENT = join(CONFIG, 'libvirt', 'marpd-events');
export const PROXMOX_HOOK = join(CONFIG, 'proxmox', 'marpd-hookscript');

/** Domain XML of a guest, reduced to what stands around a card. Without `tap` as it is before libvirt makes one. */
export function domainXml(guest: GuestOptions, tap?: string, bridge?: string): string {
  const ips = guest.addresses.map((address) => address.split('/')[0]);
  return `<domain type='qemu' id='1'>
  <name>${guest.name}</name>
  <memory unit='KiB'>98304</memory>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='${bridge === undefined ? 'ethernet' : 'bridge'}'>
      <mac address='${guest.mac}'/>
${bridge === undefined ? '' : `      <source bridge='${bridge}'/>\n`}${tap === undefined ? '' : `      <target dev='${tap}'/>\n`}      <model type='virtio'/>
      <filterref filter='clean-traffic'>
${ips.map((ip = '') => `        <parameter name='${ip.includes(':') ? 'IPV6' : 'IP'}' value='${ip}'/>\n`).join('')}      </filterref>
      <alias name='net0'/>
    </interface>
  </devices>
</domain>
`;
}

export class Libvirt {
  readonly #conf: string;
  #agent: Program | undefined;

  constructor(
    readonly hypervisor: Namespace,
    marpd: Marpd,
    /** The bridge that all taps are in; the router's mobility interface is then the bridge. */
    readonly bridge: string | undefined,
  ) {
    const { lab, role } = hypervisor;
    const guests = join(lab.directory, `${role}-guests`);
    mkdirSync(guests);
    chmodSync(guests, 0o755);
    this.#conf = join(lab.directory, `${role}-hook.conf`);
    writeFileSync(
      this.#conf,
      `socket=${marpd.socket}\nguests=${guests}\naddresses=/nonexistent\nhook=${HOOK}\n`,
    );
  }

  /** The events agent, listening. */
  agent(): Program {
    this.#agent ??= new Program(this.hypervisor, [AGENT, '-'], {
      title: 'marpd-events',
      env: { MARPD_HOOK_CONF: this.#conf },
    });
    return this.#agent;
  }

  /** A lifecycle event, as `virsh event --loop --timestamp` prints it. */
  event(guest: GuestOptions, what: string): void {
    const stamp = new Date().toISOString().replace('T', ' ').replace('Z', '+0000');
    this.agent().write(`${stamp}: event 'lifecycle' for domain '${guest.name}': ${what}\n`);
  }

  /** Calls the hook and waits for its end, as libvirt does. Resolves to what it took, ms. */
  hook(guest: GuestOptions, phase: string, tap?: Tap): Promise<number> {
    const began = performance.now();
    const env = { ...process.env, MARPD_HOOK_CONF: this.#conf };
    const child = spawn(HOOK, [guest.name, ...phase.split(' '), '-'], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.stdin.end(domainXml(guest, tap?.name, this.bridge));
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status) => {
        if (status === 0 && said === '') resolve(performance.now() - began);
        else reject(new Error(`the hook at ${phase}: status ${status}, said ${JSON.stringify(said)}`));
      });
    });
  }
}
