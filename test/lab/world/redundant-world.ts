import type { Lab } from '../kit/namespace.js';
import { type Fault, PAIR, RedundantSite, type Twin, type VrrpChanges } from '../routed/redundant-site.js';
import { hasGateway, untilActive, VIRTUAL_MAC } from '../routed/virtual-router.js';
import { formatIp, type Ip } from '../../../src/wire/addresses.js';
import { auditPair } from './audit.js';
import { FIRST_HOP, LAN_PORT, mustHave, ORPHANS } from './names.js';
import { CONFIG, RealWorld } from './real-world.js';
import type { Known } from './reset.js';
import type {
  ClaimView,
  HostName,
  LanName,
  RedundantWorld,
  RoleView,
  RouterName,
  Tracking,
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

/** The real world with two routers on lan a, and keepalived on both, if the layout has a virtual router. */
export class RedundantRealWorld extends RealWorld implements RedundantWorld {
  override readonly settleMs = SETTLE_MS;
  readonly advertMs = ADVERT_MS;
  readonly activeDownMs = ACTIVE_DOWN_MS;
  readonly preemptDelayMs = PREEMPT_DELAY_MS;
  readonly routerDeadMs = ROUTER_DEAD_MS;
  protected override readonly knownAtStart: Known;
  readonly #failed = new Map<Twin, Fault>();
  #tracked = TRACKED;
  #preferred: Twin = 'r1';

  private constructor(
    layout: 'redundant' | 'two-on-lan',
    readonly pair: RedundantSite,
  ) {
    super(layout, pair.routed);
    const routers = PAIR.map((role) => this.site.addressOn(role).replace('/24', ''));
    // Without a virtual router nobody has told them of each other: each is a host to the other, and one has the gateway.
    this.knownAtStart = this.#virtual
      ? { routers, hosts: [], alarms: [] }
      : { routers, hosts: routers, alarms: ['other-router'] };
  }

  static override async build(lab: Lab, layout: 'redundant' | 'two-on-lan'): Promise<RedundantRealWorld> {
    const pair = new RedundantSite(lab, 'frr-ospf', {
      vrrp: layout === 'redundant' ? 'keepalived' : undefined,
      advertMs: ADVERT_MS,
      preemptDelayS: PREEMPT_DELAY_MS / 1000,
      oneLink: true,
      bfdPackets: BFD_PACKETS,
      orphans: ORPHANS,
      config: { ...CONFIG, router: { settle: `${SETTLE_MS}ms` } },
    });
    const world = new RedundantRealWorld(layout, pair);
    world.#configure();
    if (layout === 'redundant') for (const role of PAIR) await pair.keepalived(role).start();
    await world.open();
    return world;
  }

  get #virtual(): boolean {
    return this.layout === 'redundant';
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
    const routers = this.routers.filter((name) => this.#has(name, lan));
    return routers.filter((name) => !this.#isDead(name) && hasGateway(this.node(name)));
  }

  /** The kernel of a router without power still is one here. */
  #isDead(router: RouterName): boolean {
    return (router === 'r1' || router === 'r2') && this.#failed.has(router);
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
    const twin = twinOf(router);
    const fault = how === 'carrier' ? 'power' : 'silent-power';
    this.#failed.set(twin, fault);
    this.halted.add(router);
    await this.pair.strike(twin, fault);
  }

  async boot(router: RouterName): Promise<void> {
    const twin = twinOf(router);
    const fault = this.#failed.get(twin);
    if (fault === undefined) throw new Error(`${router} has power`);
    this.#failed.delete(twin);
    await this.pair.mend(twin, fault, () => this.start(router));
  }

  async prefer(router: RouterName, lan: LanName): Promise<void> {
    mustHave(this.layout, router, lan);
    this.#preferred = twinOf(router);
    this.#configure(true);
  }

  async adverts(lan: LanName, pass: boolean): Promise<void> {
    mustHave(this.layout, 'r1', lan);
    this.pair.adverts(pass);
  }

  async track(lan: LanName, what: Tracking): Promise<void> {
    mustHave(this.layout, 'r1', lan);
    this.#tracked = { ...this.#tracked, ...what };
    this.#configure();
  }

  async tear(lan: LanName, otherHalf: readonly (RouterName | HostName)[]): Promise<void> {
    mustHave(this.layout, 'r1', lan);
    const isRouter = (name: string): name is RouterName => (this.routers as readonly string[]).includes(name);
    this.pair.tear(
      otherHalf.map((name) =>
        isRouter(name) ? `${FIRST_HOP[name]}-${LAN_PORT}` : this.labHost(name).host.cable.port,
      ),
    );
  }

  // -------------------------------------------------------------------------------------------------------------------

  override async reset(): Promise<void> {
    this.pair.tear([]);
    for (const router of this.#failed.keys()) await this.boot(router);
    await this.reconnect();
    if (this.#virtual) {
      this.pair.adverts(true);
      const asBefore = this.#tracked === TRACKED && this.#preferred === 'r1';
      this.#tracked = TRACKED;
      this.#preferred = 'r1';
      if (!asBefore) this.#configure(true);
      await untilActive(this.node('r1'), this.node('r2'), 3 * PREEMPT_DELAY_MS + 10_000);
      if (!asBefore) this.#configure();
    }
    await super.reset();
  }

  #has(router: RouterName, lan: LanName): boolean {
    return (lan === 'a') === (router !== 'r3');
  }

  /** @param atOnce without the delay of whoever preempts */
  #configure(atOnce = false): void {
    if (!this.#virtual) return;
    for (const role of PAIR) {
      // The priorities that we ship, the higher one for whoever is preferred.
      const changes: VrrpChanges = {
        priority: role === this.#preferred ? 150 : 100,
        atOnce,
        routing: false,
        ...this.#tracked,
      };
      this.pair.reconfigure(role, changes);
    }
  }
}

function twinOf(router: RouterName): Twin {
  if (router !== 'r1' && router !== 'r2') throw new Error(`${router} is alone on its LAN`);
  return router;
}
