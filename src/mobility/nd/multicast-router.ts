import { parseIp, type Ip } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';

/**
 * A switch that snoops MLD gives the frames of a group to the ports where it has heard members, and to those of
 * multicast routers. Solicitations for a host that comes go to groups that nobody else is a member of, so this router says
 * that it is a multicast router (RFC 4286): the port gets everything from then on. No querier is elected by it.
 */

/** MaxAdvertisementInterval (RFC 4286 section 5.2). Three of them may be lost before a port is forgotten. */
const INTERVAL_SECONDS = 20;

const ANY_IPV6 = parseIp('::') as Ip;

/** When each LAN is told next. */
export class MulticastRouter {
  readonly #at = new Map<IfIndex, number>();

  snapshot() {
    return [...this.#at];
  }

  restore(state: ReturnType<MulticastRouter['snapshot']>): void {
    for (const [iface, at] of state) this.#at.set(iface, at);
  }

  nextDeadline(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#at.values());
  }

  has(iface: IfIndex): boolean {
    return this.#at.has(iface);
  }

  schedule(iface: IfIndex, at: number | undefined): void {
    if (at === undefined) this.#at.delete(iface);
    else this.#at.set(iface, at);
  }

  *due(now: number): Generator<IfIndex> {
    for (const [iface, at] of [...this.#at]) if (at <= now) yield iface;
  }
}

/**
 * An interface has changed, or its rule: a switch that is new there knows nothing of us. It is told as soon as there is an
 * address to tell it from, which may be some time after the link is up.
 */
export function reviewMulticastRouter(ctx: TrackerContext, iface: IfIndex): void {
  const { multicastRouter, topology, now } = ctx;
  const maySpeak = topology.isUsable(iface, ANY_IPV6) && topology.linkLocalsOn(iface).length > 0;
  const isWanted = topology.rule(iface)?.multicastRouter === true && maySpeak;
  if (!isWanted) multicastRouter.schedule(iface, undefined);
  else if (!multicastRouter.has(iface)) multicastRouter.schedule(iface, now);
}

export function runMulticastRouter(ctx: TrackerContext): void {
  const { multicastRouter, topology, now } = ctx;
  for (const iface of multicastRouter.due(now)) {
    multicastRouter.schedule(iface, now + INTERVAL_SECONDS * 1000);
    const own = topology.link(iface)?.mac;
    const [linkLocal] = topology.linkLocalsOn(iface);
    const driver = ctx.families.of(ANY_IPV6);
    if (own === undefined || linkLocal === undefined || driver?.declareMulticastRouter === undefined)
      continue;
    const bytes = driver.declareMulticastRouter(own, linkLocal, INTERVAL_SECONDS);
    ctx.emit({ kind: 'send', iface, bytes, purpose: 'advertise' });
  }
}
