import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { guestImage } from './guest-image.js';
import type { Namespace } from '../kit/namespace.js';
import { Program } from '../kit/program.js';
import { Qmp, type QmpEvent } from './qmp.js';

export interface GuestOptions {
  readonly name: string;
  readonly mac: string;
  /** With prefix length; the first is its main one. */
  readonly addresses: readonly string[];
  readonly gateway: string;
  /** Of a dual-stack guest. */
  readonly gatewayIpv6?: string;
  /** False: the guest itself says nothing after a migration, only QEMU's RARP is sent. Default true. */
  readonly announces?: boolean;
}

/** One end of a guest's card. */
export interface Tap {
  readonly name: string;
  readonly mac: string;
}

const BOOT_TIMEOUT_MS = 60_000;

// tsc, acpi_pm, nohpet: without them one emulated guest in 19 hung after a migration.
const KERNEL_OPTIONS = 'console=ttyS0 quiet tsc=unstable clocksource=acpi_pm nohpet panic=-1';

let acceleration: 'kvm' | 'tcg' | undefined;

/** KVM where the processor lends itself to it; a /dev/kvm alone may be of a kind that boots no ordinary kernel. */
export function accelerator(): 'kvm' | 'tcg' {
  acceleration ??= hardwareVirtualisation() ? 'kvm' : 'tcg';
  return acceleration;
}

function hardwareVirtualisation(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'latin1'));
  } catch {
    return false;
  }
}

/** A QEMU process on a hypervisor, and the guest in it once it runs here. */
export class VirtualMachine {
  private constructor(
    readonly hypervisor: Namespace,
    readonly options: GuestOptions,
    readonly tap: Tap,
    readonly program: Program,
    readonly qmp: Qmp,
  ) {}

  /** Boots a guest and waits until it answers on the network. */
  static async boot(hypervisor: Namespace, options: GuestOptions, tap: Tap): Promise<VirtualMachine> {
    const machine = await VirtualMachine.#launch(hypervisor, options, tap, []);
    await machine.program.line(/^ready/, BOOT_TIMEOUT_MS);
    return machine;
  }

  /** A QEMU that waits for a guest at the Unix socket `channel`; its tap is there, and up. */
  static async awaitGuest(
    hypervisor: Namespace,
    options: GuestOptions,
    tap: Tap,
    channel: string,
  ): Promise<VirtualMachine> {
    return VirtualMachine.#launch(hypervisor, options, tap, ['-incoming', `unix:${channel}`]);
  }

  static async #launch(
    hypervisor: Namespace,
    options: GuestOptions,
    tap: Tap,
    more: readonly string[],
  ): Promise<VirtualMachine> {
    const { kernel, initramfs } = guestImage();
    const monitor = join(hypervisor.lab.directory, `${hypervisor.role}-${tap.name}.qmp`);
    const { addresses: all, gateway, gatewayIpv6 } = options;
    const addresses = `ADDRESSES=${all.join(',')} GATEWAY=${gateway} GATEWAY6=${gatewayIpv6 ?? ''}`;
    const announce = options.announces === false ? 'off' : 'on';
    const argv = [
      'qemu-system-x86_64',
      ...['-name', options.name, '-nodefaults', '-no-user-config', '-display', 'none'],
      ...['-machine', `pc,accel=${accelerator()}`, '-m', '96', '-smp', '1', '-serial', 'stdio'],
      ...['-kernel', kernel, '-initrd', initramfs, '-append', `${KERNEL_OPTIONS} ${addresses}`],
      ...['-netdev', `tap,id=net0,ifname=${tap.name},script=no,downscript=no`],
      ...['-device', `virtio-net-pci,netdev=net0,mac=${options.mac},guest_announce=${announce},romfile=`],
      ...['-qmp', `unix:${monitor},server=on,wait=off`, ...more],
    ];
    const program = new Program(hypervisor, argv, { title: `qemu ${options.name}` });
    const qmp = await Promise.race([
      Qmp.open(monitor),
      program.ended(2 ** 31 - 1).then((status) => {
        throw new Error(`qemu ended (${status}): ${program.output}`);
      }),
    ]);
    hypervisor.ip(`link set ${tap.name} address ${tap.mac}`, `link set ${tap.name} up`);
    return new VirtualMachine(hypervisor, options, tap, program, qmp);
  }

  /** Starts to send the guest to a machine that waits for it at `channel`. */
  async send(channel: string): Promise<void> {
    const capabilities = [{ capability: 'events', state: true }];
    await this.qmp.execute('migrate-set-capabilities', { capabilities });
    await this.qmp.execute('migrate', { uri: `unix:${channel}` });
  }

  /** Resolves when the guest runs here. */
  async resumed(timeoutMs = 20_000): Promise<QmpEvent> {
    return this.qmp.event(({ name }) => name === 'RESUME', timeoutMs, `${this.options.name} to resume`);
  }

  /** Resolves when the guest has left, to when it was stopped here. @throws when the migration failed */
  async left(timeoutMs = 20_000): Promise<QmpEvent> {
    const over = await this.qmp.event(
      ({ name, data }) => name === 'MIGRATION' && ['completed', 'failed'].includes(String(data.status)),
      timeoutMs,
      `${this.options.name} to leave`,
    );
    if (over.data.status === 'failed') throw new Error(`the migration of ${this.options.name} failed`);
    return this.qmp.event(({ name }) => name === 'STOP', 1000, 'the guest to be stopped');
  }

  /** What QEMU itself says of the downtime, ms. */
  async downtimeMs(): Promise<number> {
    return (await this.qmp.execute<{ downtime?: number }>('query-migrate')).downtime ?? Number.NaN;
  }

  /** Ends QEMU hard; its tap vanishes with it. */
  async kill(): Promise<void> {
    await this.program.stop('SIGKILL');
  }
}
