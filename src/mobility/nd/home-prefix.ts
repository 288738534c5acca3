import {
  type Ip,
  MAC_ZERO,
  type Mac,
  type Prefix,
  formatPrefix,
  isIpv4,
  isLinkLocal,
  networkOf,
  parsePrefix,
} from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import { Deadlines, type Due } from '../deadlines.js';
import type { Action, Attachment, IfIndex } from '../events.js';
import type { Host } from '../host/host.js';
import { subnetOf } from '../policy.js';

/**
 * An autoconfigured host that is away hears advertisements of other prefixes only: its home address is deprecated when the
 * preferred lifetime ends, and gone with the valid one. As a mobile access gateway does (RFC 5213 section 6.7), we send it
 * the advertisement of its home subnet, to itself alone (RFC 8273 section 4): when it arrives, when it solicits one, and
 * again and again. The prefix of the LAN it is on is deprecated in it, so that new connections use the home address.
 *
 * The router's own daemon (radvd, FRR) advertises that prefix to all with its usual lifetimes, which makes it preferred
 * once more (RFC 4862 section 5.5.3 e): for an answer to a solicitation it takes up to 3.5 s, and it does so unasked every
 * few minutes. So the visitor is told a second time after its arrival, and then much more often.
 */

/** Longer than MAX_RA_DELAY_TIME and MIN_DELAY_BETWEEN_RAS together (RFC 4861 section 10). */
const SECOND_MS = 4000;
/** Between two of them. RFC 4861 section 6.2.1 has 200 to 600 s between those of a router. */
const AGAIN_MS = 60_000;
/** A host that solicits again and again is answered this often. */
const LEAST_MS = 1000;
/** A LAN that comes back brings thousands. */
const MOST_AT_ONCE = 256;

/** Of visitors that have been there for long, one is told in so many ms. */
const LATE_GAP_MS = 2;

/** So many that have left, and twice as many as there are claims, may wait to be forgotten until their turn comes. */
const MOST_GONE = 1024;

/** A machine on a LAN, and one home prefix of it. */
interface Visitor extends Due {
  readonly place: Attachment;
  readonly prefix: Prefix;
  /** Its addresses in the prefix. */
  readonly ips: Set<Ip>;
  sentAt: number;
  /** The next one is the first since it arrived or asked. */
  isFirst: boolean;
}

/** What an entry of the heap stands for whose visitor has left: it is never due. */
const GONE: Visitor = {
  place: { iface: 0, mac: MAC_ZERO },
  prefix: parsePrefix('::/0') as Prefix,
  ips: new Set(),
  sentAt: Number.NEGATIVE_INFINITY,
  isFirst: false,
  due: Number.POSITIVE_INFINITY,
};

export class HomePrefixes {
  #deadlines = new Deadlines<Visitor>();
  readonly #visitors = new Map<string, Map<string, Visitor>>();
  #count = 0;

  snapshot() {
    const indices = new Map([...this.#all()].map((visitor, index) => [visitor, index]));
    return {
      visitors: [...indices.keys()].map(({ place, prefix, ips, sentAt, isFirst, due }) => ({
        place,
        prefix,
        ips,
        sentAt,
        isFirst,
        due,
      })),
      deadlines: this.#deadlines.snapshot((visitor) => indices.get(visitor)),
    };
  }

  restore({ visitors, deadlines }: ReturnType<HomePrefixes['snapshot']>): void {
    const restored = visitors.map(({ place, prefix, ...state }) =>
      Object.assign(this.of(place, prefix), state),
    );
    this.#deadlines.restore(deadlines, (index) => restored[index ?? -1] ?? GONE);
  }

  get size(): number {
    return this.#visitors.size;
  }

  nextDeadline(): number {
    return this.#deadlines.next() ?? Number.POSITIVE_INFINITY;
  }

  takeDue(now: number): Visitor | undefined {
    return this.#deadlines.takeDue(now);
  }

  schedule(visitor: Visitor, at: number): void {
    this.#deadlines.schedule(visitor, at);
  }

  of(place: Attachment, prefix: Prefix): Visitor {
    const machine = this.#visitors.get(keyOf(place.iface, place.mac)) ?? new Map<string, Visitor>();
    this.#visitors.set(keyOf(place.iface, place.mac), machine);
    const known = machine.get(formatPrefix(prefix));
    if (known !== undefined) return known;
    const visitor = { ...GONE, place, prefix, ips: new Set<Ip>() };
    machine.set(formatPrefix(prefix), visitor);
    this.#count++;
    return visitor;
  }

  at(iface: IfIndex, mac: Mac): Iterable<Visitor> {
    return this.#visitors.get(keyOf(iface, mac))?.values() ?? [];
  }

  remove({ place, prefix }: Visitor): void {
    const key = keyOf(place.iface, place.mac);
    const machine = this.#visitors.get(key);
    if (machine?.delete(formatPrefix(prefix)) === true) this.#count--;
    if (machine?.size === 0) this.#visitors.delete(key);
  }

  /** Of visitors, those that have left among them. */
  get count(): number {
    return this.#count;
  }

  /** Forgets those of which this is not true. The heap is made anew: it would keep each until its deadline. */
  keep(isThere: (visitor: Visitor) => boolean): void {
    this.#deadlines = new Deadlines();
    for (const visitor of [...this.#all()]) {
      const { due } = visitor;
      visitor.due = Number.POSITIVE_INFINITY;
      if (isThere(visitor)) this.schedule(visitor, due);
      else this.remove(visitor);
    }
  }

  *#all(): Generator<Visitor> {
    for (const machine of this.#visitors.values()) yield* machine.values();
  }
}

const keyOf = (iface: IfIndex, mac: Mac) => `${iface} ${mac}`;

/** Who has arrived, by the claims that were just made. */
export function noteArrivals(ctx: TrackerContext, actions: readonly Action[]): void {
  for (const action of actions) {
    if (action.kind !== 'claim' || action.age !== 'fresh' || isIpv4(action.ip)) continue;
    const visitor = visitorOf(ctx, action, action.ip);
    if (visitor !== undefined) sendSoon(ctx, visitor);
  }
}

/**
 * A visitor that did not arrive just now: its claim is one of an earlier run, or the configuration says only now that it is
 * told. There may be thousands, so it has its turn after those before it.
 */
export function noteVisitor(ctx: TrackerContext, { ip, attachment, claimed }: Host): void {
  if (isIpv4(ip) || attachment === undefined || !claimed) return;
  const visitor = visitorOf(ctx, attachment, ip);
  if (visitor === undefined || visitor.due !== Number.POSITIVE_INFINITY) return;
  ctx.homePrefixes.schedule(visitor, ctx.now + ctx.homePrefixes.size * LATE_GAP_MS);
}

/** The configuration has changed. */
export function reviewHomePrefixes(ctx: TrackerContext): void {
  if (!ctx.policy.subnets.some(({ advertise }) => advertise === true)) return;
  for (const host of ctx.table.all()) noteVisitor(ctx, host);
}

/** undefined: it is at home, or its subnet is not advertised. */
function visitorOf(ctx: TrackerContext, { iface, mac }: Attachment, ip: Ip): Visitor | undefined {
  const subnet = subnetOf(ctx.policy, ip);
  if (subnet?.advertise !== true || ctx.topology.subnets.isHome(iface, ip)) return undefined;
  if (isAtHome(ctx, iface, mac)) return undefined;
  forgetGone(ctx);
  const visitor = ctx.homePrefixes.of({ iface, mac }, subnet.prefix);
  visitor.ips.add(ip);
  return visitor;
}

/**
 * A host that was on another LAN may keep an address of that LAN, by the advertisements of the router there. The first
 * address that is known of a MAC says where it is at home.
 */
function isAtHome({ table, topology }: TrackerContext, iface: IfIndex, mac: Mac): boolean {
  for (const { ip } of table.withMac(mac)) if (!isIpv4(ip)) return topology.subnets.isHome(iface, ip);
  return false;
}

/** Whoever invents hosts has them come and go: each would be remembered until its next advertisement is due. */
function forgetGone(ctx: TrackerContext): void {
  const { fresh, settled, beneath } = ctx.counts;
  if (ctx.homePrefixes.count <= MOST_GONE + 2 * (fresh + settled + beneath)) return;
  ctx.homePrefixes.keep((visitor) => addressOf(ctx, visitor) !== undefined);
}

/** An address that it still has there; undefined: it has left. */
function addressOf(ctx: TrackerContext, { place: { iface, mac }, ips }: Visitor): Ip | undefined {
  for (const ip of ips) if (ctx.table.get(ip)?.isHeldAt(iface, mac) !== true) ips.delete(ip);
  const [ip] = ips;
  return ip;
}

/** A router solicitation of this machine. */
export function answerSolicitation(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  for (const visitor of ctx.homePrefixes.at(iface, mac)) sendSoon(ctx, visitor);
}

function sendSoon(ctx: TrackerContext, visitor: Visitor): void {
  visitor.isFirst = true;
  ctx.homePrefixes.schedule(visitor, Math.max(ctx.now, visitor.sentAt + LEAST_MS));
}

export function runHomePrefixes(ctx: TrackerContext): void {
  for (let left = MOST_AT_ONCE; left > 0; left--) {
    const visitor = ctx.homePrefixes.takeDue(ctx.now);
    if (visitor === undefined) return;
    const ip = addressOf(ctx, visitor);
    const isAdvertised = subnetOf(ctx.policy, visitor.prefix.ip)?.advertise === true;
    if (ip === undefined || !isAdvertised) {
      ctx.homePrefixes.remove(visitor);
      continue;
    }
    advertise(ctx, visitor, ip);
    visitor.sentAt = ctx.now;
    ctx.homePrefixes.schedule(visitor, ctx.now + (visitor.isFirst ? SECOND_MS : againMs(ctx)));
    visitor.isFirst = false;
  }
}

function againMs({ homePrefixes }: TrackerContext): number {
  return Math.max(AGAIN_MS, homePrefixes.size * LATE_GAP_MS);
}

/** In the name of the gateway that its hosts know, if that is a link-local one (RFC 4861 section 4.2: another has no say). */
function advertise(ctx: TrackerContext, { place, prefix }: Visitor, ip: Ip): void {
  const { topology } = ctx;
  const { iface, mac } = place;
  if (!topology.roles.speaks(iface, ip) || !topology.isUsable(iface, ip)) return;
  const gateway = subnetOf(ctx.policy, ip)?.gateways.find(
    (one) => isLinkLocal(one) && (topology.isLocalOn(one, iface) || !ctx.isLeftToOther(iface, one)),
  );
  const source = gateway ?? topology.linkLocalsOn(iface)[0];
  const own = source && topology.speakingMac(iface, source);
  const driver = ctx.families.of(ip);
  if (own === undefined || source === undefined || driver?.advertisePrefix === undefined) return;
  const foreign = topology.subnets.connected
    .filter(
      (subnet) => subnet.iface === iface && !isIpv4(subnet.address.ip) && !isLinkLocal(subnet.address.ip),
    )
    .map(({ address: { ip, length } }) => ({ ip: networkOf(ip, length), length }));
  // Several addresses of the router may be in one prefix.
  const once = [...new Map(foreign.map((one) => [formatPrefix(one), one])).values()];
  const bytes = driver.advertisePrefix(own, source, mac, ip, prefix, once);
  ctx.emit({ kind: 'send', iface, bytes, purpose: 'advertise' });
}
