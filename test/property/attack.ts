import type { Mac } from '../../src/wire/addresses.js';
import { SimWorld } from '../scenario/sim/sim-world.js';
import { routeOf } from '../scenario/scenario.js';
import { FIXTURES, type HostName, type LanName, type NodeName } from '../scenario/world.js';

/** Somebody who wants the address of a host: one thing that it does. */
export interface Attack {
  readonly lan: LanName;
  readonly mac: 'own' | 'invented' | 'clone';
  readonly announce: 'gratuitous-request' | 'gratuitous-reply' | 'request';
  readonly answers: boolean;
  readonly delayMs: number;
  /** Who spoke before on that LAN answers no more. */
  readonly replaces: boolean;
  readonly restMs: number;
}

/** How long the owner of an address was not the one who is reached by it, in ms. */
export interface Outage {
  readonly longestMs: number;
  readonly worstMinuteMs: number;
}

const OWN = { a: 0x02_ee_00_00_00_0a, b: 0x02_ee_00_00_00_0b, c: 0x02_ee_00_00_00_0c } as Record<
  LanName,
  Mac
>;
const INVENTED = 0x02_66_00_00_00_00;
const SAMPLE_MS = 5;

/** A site of two routers with a host that attackers on other LANs want. */
export class Siege {
  readonly world: SimWorld;
  private readonly attackers = new Map<LanName, HostName>();
  private invented = 0;
  private readonly lost: number[] = [];
  private outage = 0;
  private longest = 0;
  private watched: { readonly lan: LanName; readonly until: number } | undefined;

  constructor(
    readonly owner: 'h' | 'v',
    answerMs: number,
    seed: number,
  ) {
    this.world = new SimWorld('mixed', { seed });
    this.world.host(owner).answerDelayMs = [answerMs, answerMs];
  }

  async settle(): Promise<void> {
    await this.world.plug(this.owner, 'a');
    await this.world.advance(4000);
  }

  /** Where core and routers send what is for the host: its LAN, when that is the place of this MAC. */
  async isServed(lan: LanName): Promise<boolean> {
    const router: NodeName = lan === 'c' ? 'r2' : 'r1';
    const { world, owner } = this;
    for (const ip of world.addresses(owner)) {
      const claim = world.router(router as 'r1' | 'r2').desired.get(ip);
      if (claim !== undefined && claim.mac !== FIXTURES[owner].mac) return false;
    }
    return (
      (await routeOf(world, 'core', owner)) === `via ${router}` &&
      (await routeOf(world, router, owner)) === `lan ${lan}`
    );
  }

  /** Counts outages of the host on this LAN from now on. */
  watch(lan: LanName, forMs: number): void {
    this.watched = { lan, until: this.world.now() + forMs };
    void this.sample();
  }

  private async sample(): Promise<void> {
    if (this.watched === undefined || this.world.now() > this.watched.until) return;
    if (await this.isServed(this.watched.lan)) this.outage = 0;
    else {
      this.lost.push(this.world.now());
      this.outage += SAMPLE_MS;
      this.longest = Math.max(this.longest, this.outage);
    }
  }

  /** Lets time go on, sample by sample. */
  async advance(ms: number): Promise<void> {
    const end = this.world.now() + ms;
    while (this.world.now() < end) {
      await this.world.advance(Math.min(SAMPLE_MS, end - this.world.now()));
      await this.sample();
    }
  }

  async attack({ lan, mac, announce, answers, delayMs, replaces }: Attack): Promise<void> {
    const before = this.attackers.get(lan);
    if (before !== undefined && replaces) await this.world.unplug(before);
    const macs = { own: OWN[lan], clone: FIXTURES[this.owner].mac, invented: INVENTED + ++this.invented };
    const of = this.owner;
    const name = await this.world.forge(lan, { of, announce, answers, mac: macs[mac] as Mac });
    this.world.host(name).answerDelayMs = [delayMs, delayMs];
    this.attackers.set(lan, name);
  }

  get result(): Outage {
    let worst = 0;
    let first = 0;
    for (let last = 0; last < this.lost.length; last++) {
      while ((this.lost[last] as number) - (this.lost[first] as number) > 60_000) first++;
      worst = Math.max(worst, last - first + 1);
    }
    return { longestMs: this.longest, worstMinuteMs: worst * SAMPLE_MS };
  }
}
