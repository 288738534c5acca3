import { type Ip, hostLength, isIpv4, isUnspecified, isOfOneLink } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import type { Host } from '../host/host.js';
import { subnetOf } from '../policy.js';

/** `ask first`: whether somebody on that LAN has the target; if nobody has, it is answered. */
export type Answer = 'answer' | 'ask first' | 'silence';

/** Who asks for what, and where. */
interface Question {
  readonly ctx: TrackerContext;
  readonly iface: IfIndex;
  readonly asker: Ip;
  readonly target: Ip;
  readonly isAstray: boolean;
  readonly host: Host | undefined;
}

export interface AnsweringRow {
  readonly target: string;
  readonly known: string;
  readonly asker: string;
  readonly answer: Answer;
  /** The question is kept for a second: a claim that answers it may be on its way. */
  readonly isKept?: true;
  applies(question: Question): boolean;
}

/** A host at home says nothing by itself. What it said so long ago counts as knowledge. */
const RECENTLY_MS = 60_000;

const always = () => true;

/**
 * The answering rule: the first row that applies decides. docs/design.md 3.2 shows it, a test compares them.
 *
 * An answer says "send it to me", so it is given only where that is true and where nobody else will say it: not for a
 * probe or an announcement (a conflict, RFC 5227 section 2.1.1), not for a target that is on that LAN itself, and not
 * where the kernel answers. Knowledge answers at once, ignorance asks first. Who may roam is not asked.
 */
export const ANSWERING_RULE: readonly AnsweringRow[] = [
  {
    target: 'any',
    known: '',
    asker: 'sender 0.0.0.0 (RFC 5227 probe)',
    answer: 'silence',
    applies: ({ asker }) => isUnspecified(asker),
  },
  {
    target: 'the sender itself (announcement)',
    known: '',
    asker: 'anybody',
    answer: 'silence',
    applies: ({ asker, target }) => asker === target,
  },
  {
    target: 'any',
    known: '',
    asker: 'an address that no host can have, or one of ours',
    answer: 'silence',
    applies: isNobody,
  },
  {
    target: 'any but a configured gateway',
    known: '',
    asker: 'a MAC at which we hold no host, from its IPv6 link-local address',
    answer: 'silence',
    applies: ({ ctx, asker, target }) => isOfOneLink(asker) && !ctx.topology.isGateway(target),
  },
  {
    target: 'the gateway of this LAN',
    known: 'another first-hop router of this LAN has it (`role = "gateway"`)',
    asker: 'anybody',
    answer: 'silence',
    isKept: true,
    applies: ({ ctx, iface, asker, target }) =>
      !ctx.topology.roles.speaks(iface, asker) &&
      ctx.topology.rule(iface)?.role === 'gateway' &&
      ctx.topology.subnets.isGatewayOn(iface, target),
  },
  {
    target: 'any',
    known: 'another first-hop router of this LAN is the active one, and we do not announce who asks',
    asker: 'anybody',
    answer: 'silence',
    isKept: true,
    applies: ({ ctx, iface, asker }) => !ctx.topology.roles.speaks(iface, asker) && !isAnnounced(ctx, asker),
  },
  {
    target: 'any',
    known: 'another machine has the gateway of this LAN, and we do not announce the visitor',
    asker: 'a visitor',
    answer: 'silence',
    isKept: true,
    applies: ({ ctx, iface, asker }) =>
      ctx.topology.roles.defers(iface, asker) &&
      !ctx.topology.subnets.isHome(iface, asker) &&
      !isAnnounced(ctx, asker),
  },
  {
    target: 'a configured gateway',
    known: 'another router on this LAN answers for it, and it is no address of ours there',
    asker: 'anybody',
    answer: 'silence',
    applies: ({ ctx, iface, target }) =>
      ctx.isLeftToOther(iface, target) && !ctx.topology.isLocalOn(target, iface),
  },
  {
    target: 'our address on this interface',
    known: 'it was asked for at a MAC that is not ours (IPv6)',
    asker: 'anybody',
    answer: 'answer',
    applies: (question) => isOursHere(question) && question.isAstray,
  },
  {
    target: 'our address on this interface',
    known: 'the kernel will answer',
    asker: 'a host at home here, or a visitor that passes `rp_filter`',
    answer: 'silence',
    applies: (question) => isOursHere(question) && (isAtHome(question) || passesReversePath(question)),
  },
  {
    target: 'our address on this interface',
    known: 'the kernel will not answer',
    asker: 'a visitor that `rp_filter` rejects',
    answer: 'answer',
    applies: isOursHere,
  },
  {
    target: 'an address that no router may speak for',
    known: 'no configured gateway',
    asker: 'anybody',
    answer: 'silence',
    applies: ({ ctx, target }) =>
      ctx.topology.subnets.isNeverAnswered(target) && !ctx.topology.isGateway(target),
  },
  {
    target: 'our address on another interface',
    known: '',
    asker: 'anybody',
    answer: 'answer',
    applies: ({ ctx, target }) => ctx.topology.isLocal(target),
  },
  {
    target: 'the configured gateway of another subnet',
    known: '',
    asker: 'a host at home here, which has another gateway',
    answer: 'silence',
    applies: (question) => isAtHome(question) && hasOtherGateway(question),
  },
  {
    target: 'a configured gateway',
    known: '',
    asker: 'anybody',
    answer: 'answer',
    applies: ({ ctx, target }) => ctx.topology.isGateway(target),
  },
  {
    target: 'a host',
    known: 'we hold it on this interface',
    asker: 'anybody',
    answer: 'silence',
    applies: ({ host, iface }) => host?.held === true && host.attachment?.iface === iface,
  },
  {
    target: 'an address of a subnet of this interface',
    known: 'claimed on another interface, or away',
    asker: 'anybody',
    answer: 'answer',
    applies: (question) => isOfThisLan(question) && isElsewhere(question),
  },
  {
    target: 'an address of a subnet of this interface',
    known: 'another router claims it, and it is not being asked here',
    asker: 'anybody',
    answer: 'answer',
    applies: (question) =>
      isOfThisLan(question) && isClaimedElsewhere(question) && question.host?.state !== 'proving',
  },
  {
    target: 'an address of a subnet of this interface',
    known: 'anything else',
    asker: 'anybody',
    answer: 'silence',
    isKept: true,
    applies: isOfThisLan,
  },
  {
    target: 'any other address',
    known: '',
    asker: 'a host at home here',
    answer: 'silence',
    applies: isAtHome,
  },
  {
    target: 'any other address',
    known: 'claimed on another interface, or away',
    asker: 'a visitor',
    answer: 'answer',
    applies: isElsewhere,
  },
  {
    target: 'any other address',
    known: 'at home on another interface, and heard there within a minute',
    asker: 'a visitor',
    answer: 'answer',
    applies: ({ ctx, host }) => host?.state === 'home' && ctx.now - host.lastHeard < RECENTLY_MS,
  },
  {
    target: 'any other address',
    known: 'no unicast route leads to it by another interface',
    asker: 'a visitor',
    answer: 'silence',
    applies: (question) => !isRoutedElsewhere(question),
  },
  {
    target: 'any other address',
    known: 'a host route leads to it: another router claims it, or somebody set it',
    asker: 'a visitor',
    answer: 'answer',
    applies: ({ ctx, target }) => ctx.fib.bestRoute(target)?.prefix.length === hostLength(target),
  },
  {
    target: 'any other address',
    known: 'this LAN was asked within a minute, and nobody has it',
    asker: 'a visitor',
    answer: 'answer',
    applies: ({ ctx, iface, target }) => ctx.lanQueries.stateOf(iface, target) === 'free',
  },
  {
    target: 'any other address',
    known: 'this LAN was asked within a minute, and somebody has it',
    asker: 'a visitor',
    answer: 'silence',
    applies: ({ ctx, iface, target }) => ctx.lanQueries.stateOf(iface, target) === 'taken',
  },
  {
    target: 'any other address',
    known: 'anything else',
    asker: 'a visitor',
    answer: 'ask first',
    applies: always,
  },
];

/** The row of the rule that decides about a request of `asker` for `target`, heard on this interface. */
export function answeringRow(
  ctx: TrackerContext,
  iface: IfIndex,
  asker: Ip,
  target: Ip,
  isAstray = false,
): AnsweringRow {
  const question = { ctx, iface, asker, target, isAstray, host: ctx.table.get(target) };
  const row = ANSWERING_RULE.find(({ applies }) => applies(question));
  if (row === undefined) throw new Error('the last row of the answering rule always applies');
  return row;
}

/** No host's address. That of one link may be one that a host asks from. */
function isNobody({ ctx: { topology }, iface, asker }: Question): boolean {
  if (isOfOneLink(asker)) return topology.isLocalOn(asker, iface) || topology.isGateway(asker);
  return topology.subnets.isNeverAnswered(asker) || topology.isLocal(asker);
}

function isOursHere({ ctx, iface, target }: Question): boolean {
  return ctx.topology.isLocalOn(target, iface);
}

function isAtHome({ ctx, iface, asker }: Question): boolean {
  return ctx.topology.subnets.isHome(iface, asker);
}

function isAnnounced(ctx: TrackerContext, ip: Ip): boolean {
  const state = ctx.table.get(ip)?.state;
  return state === 'fresh' || state === 'settled';
}

/** No host asks so, but a second router on this LAN that wants to know whether we are one (other-routers.ts). */
function hasOtherGateway({ ctx, asker, target }: Question): boolean {
  const gateways = subnetOf(ctx.policy, asker)?.gateways ?? [];
  return ctx.topology.isGateway(target) && gateways.length > 0 && !gateways.includes(target);
}

function isOfThisLan({ ctx, iface, target }: Question): boolean {
  return ctx.topology.subnets.isHome(iface, target);
}

function isElsewhere({ host }: Question): boolean {
  return host !== undefined && (host.claimed || host.state === 'away');
}

/** Another router, and not one on this LAN, says that it has the host. */
function isClaimedElsewhere({ ctx, iface, target }: Question): boolean {
  const remote = ctx.fib.remote(target);
  return remote !== undefined && !isOnLan(ctx, remote.route.iface, iface);
}

function isRoutedElsewhere({ ctx, iface, target }: Question): boolean {
  const route = ctx.fib.bestRoute(target);
  return route !== undefined && route.type === 'unicast' && !isOnLan(ctx, route.iface, iface);
}

/** Whether the kernel itself answers a visitor on this interface: `rp_filter` applies to ARP as well. IPv6 has none. */
function passesReversePath({ ctx, iface, asker, target }: Question): boolean {
  if (!isIpv4(target)) return true;
  // Our address may be that of a macvlan, which has a filter of its own; claims lead to the mobility interface.
  const holder = ctx.topology.holderOn(target, iface);
  const mode = holder?.rpFilter ?? 0;
  if (mode === 0) return true;
  const host = ctx.table.get(asker);
  if (host?.claimed === true && host.state !== 'beneath')
    return mode === 2 || host.attachment?.iface === holder?.index;
  const route = ctx.fib.bestRoute(asker);
  return route !== undefined && (mode === 2 || route.iface === holder?.index);
}

function isOnLan(ctx: TrackerContext, iface: IfIndex | undefined, lan: IfIndex): boolean {
  return iface !== undefined && ctx.topology.lanOf(iface) === lan;
}
