import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import type { MarpdConfig } from '../kit/marpd.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';
import { plugIn } from './cables.js';
import { type Engine, type EngineName, makeEngine } from './engines.js';
import { ifup } from './interfaces-file.js';
import type { MoveMeter, MoveReport } from './moves.js';
import { REMOTE, ROUTER_IDS, type Role } from './places.js';
import type { RouterFiles } from './router-files.js';
import { RoutedSite } from './routed-site.js';

/**
 * The files of config/clean-core on a site of their own. What is R3 elsewhere is an edge router here, with the remote
 * host behind it, and between the edge routers is one that has to know none of their hosts:
 *
 *     net1 10.1.1.0/24 lan0 [R1] core0 ─ 192.0.2.0/30 ── core0 [core] core2 ─ 192.0.2.24/30 ─ core0 [R3] srv0 ─ remote
 *     net2 10.2.2.0/24 lan0 [R2] core0 ─ 192.0.2.4/30 ── core1
 */

export const RECIPES = ['bird-overlay', 'frr-evpn'] as const;
export type Recipe = (typeof RECIPES)[number];

const CONFIG = join(import.meta.dirname, '../../../config/clean-core');
const ENGINE: Readonly<Record<Recipe, EngineName>> = { 'bird-overlay': 'bird-bgp', 'frr-evpn': 'frr-bgp' };
const EDGE: readonly Role[] = ['r1', 'r2', 'r3'];
/** Port of the core router to each edge router. */
export const CORE_PORTS: Readonly<Record<string, string>> = { r1: 'core0', r2: 'core1', r3: 'core2' };

/** What the core router knows; the same text as long as nothing changes. */
export interface CoreView {
  readonly kernel: string;
  readonly engine: string;
}

export class CleanCore {
  readonly core: Namespace;
  readonly engine: Engine;
  readonly site: RoutedSite;

  constructor(
    lab: Lab,
    readonly recipe: Recipe,
  ) {
    const engine = (name: string) => read(recipe, `${name}.conf`);
    [this.core] = lab.create('core') as [Namespace];
    this.site = new RoutedSite(lab, ENGINE[recipe], {
      cables: (site) => this.#cables(site),
      differs: (role) => ({ engine: engine(role), ...marpdOf(role) }),
    });
    this.engine = makeEngine(ENGINE[recipe], this.core, engine('core'));
  }

  async start(): Promise<this> {
    await this.engine.start();
    await this.site.startEngines();
    // Until the link states of all routers are everywhere, the core changes still.
    for (const role of EDGE)
      await waitFor(
        () => this.routesOfCore().some(({ dst }) => dst === ROUTER_IDS[role]),
        30_000,
        `the address of ${role} in the core`,
        50,
      );
    await this.site.startDaemons();
    return this;
  }

  routesOfCore(): { dst: string; gateway?: string }[] {
    return this.core.json<{ dst: string; gateway?: string }>('route', 'show');
  }

  /** All routes of the core router's kernel, and all link states and routes of its routing daemon. */
  view(): CoreView {
    const engine =
      this.recipe === 'bird-overlay'
        ? [this.engine.show('show ospf state all'), withoutTimes(this.engine.show('show route'))]
        : [
            'show ip ospf database json',
            'show ip ospf database router json',
            'show ip ospf database external json',
            'show ip ospf route json',
            'show ip route json',
          ].map((command) => withoutAges(this.engine.show(command)));
    return {
      kernel: this.core.exec('ip', '-4', 'route', 'show', 'table', 'all'),
      engine: engine.join('\n'),
    };
  }

  /** Moves the host to the other LAN. The next move begins when this one's claim has aged: sooner looks like two hosts (docs/routing.md). */
  move(meter: MoveMeter): Promise<MoveReport> {
    return meter.move(meter.at === 'r1' ? 'r2' : 'r1');
  }

  /** Notes every change of the core router's routes, of any kind, from now on. */
  async watch(): Promise<CoreWatch> {
    return new CoreWatch(this.core, await RouteLog.start(this.core));
  }

  #cables(site: RoutedSite): void {
    const { lab, routers, remote } = site;
    for (const role of EDGE) lab.link(site.router(role), 'core0', this.core, CORE_PORTS[role] as string);
    for (const role of site.firstHops) plugIn(site, role);
    lab.link(routers.r3, 'srv0', remote, 'eth0');
    remote.ip(
      `addr add ${REMOTE}/24 dev eth0`,
      'link set eth0 up',
      'route add default via 198.51.100.1 dev eth0',
    );
    // An operator copies the recipe's directory to this place.
    const directory = join(lab.directory, 'clean-core');
    cpSync(join(CONFIG, this.recipe), directory, { recursive: true });
    const files = (role: string) => read(role, 'interfaces').replace('/etc/clean-core', directory);
    for (const role of EDGE) {
      const router = site.router(role);
      router.sysctl(settings(read('sysctl.conf')));
      ifup(router, files(role));
      router.exec('nft', '-f', join(CONFIG, 'nftables.conf'));
    }
    this.core.sysctl({ 'ipv4.ip_forward': 1 });
    ifup(this.core, files('core'));
  }
}

/** The changes that `ip monitor route` saw in the core. */
export class CoreWatch {
  constructor(
    private readonly core: Namespace,
    private readonly log: RouteLog,
  ) {}

  /** Every change so far. A route of our own, which has to be seen, shows that nothing is on its way still. */
  async changes(): Promise<string[]> {
    const marker = 'blackhole 203.0.113.254';
    const from = this.log.changes.length;
    const seen = () => this.log.changes.slice(from).some(({ text }) => text.startsWith(marker));
    this.core.ip(`route add ${marker}`, `route del ${marker}`);
    await waitFor(seen, 5000, 'the own route in what ip monitor prints');
    return this.log.changes
      .filter(({ text }) => !text.startsWith('blackhole 203.0.113.'))
      .map(({ deleted, text }) => `${deleted ? '-' : '+'} ${text}`);
  }
}

function read(...path: readonly string[]): string {
  return readFileSync(join(CONFIG, ...path), 'utf8');
}

function marpdOf(role: Role): Pick<RouterFiles, 'marpd'> {
  if (role === 'r3') return {};
  // The socket is the fixture's; everything else is the file's.
  return { marpd: { ...(parse(read(role, 'marpd.toml')) as MarpdConfig), control: {} } };
}

function settings(text: string): Record<string, number> {
  const lines = [...text.matchAll(/^net\.(\S+) = (\d+)$/gm)];
  return Object.fromEntries(lines.map(([, key, value]) => [key as string, Number(value)]));
}

// "unicast [underlay 02:30:22.123] * I (150/10) [192.0.2.251]"
function withoutTimes(text: string): string {
  return text.replace(/\d\d:\d\d:\d\d\.\d{3}/g, '');
}

/** What a refresh of a link state changes (RFC 2328 section 12.4), and when a route was learned. */
const AGES = /^(?:lsaAge|age|lsAge|sequenceNumber|lsaSeqNumber|lsSeqNumber|checksum|uptime)$/i;

function withoutAges(text: string): string {
  if (text.trim() === '') return '';
  return JSON.stringify(
    JSON.parse(text, (key, value) => (AGES.test(key) ? undefined : value)),
    undefined,
    1,
  );
}
