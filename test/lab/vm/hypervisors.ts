import type { Family } from '../../../src/wire/addresses.js';
import { makeEngine, shippedConfig, type EngineName } from '../routed/engines.js';
import { IdealMigration } from './ideal-migration.js';
import { Libvirt } from './libvirt.js';
import { Marpd } from '../kit/marpd.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { join } from 'node:path';
import { waitFor } from '../kit/program.js';
import { HOST, HOST_IPV6, SHARED_GATEWAY } from '../routed/places.js';
import { MOBILE } from '../routed/moves.js';
import { RoutedSite } from '../routed/routed-site.js';
import { type GuestOptions, type Tap, VirtualMachine } from './virtual-machine.js';

/**
 * Two hypervisors in two subnets, each the first-hop router of its guests, in the site of RoutedSite:
 *
 *     home LAN 10.1.1.0/24, neighbour 10.1.1.9 ─ lan0 [A = R1] ─┐
 *                                             guest ─ tap       ├─ [R3] ─ remote 198.51.100.2
 *                            another 10.2.2.0/24 ─ lan0 [B = R2] ─┘
 *
 * The guest 10.1.1.5 is on a routed tap without a bridge. With `bridged`, its tap on A is a port of a bridge with A's
 * card of the home LAN: there it hears its neighbours directly.
 */

export type Place = 'r1' | 'r2';
export const other = (place: Place): Place => (place === 'r1' ? 'r2' : 'r1');

/**
 * How the network hears that a guest has migrated: by libvirt's hook and events; by QEMU's announcements alone (its
 * RARP, and the guest's own ARP if it makes any); by the guest's own ARP alone (each tap is in a bridge of its own
 * that keeps RARP back); not at all. Or there is no marpd and no routing protocol, and somebody writes the routes who
 * knows.
 */
export type Told = 'hooks' | 'announcements' | 'guest' | 'nothing' | 'script';

/** A migration as the hypervisors saw it; ms since 1970. */
export interface Migrated {
  readonly stoppedAt: number;
  readonly resumedAt: number;
  /** QEMU's own measure, ms. */
  readonly qemuDowntimeMs: number;
  readonly tap: Tap;
}

export const GUEST: GuestOptions = {
  name: 'guest1',
  mac: '52:54:00:0a:01:05',
  addresses: [`${HOST}/24`],
  gateway: '10.1.1.1',
};

/** The same guest with both families. */
export const DUAL_STACK_GUEST: GuestOptions = {
  ...GUEST,
  addresses: [...GUEST.addresses, `${HOST_IPV6}/64`],
  gatewayIpv6: SHARED_GATEWAY,
};

export interface HypervisorOptions {
  /** IPv4 alone by default. */
  readonly families?: readonly Family[];
  /** A's home LAN is a bridge, and so the guest is at home there. */
  readonly bridged?: boolean;
  /**
   * Each tap has a MAC of its own, as the kernel gives them out, so that a migrated guest has stale neighbours. Without
   * it a tap has the guest's MAC with fe in front, as libvirt does it: the same on every hypervisor.
   */
  readonly ownTapMacs?: boolean;
  /** Policy of the taps; `after` believes RARP of a known MAC before the guest has answered. Default `before`. */
  readonly prove?: 'before' | 'after';
}

let taps = 0;

export class Hypervisors {
  readonly site: RoutedSite;
  readonly libvirts: Readonly<Record<Place, Libvirt>>;
  machine: VirtualMachine | undefined;
  at: Place = 'r1';
  #ideal: IdealMigration | undefined;

  constructor(
    readonly lab: Lab,
    readonly engineName: EngineName,
    readonly options: HypervisorOptions = {},
  ) {
    const { families = ['ipv4'] } = options;
    this.site = new RoutedSite(lab, engineName, { families });
    for (const place of ['r1', 'r2'] as const) {
      const lan = this.lanOf(place);
      const router = this.site.router(place);
      if (lan !== 'lan0') bridgeHomeLan(router);
      // marpd asks on a tap from the kernel's link-local address there.
      if (families.includes('ipv6')) router.sysctl({ 'ipv6.conf.default.addr_gen_mode': 0 });
      this.site.marpds.set(
        place,
        new Marpd(router, {
          ...this.site.marpd(place).config,
          interface: [{ name: lan }, { name: 'tap*', prove: options.prove ?? 'before' }, { name: 'vm*' }],
        }),
      );
      // Taps come and go, so FRR's "match interface" is left out, as its configuration says.
      const config = shippedConfig(engineName, place)
        .replace(/^ match interface lan0\n/gm, '')
        .replaceAll('lan0', lan);
      this.site.engines.set(place, makeEngine(engineName, router, config, families));
    }
    this.libvirts = { r1: this.#libvirt('r1'), r2: this.#libvirt('r2') };
  }

  #libvirt(place: Place): Libvirt {
    return new Libvirt(this.site.router(place), this.site.marpd(place), this.#bridgeOf(place));
  }

  lanOf(place: Place): string {
    return this.options.bridged === true && place === 'r1' ? 'br0' : 'lan0';
  }

  #bridgeOf(place: Place): string | undefined {
    return this.options.bridged === true && place === 'r1' ? 'br0' : undefined;
  }

  /** The interface on which the router has the guest. */
  interfaceOf(place: Place, tap: Tap): string {
    return this.#bridgeOf(place) ?? tap.name;
  }

  /** Starts marpd and the routing daemons. */
  async start(): Promise<this> {
    await this.site.startEngines();
    for (const place of ['r1', 'r2'] as const) await this.site.marpd(place).start(this.lanOf(place));
    return this;
  }

  /** Instead of `start`: static routes, and a script that changes them. */
  startIdeal(): this {
    this.#ideal = new IdealMigration(this.site);
    return this;
  }

  #nextTap(place: Place, guest: GuestOptions): Tap {
    const number = ++taps;
    const own = `02:bb:00:00:0${place === 'r1' ? 1 : 2}:${(number & 255).toString(16).padStart(2, '0')}`;
    return { name: `tap${number}`, mac: this.options.ownTapMacs === true ? own : `fe${guest.mac.slice(2)}` };
  }

  /** Boots the guest on A and waits until the remote host reaches it. */
  async boot(guest: GuestOptions, told: Told): Promise<VirtualMachine> {
    const { r1: libvirt } = this.libvirts;
    const tap = this.#nextTap('r1', guest);
    if (told === 'hooks') await libvirt.hook(guest, 'prepare begin');
    const booting = VirtualMachine.boot(this.site.router('r1'), guest, tap);
    await this.#tapIsHeard('r1', tap, guest, told);
    this.#ideal?.write('r1', tap.name);
    if (told === 'hooks') await libvirt.hook(guest, 'start begin', tap);
    this.machine = await booting;
    this.at = 'r1';
    if (told === 'hooks') {
      await libvirt.hook(guest, 'started begin', tap);
      libvirt.event(guest, 'Started Booted');
    }
    await this.site.reachable(this.site.remote, addressOf(guest), 10_000);
    return this.machine;
  }

  async #tapIsHeard(place: Place, tap: Tap, guest: GuestOptions, told: Told): Promise<void> {
    const router = this.site.router(place);
    const bridge = told === 'guest' ? tap.name.replace('tap', 'vm') : this.#bridgeOf(place);
    if (bridge === undefined && this.#ideal === undefined) {
      return this.site.marpd(place).captures(tap.name, 10_000);
    }
    await waitFor(() => isUp(router, tap.name), 10_000, `the tap ${tap.name}`, 5);
    this.#ideal?.tap(place, tap.name, guest.mac);
    if (bridge === undefined) return;
    if (told === 'guest') {
      keepRarpBack(router);
      router.ip(`link add ${bridge} ${BRIDGE}`, `link set ${bridge} address ${tap.mac} up`);
    }
    router.ip(`link set ${tap.name} master ${bridge}`);
    await this.site.marpd(place).captures(bridge, 10_000);
  }

  /**
   * Migrates the guest to the other hypervisor, alive.
   * @param ready called when the new tap is there, before the guest is
   */
  async migrate(told: Told, ready?: (tap: Tap) => Promise<void>): Promise<Migrated> {
    const source = this.machine;
    if (source === undefined) throw new Error('no guest runs');
    const guest = source.options;
    const to = other(this.at);
    const [from, libvirt] = [this.libvirts[this.at], this.libvirts[to]];
    const tap = this.#nextTap(to, guest);
    const channel = join(this.lab.directory, `${tap.name}.migration`);
    if (told === 'hooks') {
      await libvirt.hook(guest, 'migrate begin');
      await libvirt.hook(guest, 'prepare begin');
      for (const each of [from, libvirt]) each.agent();
    }
    const target = await VirtualMachine.awaitGuest(this.site.router(to), guest, tap, channel);
    await this.#tapIsHeard(to, tap, guest, told);
    if (told === 'hooks') {
      await libvirt.hook(guest, 'start begin', tap);
      libvirt.event(guest, 'Started Migrated');
    }
    await ready?.(tap);
    if (told === 'nothing') await target.qmp.execute('migrate-set-parameters', { 'announce-rounds': 0 });
    target.qmp.onEvent(({ name }) => {
      if (name !== 'RESUME') return;
      if (told === 'hooks') libvirt.event(guest, 'Resumed Migrated');
      this.#ideal?.write(to, tap.name);
    });
    source.qmp.onEvent(({ name }) => {
      if (told === 'hooks' && name === 'STOP') from.event(guest, 'Suspended Migrated');
    });
    await source.send(channel);
    const resumed = await target.resumed();
    this.machine = target;
    this.at = to;
    const stopped = await source.left();
    const qemuDowntimeMs = await source.downtimeMs();
    await source.kill();
    if (told === 'hooks') {
      await from.hook(guest, 'stopped end');
      await from.hook(guest, 'release end');
      from.event(guest, 'Stopped Migrated');
    }
    return { stoppedAt: stopped.at, resumedAt: resumed.at, qemuDowntimeMs, tap };
  }

  /** Waits until the guest's claim is as old as it gets. */
  async settled(timeoutMs = 30_000): Promise<void> {
    if (this.#ideal !== undefined) return;
    const { ctl } = this.site.marpd(this.at);
    const wanted = this.#bridgeOf(this.at) === undefined ? 'settled' : 'home';
    for (const ip of this.site.families.map((family) => MOBILE[family]))
      await waitFor(async () => (await ctl.host(ip))?.state === wanted, timeoutMs, `${ip} to be ${wanted}`);
  }

  get macBytes(): Uint8Array {
    return Buffer.from((this.machine?.options.mac ?? '').replaceAll(':', ''), 'hex');
  }
}

const BRIDGE = 'type bridge stp_state 0 forward_delay 0 mcast_snooping 0';

function bridgeHomeLan(router: Namespace): void {
  router.ip(
    `link add name br0 ${BRIDGE}`,
    'addr flush dev lan0',
    'link set lan0 master br0',
    'addr add 10.1.1.1/24 dev br0',
    'link set br0 address 02:aa:00:00:00:01',
    'link set br0 up',
  );
}

function keepRarpBack(router: Namespace): void {
  const table =
    'table bridge quiet { chain rarp { type filter hook prerouting priority 0; ether type 0x8035 drop; }; }';
  router.exec('nft', `${table}; delete table bridge quiet; ${table}`);
}

function isUp(namespace: Namespace, iface: string): boolean {
  return namespace
    .json<{ ifname: string; flags: string[] }>('link', 'show')
    .some(({ ifname, flags }) => ifname === iface && flags.includes('UP'));
}

/** Without its prefix length. */
export function addressOf(guest: GuestOptions): string {
  return (guest.addresses[0] as string).split('/')[0] as string;
}
