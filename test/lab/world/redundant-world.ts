import type { Lab } from '../kit/namespace.js';
import { type FirstHop, NET1, NET4, type PairedLan } from '../routed/places.js';
import type { VrrpChanges } from '../routed/redundant-files.js';
import { type Fault, RedundantSite } from '../routed/redundant-site.js';
import { hasGateway, VIRTUAL_MAC } from '../routed/virtual-router.js';
import { formatIp, type Ip } from '../../../src/wire/addresses.js';
import { auditPair } from './audit.js';
import { FIRST_HOP, LAN_PORT, lanOf, mustHave, ORPHANS, type SharedLayout } from './names.js';
import { CONFIG, RealWorld } from './real-world.js';
import type { Known } from './reset.js';
import {
  type ClaimView,
  type HostName,
  type LanName,
  LANS,
  type RedundantWorld,
  type RoleView,
  type RouterName,
  type Tracking,
} from '../../scenario/world.js';

/** In milliseconds, as config/redundant-routers has it; less for the delay, since scenarios wait for it. */
const ADVERT_MS = 100;
const PREEMPT_DELAY_MS = 4000;
/** Three adverts and the skew of priority 100, in which half of the timer's steps of keepalived is rounded up. */
const ACTIVE_DOWN_MS = 400;
/** More than the three that we ship: on a busy box bfdd is often held up for 150 ms, and a router counts as dead. */
const BFD_PACKETS = 8;
const ROUTER_DEAD_MS = 50 * BFD_PACKETS;

const TRACKED: Required<Tracking> = { uplink: true, marpd: false };

/** As by default: ospfd takes a second to give up the claims of a router that has died. */
const SETTLE_MS = 1000;

/**
 * Two routers more, and keepalived: later than in the other worlds, and still less than the second that ospfd takes when
 * marpd does not help it.
 */
const SLACK_MS = 900;

interface Vrrp {
  readonly tracked: Required<Tracking>;
  readonly preferred: FirstHop;
}

/** The LANs with two routers. */
const PAIRED: Readonly<Record<SharedLayout, ReadonlyMap<LanName, PairedLan>>> = {
  redundant: new Map([['a', NET1]]),
  'redundant-pairs': new Map([
    ['a', NET1],
    ['b', NET4],
  ]),
  'two-on-lan': new Map([['a', NET1]]),
};

/** The real world with two routers on a LAN, and keepalived on both, if the layout has a virtual router. */
export class RedundantRealWorld extends RealWorld implements RedundantWorld {
  override readonly settleMs = SETTLE_MS;
  readonly advertMs = ADVERT_MS;
  readonly activeDownMs = ACTIVE_DOWN_MS;
  readonly preemptDelayMs = PREEMPT_DELAY_MS;
  readonly routerDeadMs = ROUTER_DEAD_MS;
  protected override readonly knownAtStart: Known;
  readonly #paired: ReadonlyMap<LanName, PairedLan>;
  readonly #failed = new Map<FirstHop, Fault>();
  /** How keepalived is configured; a LAN that is not in here has it as in the beginning. */
  readonly #vrrp = new Map<PairedLan, Vrrp>();

  private constructor(
    layout: SharedLayout,
    readonly pair: RedundantSite,
  ) {
    super(layout, pair.routed);
    this.#paired = PAIRED[layout];
    const routers = pair.pairedRouters.map((role) => this.site.addressOn(role).replace('/24', ''));
    // Without a virtual router nobody has told them of each other: each is a host to the other, and one has the gateway.
    this.knownAtStart = this.#virtual
      ? { routers, hosts: [], alarms: [] }
      : { routers, hosts: routers, alarms: ['other-router'] };
  }

  static override async build(lab: Lab, layout: SharedLayout): Promise<RedundantRealWorld> {
    const virtual = layout !== 'two-on-lan';
    const pair = new RedundantSite(lab, 'frr-ospf', {
      vrrp: virtual ? 'keepalived' : undefined,
      paired: [...PAIRED[layout].values()],
      advertMs: ADVERT_MS,
      preemptDelayS: PREEMPT_DELAY_MS / 1000,
      oneLink: true,
      bfdPackets: BFD_PACKETS,
      orphans: ORPHANS,
      config: { ...CONFIG, router: { settle: `${SETTLE_MS}ms` } },
    });
    const world = new RedundantRealWorld(layout, pair);
    if (virtual) {
      for (const lan of pair.paired) world.#configure(lan);
      for (const role of pair.pairedRouters) await pair.keepalived(role).start();
    }
    await world.open();
    return world;
  }

  get #virtual(): boolean {
    return this.layout !== 'two-on-lan';
  }

  override bound(ms: number): number {
    return ms + SLACK_MS;
  }

  // --- what is seen --------------------------------------------------------------------------------------------------

  async role(router: RouterName, lan: LanName): Promise<RoleView | undefined> {
    mustHave(this.layout, router, lan);
    if (!this.runs(router)) return undefined;
    const { roles } = await this.marpd(router).ctl.status();
    const view = roles.find(({ interface: name }) => name === LAN_PORT);
    if (view === undefined) throw new Error(`marpd of ${router} says nothing of its role on ${LAN_PORT}`);
    return view;
  }

  async active(lan: LanName): Promise<readonly RouterName[]> {
    const gateway = formatIp(LANS[lan].gateway);
    const routers = this.routers.filter((name) => lanOf(this.layout, name) === lan);
    return routers.filter((name) => !this.#isDead(name) && hasGateway(this.node(name), gateway));
  }

  /** The kernel of a router without power still is one here. */
  #isDead(router: RouterName): boolean {
    return this.#failed.has(FIRST_HOP[router]);
  }

  override async claims(router: RouterName): Promise<readonly ClaimView[]> {
    return this.#isDead(router) ? [] : super.claims(router);
  }

  override async announcers(ip: Ip): Promise<readonly RouterName[]> {
    const by = this.site.announcers('r3').get(formatIp(ip)) ?? [];
    return this.routers.filter((name) => by.includes(FIRST_HOP[name]));
  }

  override async neighbour(host: HostName, ip: Ip): Promise<string | undefined> {
    const query = ['neigh', 'show', formatIp(ip), 'dev', 'eth0'];
    const [entry] = this.labHost(host).host.namespace.json<{ lladdr?: string }>(...query);
    return entry?.lladdr === VIRTUAL_MAC ? 'vrrp' : super.neighbour(host, ip);
  }

  override disagreements(): Promise<readonly string[]> {
    return auditPair(this.site, [...this.#failed.keys()]);
  }

  // --- what becomes of routers ---------------------------------------------------------------------------------------

  async fail(router: RouterName, how: 'carrier' | 'silent'): Promise<void> {
    const role = FIRST_HOP[router];
    const fault = how === 'carrier' ? 'power' : 'silent-power';
    this.pair.lanOf(role);
    this.#failed.set(role, fault);
    this.halted.add(router);
    await this.pair.strike(role, fault);
  }

  async boot(router: RouterName): Promise<void> {
    const role = FIRST_HOP[router];
    const fault = this.#failed.get(role);
    if (fault === undefined) throw new Error(`${router} has power`);
    this.#failed.delete(role);
    await this.pair.mend(role, fault, () => this.start(router));
  }

  async prefer(router: RouterName, lan: LanName): Promise<void> {
    mustHave(this.layout, router, lan);
    this.#change(this.#pairedLan(lan), { preferred: FIRST_HOP[router] }, true);
  }

  async adverts(lan: LanName, pass: boolean): Promise<void> {
    this.pair.adverts(this.#pairedLan(lan), pass);
  }

  async track(lan: LanName, what: Tracking): Promise<void> {
    const paired = this.#pairedLan(lan);
    this.#change(paired, { tracked: { ...this.#vrrpOn(paired).tracked, ...what } });
  }

  async tear(lan: LanName, otherHalf: readonly (RouterName | HostName)[]): Promise<void> {
    const isRouter = (name: string): name is RouterName => (this.routers as readonly string[]).includes(name);
    const ports = otherHalf.map((name) =>
      isRouter(name) ? `${FIRST_HOP[name]}-${LAN_PORT}` : this.labHost(name).host.cable.port,
    );
    this.pair.tear(this.#pairedLan(lan), ports);
  }

  // -------------------------------------------------------------------------------------------------------------------

  override async reset(): Promise<void> {
    for (const lan of this.pair.paired) this.pair.tear(lan, []);
    for (const router of this.routers) if (this.#isDead(router)) await this.boot(router);
    await this.reconnect();
    if (this.#virtual) for (const lan of this.pair.paired) await this.#resetVrrp(lan);
    await super.reset();
  }

  async #resetVrrp(lan: PairedLan): Promise<void> {
    this.pair.adverts(lan, true);
    const changed = this.#vrrp.delete(lan);
    if (changed) this.#configure(lan, true);
    await this.pair.untilActive(lan.routers[0], 3 * PREEMPT_DELAY_MS + 10_000);
    if (changed) this.#configure(lan);
  }

  /** @throws for a LAN of one router */
  #pairedLan(lan: LanName): PairedLan {
    const paired = this.#paired.get(lan);
    if (paired === undefined) throw new Error(`there is one router on lan ${lan}`);
    return paired;
  }

  #vrrpOn(lan: PairedLan): Vrrp {
    return this.#vrrp.get(lan) ?? { tracked: TRACKED, preferred: lan.routers[0] };
  }

  #change(lan: PairedLan, change: Partial<Vrrp>, atOnce = false): void {
    this.#vrrp.set(lan, { ...this.#vrrpOn(lan), ...change });
    this.#configure(lan, atOnce);
  }

  /** @param atOnce without the delay of whoever preempts */
  #configure(lan: PairedLan, atOnce = false): void {
    const { tracked, preferred } = this.#vrrpOn(lan);
    for (const role of lan.routers) {
      // The priorities that we ship, the higher one for whoever is preferred.
      const changes: VrrpChanges = {
        priority: role === preferred ? 150 : 100,
        atOnce,
        routing: false,
        ...tracked,
      };
      this.pair.reconfigure(role, changes);
    }
  }
}
