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
 * again in good time. The prefix of the LAN it is on is deprecated in it, so that new connections use the home address.
 */

/** A third of the lifetime of the default route, and less than half of the preferred lifetime (nd/driver.ts). */
const AGAIN_MS = 1_800_000;
/** A host that solicits again and again is answered this often. */
const LEAST_MS = 1000;
/** A LAN that comes back brings thousands. */
const MOST_AT_ONCE = 256;

/** Of visitors that have been there for long, one is told in so many ms. */
const LATE_GAP_MS = 2;

/** A machine on a LAN, and one home prefix of it. */
interface Visitor extends Due {
  readonly place: Attachment;
  readonly prefix: Prefix;
  /** Its addresses in the prefix. */
  ips: Set<Ip>;
  sentAt: number;
}

/** What an entry of the heap stands for whose visitor has left: it is never due. */
const GONE: Visitor = {
  place: { iface: 0, mac: MAC_ZERO },
  prefix: parsePrefix('::/0') as Prefix,
  ips: new Set(),
  sentAt: Number.NEGATIVE_INFINITY,
  due: Number.POSITIVE_INFINITY,
};

export class HomePrefixes {
  readonly #deadlines = new Deadlines<Visitor>();
  readonly #visitors = new Map<string, Map<string, Visitor>>();

  snapshot() {
    const indices = new Map([...this.#all()].map((visitor, index) => [visitor, index]));
    return {
      visitors: [...indices.keys()].map(({ place, prefix, ips, sentAt, due }) => ({
        place,
        prefix,
        ips,
        sentAt,
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
    return visitor;
  }

  at(iface: IfIndex, mac: Mac): Iterable<Visitor> {
    return this.#visitors.get(keyOf(iface, mac))?.values() ?? [];
  }

  remove({ place, prefix }: Visitor): void {
    const key = keyOf(place.iface, place.mac);
    const machine = this.#visitors.get(key);
    machine?.delete(formatPrefix(prefix));
    if (machine?.size === 0) this.#visitors.delete(key);
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
  ctx.homePrefixes.schedule(visitor, ctx.now + Math.min(AGAIN_MS, ctx.homePrefixes.size * LATE_GAP_MS));
}

/** The configuration has changed. */
export function reviewHomePrefixes(ctx: TrackerContext): void {
  if (!ctx.policy.subnets.some(({ advertise }) => advertise === true)) return;
  for (const host of ctx.table.all()) noteVisitor(ctx, host);
}

/** undefined: it is at home, or its subnet is not advertised. */
function visitorOf(ctx: TrackerContext, { iface, mac }: Attachment, ip: Ip): Visitor | undefined {
  const subnet = subnetOf(ctx.policy, ip);
  if (subnet?.advertise !== true || ctx.topology.isHome(iface, ip)) return undefined;
  const visitor = ctx.homePrefixes.of({ iface, mac }, subnet.prefix);
  visitor.ips.add(ip);
  return visitor;
}

/** A router solicitation of this machine. */
export function answerSolicitation(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  for (const visitor of ctx.homePrefixes.at(iface, mac)) sendSoon(ctx, visitor);
}

function sendSoon(ctx: TrackerContext, visitor: Visitor): void {
  ctx.homePrefixes.schedule(visitor, Math.max(ctx.now, visitor.sentAt + LEAST_MS));
}

export function runHomePrefixes(ctx: TrackerContext): void {
  for (let left = MOST_AT_ONCE; left > 0; left--) {
    const visitor = ctx.homePrefixes.takeDue(ctx.now);
    if (visitor === undefined) return;
    const { iface, mac } = visitor.place;
    for (const ip of visitor.ips)
      if (ctx.table.get(ip)?.isHeldAt(iface, mac) !== true) visitor.ips.delete(ip);
    const [ip] = visitor.ips;
    const isAdvertised = subnetOf(ctx.policy, visitor.prefix.ip)?.advertise === true;
    if (ip === undefined || !isAdvertised) {
      ctx.homePrefixes.remove(visitor);
      continue;
    }
    advertise(ctx, visitor, ip);
    visitor.sentAt = ctx.now;
    ctx.homePrefixes.schedule(visitor, ctx.now + AGAIN_MS);
  }
}

/** In the name of the gateway that its hosts know, if that is a link-local one (RFC 4861 section 4.2: another has no say). */
function advertise(ctx: TrackerContext, { place, prefix }: Visitor, ip: Ip): void {
  const { topology } = ctx;
  const { iface, mac } = place;
  if (!topology.speaks(iface, ip) || !topology.isUsable(iface, ip)) return;
  const gateway = subnetOf(ctx.policy, ip)?.gateways.find(
    (one) => isLinkLocal(one) && (topology.isLocalOn(one, iface) || !ctx.isLeftToOther(iface, one)),
  );
  const source = gateway ?? topology.linkLocalsOn(iface)[0];
  const own = source && topology.speakingMac(iface, source);
  const driver = ctx.families.of(ip);
  if (own === undefined || source === undefined || driver?.advertisePrefix === undefined) return;
  const foreign = topology.connectedSubnets
    .filter(
      (subnet) => subnet.iface === iface && !isIpv4(subnet.address.ip) && !isLinkLocal(subnet.address.ip),
    )
    .map(({ address: { ip, length } }) => ({ ip: networkOf(ip, length), length }));
  // Several addresses of the router may be in one prefix.
  const once = [...new Map(foreign.map((one) => [formatPrefix(one), one])).values()];
  const bytes = driver.advertisePrefix(own, source, mac, ip, prefix, once);
  ctx.emit({ kind: 'send', iface, bytes, purpose: 'advertise' });
}
