import { parse } from 'smol-toml';
import type { Family } from '../../../src/wire/addresses.js';
import type { MarpdConfig } from '../kit/marpd.js';
import type { EngineName } from './engines.js';
import { type FirstHop, NET1, NET4, PAIR, type PairedLan, PLACES, type Role, type Subnet } from './places.js';
import type { RoutedSite } from './routed-site.js';
import { rendered, type RouterFiles } from './router-files.js';
import { redundantExample, type Vrrp } from './virtual-router.js';

export interface RedundantSiteOptions {
  /** IPv4 alone by default. With both, the files for IPv6 (`*-ipv6*`) are there beside the others. */
  readonly families?: readonly Family[];
  /** Undefined: none, and the first router of a LAN has the gateway's address on its interface. */
  readonly vrrp: Vrrp | undefined;
  /** NET1 by default, which is always one of them. */
  readonly paired?: readonly PairedLan[];
  /** Milliseconds; 100 as shipped. */
  readonly advertMs?: number;
  /** Seconds; 10 as shipped. 0 preempts at once. */
  readonly preemptDelayS?: number;
  /** False: keepalived tracks the uplink alone. On a busy box its scripts take longer than the two seconds that we ship. */
  readonly scripts?: boolean;
  /** The two of a LAN have no link with each other (core1). */
  readonly oneLink?: boolean;
  readonly orphans?: readonly Subnet[];
  /** Merged over the default sections of every marpd. */
  readonly config?: MarpdConfig;
  /** Merged over those of the pairs only; `interface` and so their role is that of the shipped file. */
  readonly pairConfig?: MarpdConfig;
  /** So many packets of BFD, 50 ms apart, may be late before a neighbour counts as dead; 3 as shipped. FRR only. */
  readonly bfdPackets?: number;
}

/** How one router's keepalived differs from what we ship. */
export interface VrrpChanges {
  readonly priority?: number;
  /** False: it preempts after its preempt_delay. */
  readonly atOnce?: boolean;
  /** What it tracks; all of it as shipped. */
  readonly uplink?: boolean;
  readonly marpd?: boolean;
  readonly routing?: boolean;
}

const ENGINE_FILE: Readonly<Record<EngineName, string>> = {
  'frr-ospf': 'frr.conf',
  'frr-bgp': 'frr-bgp.conf',
  'bird-bgp': 'bird.conf',
  'bird-ospf': '',
};

/** What the routers of a redundant site are configured with: the files of config/redundant-routers. */
export class RedundantFiles {
  readonly paired: readonly PairedLan[];

  constructor(
    readonly engineName: EngineName,
    readonly options: RedundantSiteOptions,
  ) {
    this.paired = options.paired ?? [NET1];
    if (ENGINE_FILE[engineName] === '') throw new Error(`no example of redundant routers with ${engineName}`);
    if (options.vrrp === 'frr' && engineName !== 'frr-ospf') throw new Error("vrrpd's example has OSPF");
    if (this.#isPaired('r4') && engineName !== 'frr-ospf') throw new Error('R3 knows R5 by OSPF only');
    if (this.hasIpv6 && (engineName !== 'frr-ospf' || this.#isPaired('r4')))
      throw new Error('the example of IPv6 has OSPF, and net1 alone with two routers');
  }

  get firstHops(): readonly FirstHop[] {
    return this.#isPaired('r4') ? [...PAIR, ...NET4.routers] : [...PAIR, 'r4'];
  }

  /** All that share their LAN with another one. */
  get pairedRouters(): readonly FirstHop[] {
    return this.paired.flatMap(({ routers }) => routers);
  }

  get hasIpv6(): boolean {
    return this.options.families?.includes('ipv6') === true;
  }

  /** All home subnets, as every router of the site has them. */
  get subnets(): MarpdConfig {
    const { subnet } = parse(this.#shipped('r1', this.#marpdFile)) as MarpdConfig;
    return { subnet } as MarpdConfig;
  }

  get #marpdFile(): string {
    return this.hasIpv6 ? 'marpd-ipv6.toml' : 'marpd.toml';
  }

  #isPaired(role: FirstHop): boolean {
    return this.pairedRouters.includes(role);
  }

  /** @throws for a router that is alone on its LAN */
  lanOf(role: FirstHop): PairedLan {
    const lan = this.paired.find(({ routers }) => routers.includes(role));
    if (lan === undefined) throw new Error(`${role} is alone on its LAN`);
    return lan;
  }

  of(role: Role): RouterFiles {
    if (role === 'r3') return { engine: this.#coreEngine() };
    if (!this.#isPaired(role)) return { place: { segment: NET4.segment, lan: `${NET4.gateway}/24` } };
    const { vrrp, advertMs = 100, pairConfig } = this.options;
    const ipv6 = this.hasIpv6 ? this.#shipped(role, 'frr-ipv6.conf') : '';
    const vrrpIpv6 = this.hasIpv6 && vrrp === 'frr' ? this.#shipped(role, 'frr-vrrpd-ipv6.conf') : '';
    const main =
      vrrp === 'frr'
        ? replaced(this.#shipped(role, 'frr-vrrpd.conf'), 'advertisement-interval 100', advertMs)
        : this.#bfd(this.#shipped(role, ENGINE_FILE[this.engineName]));
    const engine = `${main}${ipv6}${vrrpIpv6}`;
    const { interface: interfaces } = parse(this.#shipped(role, this.#marpdFile)) as MarpdConfig;
    const marpd = { ...(vrrp === undefined ? {} : { interface: interfaces }), ...pairConfig } as MarpdConfig;
    return { engine, marpd, place: this.#placeOf(role) };
  }

  /** The gateway has the first address of the LAN. */
  #placeOf(role: FirstHop): NonNullable<RouterFiles['place']> {
    const { segment, gateway, routers } = this.lanOf(role);
    const at = routers.indexOf(role);
    const own = gateway.replace(/1$/, String(2 + at));
    return { segment, lan: `${this.options.vrrp === undefined && at === 0 ? gateway : own}/24` };
  }

  /** What we ship for R1 or R2; the routers of net4 have theirs with the two subnets exchanged. */
  #shipped(role: FirstHop, name: string): string {
    const { routers } = this.lanOf(role);
    const model = PAIR[routers.indexOf(role)] as FirstHop;
    const shipped = redundantExample(model, name);
    return model === role ? shipped : rendered(exchanged(shipped), model, role);
  }

  // What we ship has R4 alone, and its link without BFD.
  #coreEngine(): string {
    const shipped = this.#bfd(redundantExample('r3', ENGINE_FILE[this.engineName]));
    if (this.hasIpv6) return `${shipped}${redundantExample('r3', 'frr-ipv6.conf')}`;
    if (!this.#isPaired('r4')) return shipped;
    const [core1] = /^interface core1\n[^!]*?^exit\n/m.exec(shipped) as [string];
    const ports = NET4.routers.map((role) => core1.replace('core1', PLACES[role].corePort));
    return shipped.replace(/^interface core2\n[^!]*?^exit\n/m, ports.join(''));
  }

  #bfd(engine: string): string {
    const { bfdPackets } = this.options;
    return bfdPackets === undefined ? engine : replaced(engine, 'detect-multiplier 3', bfdPackets);
  }

  /** What we ship, with the sockets of this lab. */
  keepalivedConf(role: FirstHop, site: RoutedSite, changes: VrrpChanges = {}): string {
    const main = this.#keepalivedFile(role, 'keepalived.conf', site, changes);
    return this.hasIpv6
      ? `${main}${this.#keepalivedFile(role, 'keepalived-ipv6.conf', site, changes)}`
      : main;
  }

  #keepalivedFile(role: FirstHop, name: string, site: RoutedSite, changes: VrrpChanges): string {
    const { advertMs = 100, preemptDelayS = 10 } = this.options;
    let shipped = this.#shipped(role, name);
    if (changes.priority !== undefined)
      shipped = shipped.replace(/^ {2}priority \d+/m, `  priority ${changes.priority}`);
    if (changes.uplink === false) shipped = shipped.replace(/ {2}track_interface {[^}]*}\n/, '');
    const { scripts } = this.options;
    if ((changes.marpd ?? scripts) === false) shipped = shipped.replace(/^ {4}marpd\n/m, '');
    if ((changes.routing ?? scripts) === false) shipped = shipped.replace(/^ {4}routing(_ipv6)?\n/m, '');
    if (changes.atOnce === true) shipped = shipped.replace(/^ {2}preempt_delay .*\n/m, '');
    // A router of the lab has the shell of its own FRR only.
    const shell = site.engine(role).commands[0]?.replace(/ -c .*/, '');
    const daemon = /vtysh -d (\S+ -c '[^']*')/.exec(shipped)?.[1];
    const check = this.engineName.startsWith('frr')
      ? `${shell} -d ${daemon}`
      : site.engine(role).commands[0]?.replace('show route all', 'show status');
    return replaced(replaced(shipped, 'advert_int 0.1', advertMs / 1000), 'preempt_delay 10', preemptDelayS)
      .replace('/run/marpd/marpd.sock', site.marpd(role).socket)
      .replace(/(script )".*vtysh.*"/, `$1"/usr/bin/env ${check}"`);
  }
}

/** The subnet of net1 for that of net4, and the other way round. */
function exchanged(text: string): string {
  return text.replace(/\b10\.(1\.1|2\.2)\./g, (_, half) => (half === '1.1' ? '10.2.2.' : '10.1.1.'));
}

/** @throws when the file that we ship has no such line */
function replaced(text: string, setting: string, value: number): string {
  // (Only the one that preempts has a delay.)
  if (setting.startsWith('preempt_delay') && !text.includes('preempt_delay')) return text;
  if (!text.includes(setting)) throw new Error(`no "${setting}" in what we ship`);
  return text.replace(setting, `${setting.split(' ')[0]} ${value}`);
}
