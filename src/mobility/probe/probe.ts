import type { AnsweredTo } from '../neighbour/message.js';
import { type Ip, MAC_BROADCAST, type Mac, unspecifiedOf } from '../../wire/addresses.js';
import { MOST_WAIT_MS } from '../admission/constants.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex } from '../events.js';
import type { Host } from '../host/host.js';
import { lastSignOf } from '../host/siblings.js';
import { gatewaysToRepair, probeSource, sendOwnerProbe, sendProbe } from '../neighbour/send.js';

export type ProbePurpose =
  /** Is the host at the candidate attachment? */
  | 'prove'
  /** Is it still at the old place, while a candidate claims the address, or has it since? */
  | 'old-place'
  /** Is it still here although another router claims it? */
  | 'remote-claim'
  /** Is it, now that no claim of another router hides ours? */
  | 'took-over'
  /** Is it still here? */
  | 'keepalive'
  /** Is it, although it was lost, where it was last? */
  | 'ask-again'
  /** As a keepalive, five times a second, while our fresh claim overlaps somebody else's. */
  | 'overlap';

/**
 * A reachability probe: the same question sent a few times, and a time-out. Its answer belongs to it alone. When it is
 * closed, a late answer counts only as far as late-answers.ts keeps the probe; otherwise it is an ordinary sighting that
 * needs a proof of its own, so it cannot undo a newer move.
 */
export interface Probe {
  readonly purpose: ProbePurpose;
  /** Where it is asked; with MAC_BROADCAST, when the MAC is not known, any may answer. */
  readonly attachment: Attachment;
  /** The address it is asked from. */
  readonly sourceIp: Ip;
  /** The first try is asked from this one. */
  readonly firstSourceIp: Ip;
  /** Offsets of the tries from the first one, ms. */
  readonly tries: readonly number[];
  /** From the first try to the time-out, ms. */
  readonly timeoutMs: number;
  /** Asked a second time, because the first answer may have been one to an older probe. */
  readonly isConfirmation: boolean;
  /** Its answer may be that of a router with proxy ARP or a proxy of Neighbor Discovery, so its owner is asked once more. */
  readonly isUnverified: boolean;
  /** Asked so that the owner of the address answers, and who speaks for others does not, or differently. */
  readonly asksOwner: boolean;
  readonly sent: number;
  readonly firstSentAt: number;
  /** Next try or, when all are sent, the time-out. */
  readonly nextAt: number;
}

/** Only this file changes a probe. */
type OpenProbe = { -readonly [K in keyof Probe]: Probe[K] };

/** Offsets of the tries and the time-out, ms (design.md 3.2). */
export interface ProbeSchedule {
  readonly tries: readonly number[];
  readonly timeoutMs: number;
}

/** QEMU announces a guest five times in 800 ms. The MAC is asked once a second for what RARP says, so for as long. */
export const PRESENCE_SCHEDULE: ProbeSchedule = { tries: [0, 50, 150, 450, 800], timeoutMs: 1000 };
/** The old place may object for so long, a slow host for longer. */
const OBJECTION_MS = 1000;

/** A claim of a promotion that is wrong is gone before the router that is right gives way (RETRY_FRESH_MS). */
const TOOK_OVER_MS = 100;

const PROBE_SCHEDULES: Readonly<Partial<Record<ProbePurpose, ProbeSchedule>>> = {
  prove: { tries: [0, 50, 150], timeoutMs: 500 },
  'old-place': { tries: [0, 50, 150, 400, 900], timeoutMs: OBJECTION_MS },
  'ask-again': { tries: [0, 250], timeoutMs: 750 },
  keepalive: { tries: [0, 250, 500], timeoutMs: 750 },
  overlap: { tries: [0, 200, 400], timeoutMs: 600 },
};

/** A slow host has twice the time that it was last seen to take. */
const PATIENCE = 2;
/** So long after a host was last heard on a LAN a router there may tell of its departure. */
const DEPARTURE_MS = 30_000;
/** A probe is renewed no more after as many tries. */
const MOST_TRIES = 16;
/** Nobody waits longer than this for one answer, however long `hold` is. */
const MOST_PATIENCE_MS = 30_000;

/** When the tries are sent and when the probe times out. */
function scheduleOf(
  ctx: TrackerContext,
  host: Host,
  purpose: ProbePurpose,
  iface: IfIndex,
  schedule = PROBE_SCHEDULES[purpose],
): ProbeSchedule {
  if (schedule === undefined) {
    const timeoutMs = Math.max(purpose === 'took-over' ? TOOK_OVER_MS : 0, oldPlaceTimeoutMs(host));
    return { tries: [0, timeoutMs / 3, (2 * timeoutMs) / 3], timeoutMs };
  }
  const rule = ctx.topology.rule(iface);
  const least = purpose === 'keepalive' ? (rule?.keepaliveTimeoutMs ?? 0) : schedule.timeoutMs;
  const most = Math.min(rule?.holdMs || MOST_PATIENCE_MS, MOST_PATIENCE_MS);
  const timeoutMs = Math.max(least, Math.min(most, PATIENCE * (host.slowestMs ?? 0)));
  const tries = schedule.tries.filter((offset) => offset < timeoutMs);
  return tries.length === schedule.tries.length ? { tries: schedule.tries, timeoutMs } : { tries, timeoutMs };
}

/**
 * After this silence a host is taken to have left: SRTT + max(20, 4 x RTTVAR) ms (RFC 6298 section 2, with a granularity
 * of 20 ms), at most 150 ms, 50 ms if nothing was measured, and longer for a slow host. Its old place is asked for longer
 * than that, and may still object (design.md 3.3).
 */
export function oldPlaceTimeoutMs({ rttMs, rttVariationMs, slowestMs }: Host): number {
  const usual = rttMs === undefined ? 50 : Math.min(150, rttMs + Math.max(20, 4 * rttVariationMs));
  return Math.max(usual, Math.min(OBJECTION_MS, PATIENCE * (slowestMs ?? 0)));
}

/** When an open probe times out, if its tries go out in time. */
export function endOf({ sent, firstSentAt, nextAt, timeoutMs }: Probe): number {
  return (sent > 0 ? firstSentAt : nextAt) + timeoutMs;
}

/** It was answered, and what follows is decided then. */
export function postpone(open: Probe, until: number): void {
  const probe: OpenProbe = open;
  probe.sent = probe.tries.length;
  probe.nextAt = until;
}

/**
 * Probes whether the host is at `attachment`. Undefined when it cannot be asked (see probeSource), or not now because
 * so many others are. The first try goes out after `delayMs`, or when the budget allows; the time-out counts from then.
 */
export function startProbe(
  ctx: TrackerContext,
  host: Host,
  purpose: ProbePurpose,
  attachment: Attachment,
  {
    delayMs = 0,
    isConfirmation = false,
    firstSourceIp,
    schedule,
    asksOwner = false,
  }: {
    readonly delayMs?: number;
    readonly isConfirmation?: boolean;
    readonly firstSourceIp?: Ip | undefined;
    readonly schedule?: ProbeSchedule | undefined;
    readonly asksOwner?: boolean;
  } = {},
): Probe | undefined {
  const named = probeSource(ctx, attachment.iface, host.ip);
  if (named === undefined) return undefined;
  const sourceIp = asksOwner ? ownerSource(ctx, host.ip, named) : named;
  const firstAt = firstTryAt(ctx, purpose, attachment.iface);
  if (firstAt === undefined) return undefined;
  const { tries, timeoutMs } = scheduleOf(ctx, host, purpose, attachment.iface, schedule);
  const probe: OpenProbe = {
    purpose,
    attachment,
    sourceIp,
    firstSourceIp: firstSourceIp ?? sourceIp,
    tries,
    timeoutMs,
    isConfirmation,
    isUnverified: !asksOwner && !isConfirmation && mayBeRouters(ctx, host, purpose, attachment),
    asksOwner,
    sent: 0,
    firstSentAt: 0,
    nextAt: firstAt + delayMs,
  };
  if (probe.nextAt <= ctx.now) sendTry(ctx, host.ip, probe);
  return probe;
}

/** In whose name the owner is asked; a protocol without a question to the owner has the one that comes from nobody. */
function ownerSource({ families }: TrackerContext, ip: Ip, named: Ip): Ip {
  return families.of(ip)?.askOwner === undefined ? unspecifiedOf(ip) : named;
}

/**
 * What is asked of our own accord has a budget: keepalives one, and lost hosts one per interface, so that neither delays
 * the other. A proof waits for nothing; how many there may be is decided at admission. undefined: not in a second.
 */
function firstTryAt(
  { limits, topology, now }: TrackerContext,
  purpose: ProbePurpose,
  iface: IfIndex,
): number | undefined {
  if (purpose === 'keepalive') return limits.keepalives.reserve(now, MOST_WAIT_MS);
  if (purpose !== 'ask-again') return now;
  return limits.newcomersOf(topology.nameOf(iface) ?? '', now).lostHosts.reserve(now, MOST_WAIT_MS);
}

/**
 * Whether the answer may be that of another router, which answers for the hosts behind it (proxy ARP): nobody in
 * particular is asked, or a MAC that is not known to be the host's while the host may be elsewhere, or a router's.
 */
function mayBeRouters(
  ctx: TrackerContext,
  host: Host,
  purpose: ProbePurpose,
  { iface, mac }: Attachment,
): boolean {
  const { topology, fib, lanQueries, otherRouters, discovery, now } = ctx;
  if (mac === MAC_BROADCAST || otherRouters.isRouterMac(iface, mac)) return true;
  const isHome = topology.subnets.isHome(iface, host.ip);
  if (purpose === 'remote-claim') return isHome;
  if (purpose === 'prove' && isHome && fib.remote(host.ip) !== undefined) return true;
  // The MAC that was recorded at home may be that of a router that announced the host and answered for it.
  if (purpose === 'old-place') return isHome && !host.held;
  if (host.attachment?.mac === mac) return false;
  if (purpose !== 'prove') return false;
  if (host.attachment?.iface === iface) {
    // Another MAC on the LAN where it was: that of a router that tells of its departure, perhaps. Of a visitor none does
    // so for long, and Wi-Fi repeaters do always: a visitor that has gone from one to another one is found again.
    const isLate = now - lastSignOf(ctx, host) >= DEPARTURE_MS;
    if (!isLate || isHome || topology.isShared(iface) || fib.remote(host.ip) !== undefined) return true;
  }
  if (discovery.hasAsked(iface, host.ip, now)) return true;
  return isHome
    ? host.claimed && host.attachment?.iface !== iface
    : lanQueries.stateOf(iface, host.ip) === 'taken';
}

/** Sends the next try and sets the time of the one after it, or of the time-out. */
export function sendTry(ctx: TrackerContext, ip: Ip, open: Probe): void {
  const probe: OpenProbe = open;
  const source = probe.sent === 0 ? probe.firstSourceIp : probe.sourceIp;
  if (probe.asksOwner) sendOwnerProbe(ctx, probe.attachment, source, ip);
  else sendProbe(ctx, probe.attachment, source, ip);
  if (repairsGateways(ctx, probe, source))
    for (const gateway of gatewaysToRepair(ctx, probe.attachment.iface, ip))
      sendProbe(ctx, probe.attachment, gateway, ip);
  if (probe.sent === 0) probe.firstSentAt = ctx.now;
  probe.sent++;
  const next = probe.tries[probe.sent];
  const last = probe.tries[probe.tries.length - 1] as number;
  probe.nextAt =
    next !== undefined
      ? Math.max(probe.firstSentAt + next, ctx.now + 1)
      : // A try that went out late still gets its time to be answered.
        Math.max(probe.firstSentAt + probe.timeoutMs, ctx.now + probe.timeoutMs - last);
}

/**
 * Whether the host's entries for its other gateways are put right along with this one: at a proof with every try, since
 * one of them may be the first that reaches it, and now and then afterwards.
 */
function repairsGateways({ topology }: TrackerContext, probe: Probe, source: Ip): boolean {
  const { purpose, attachment, sent } = probe;
  if (attachment.mac === MAC_BROADCAST || !topology.isGateway(source)) return false;
  return purpose === 'prove' || (sent === 0 && (purpose === 'keepalive' || purpose === 'took-over'));
}

/** The host will be able to answer later than thought: the tries after the first one of the schedule begin anew. */
export function renew(open: Probe, schedule: ProbeSchedule, now: number): void {
  const probe: OpenProbe = open;
  if (probe.sent === 0 || probe.tries.length > MOST_TRIES) return;
  const since = now - probe.firstSentAt;
  const [, ...later] = schedule.tries.map((offset) => since + offset);
  probe.tries = [...probe.tries.slice(0, probe.sent), ...later];
  probe.timeoutMs = since + schedule.timeoutMs;
  probe.nextAt = probe.firstSentAt + (later[0] ?? probe.timeoutMs);
}

/** Asks anew, as if nothing had been asked yet. */
export function restart(ctx: TrackerContext, ip: Ip, open: Probe): void {
  const probe: OpenProbe = open;
  probe.sent = 0;
  sendTry(ctx, ip, probe);
}

/** Whether a reply to `answeredTo` from there answers this probe. */
export function answers(probe: Probe | undefined, iface: IfIndex, mac: Mac, answeredTo: AnsweredTo): boolean {
  return (
    probe !== undefined &&
    probe.sent > 0 &&
    (answeredTo === 'anybody' ||
      probe.firstSourceIp === answeredTo ||
      (probe.sourceIp === answeredTo && probe.sent > 1)) &&
    probe.attachment.iface === iface &&
    (probe.attachment.mac === mac || probe.attachment.mac === MAC_BROADCAST)
  );
}
