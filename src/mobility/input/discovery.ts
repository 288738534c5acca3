import {
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  type Prefix,
  formatPrefix,
  isIpv4,
} from '../../wire/addresses.js';
import { learningRefusal } from '../admission/learning.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import { NEVER } from '../host/machines/machine.js';
import { probeSource, sendProbe } from '../neighbour/send.js';

/**
 * Silent hosts are looked for (RFC 7814, host discovery): all of a LAN are asked for each address of its subnet that
 * nobody is known to have. An answer is a sighting like any other and needs a proof of its own.
 */

/** Questions to all of a LAN, on all LANs together: a broadcast wakes every host there. */
const GAP_MS = 10;
/** So many are made up for when the timer is late. */
const MOST_LATE = 10;
/** Each address is asked again so long after the sweep began, if nobody has answered. */
const ROUNDS = 2;
const ROUND_MS = 1000;
/** When nothing can be heard on the LAN. */
const DEAF_MS = 1000;
/** A LAN that comes and goes is not swept each time. */
const AGAIN_MS = 60_000;
/** An answer comes within this, or is an ordinary sighting. */
const ANSWER_MS = 1000;
/** Looked at in one go. */
const MOST_SKIPPED = 256;
const MOST_ADDRESSES = 65_536;

interface Sweep {
  readonly iface: IfIndex;
  readonly first: number;
  readonly last: number;
  readonly startedAt: number;
  readonly round: number;
  readonly next: number;
}

interface Asked {
  readonly iface: IfIndex;
  readonly ip: Ip;
  readonly at: number;
}

/** The sweeps that go on, one after the other. */
export class Discovery {
  /** The first one is at work. */
  sweeps: readonly Sweep[] = [];
  nextAt = NEVER;
  /** Of the last second. */
  asked: readonly Asked[] = [];
  /** When a LAN was last swept because it came up. */
  sweptAt = new Map<string, number>();

  snapshot() {
    const { sweeps, nextAt, asked, sweptAt } = this;
    return { sweeps, nextAt, asked, sweptAt };
  }

  restore(state: ReturnType<Discovery['snapshot']>): void {
    Object.assign(this, state);
  }

  expire(now: number): void {
    this.asked = this.asked.filter(({ at }) => now - at < ANSWER_MS);
  }

  /** All of a LAN are asked for this address now. */
  note(iface: IfIndex, ip: Ip, now: number): void {
    this.asked = [...this.asked, { iface, ip, at: now }];
  }

  /** Whether all of a LAN were asked for this address a moment ago. */
  hasAsked(iface: IfIndex, ip: Ip, now: number): boolean {
    return this.asked.some((one) => one.ip === ip && one.iface === iface && now - one.at < ANSWER_MS);
  }
}

/** Begins a sweep of the part of a prefix that is on our LANs. Returns why not, or what is asked. */
export function discover(ctx: TrackerContext, prefix: Prefix): { ok: boolean; message: string } {
  const refused = (message: string) => ({ ok: false, message });
  const text = formatPrefix(prefix);
  if (!isIpv4(prefix.ip))
    return refused(`${text} is an IPv6 prefix: it has too many addresses to ask for each of them`);
  const parts = ctx.topology.subnets.partsOn(prefix);
  if (parts.length === 0)
    return refused(
      `${text} is in no subnet of a mobility interface: only hosts of a LAN's own subnet can be looked for`,
    );
  const count = parts.reduce((sum, { part }) => sum + sizeOf(part), 0);
  if (count > MOST_ADDRESSES)
    return refused(`${text} has ${count} addresses on the LANs of this router, more than ${MOST_ADDRESSES}`);
  const names = parts.map(({ iface }) => ctx.topology.nameOf(iface)).join(', ');
  for (const { iface, part } of parts) begin(ctx, iface, part);
  const seconds = Math.ceil((count * ROUNDS * GAP_MS) / 1000);
  return { ok: true, message: `asking for ${count} addresses on ${names}, ${seconds} s at most` };
}

/** A LAN is heard from now on: the subnets that the configuration says so of are swept. */
export function discoverOn(ctx: TrackerContext, iface: IfIndex): void {
  for (const { prefix, discover: isWanted } of ctx.policy.subnets) {
    if (isWanted !== true || !isIpv4(prefix.ip)) continue;
    for (const { iface: lan, part } of ctx.topology.subnets.partsOn(prefix)) {
      const key = `${lan} ${formatPrefix(part)}`;
      const sweptAt = ctx.discovery.sweptAt.get(key) ?? Number.NEGATIVE_INFINITY;
      if (lan !== iface || sizeOf(part) > MOST_ADDRESSES || ctx.now - sweptAt < AGAIN_MS) continue;
      ctx.discovery.sweptAt.set(key, ctx.now);
      begin(ctx, lan, part);
    }
  }
}

function sizeOf({ length }: Prefix): number {
  return 2 ** (32 - length);
}

function begin({ discovery, now }: TrackerContext, iface: IfIndex, part: Prefix): void {
  if (!isIpv4(part.ip)) return;
  const first: number = part.ip;
  const last = first + sizeOf(part) - 1;
  if (discovery.sweeps.some((one) => one.iface === iface && one.first === first && one.last === last)) return;
  const sweep = { iface, first, last, startedAt: now, round: 1, next: first };
  discovery.sweeps = [...discovery.sweeps, sweep];
  if (discovery.nextAt === NEVER) discovery.nextAt = now;
}

/** Asks what is due. */
export function runDiscovery(ctx: TrackerContext): void {
  const { discovery, now } = ctx;
  if (discovery.nextAt > now) return;
  discovery.expire(now);
  discovery.nextAt = Math.max(discovery.nextAt, now - MOST_LATE * GAP_MS);
  while (discovery.nextAt <= now) discovery.nextAt = step(ctx, discovery.nextAt);
}

/** Asks one question. Returns when the next one is due. */
function step(ctx: TrackerContext, dueAt: number): number {
  const { discovery, topology } = ctx;
  const [sweep, ...others] = discovery.sweeps;
  if (sweep === undefined) return NEVER;
  if (topology.rule(sweep.iface) === undefined) {
    discovery.sweeps = others;
    return dueAt;
  }
  if (!topology.isListening(sweep.iface)) {
    discovery.sweeps = [...others, sweep];
    return ctx.now + DEAF_MS;
  }
  let { next } = sweep;
  for (let left = MOST_SKIPPED; next <= sweep.last && left > 0; left--) {
    const ip = next++ as Ipv4;
    const source = mayAsk(ctx, sweep.iface, ip) ? probeSource(ctx, sweep.iface, ip) : undefined;
    if (source === undefined) continue;
    sendProbe(ctx, { iface: sweep.iface, mac: MAC_BROADCAST }, source, ip);
    discovery.note(sweep.iface, ip, ctx.now);
    break;
  }
  if (next <= sweep.last) {
    discovery.sweeps = [{ ...sweep, next }, ...others];
    return dueAt + GAP_MS;
  }
  if (sweep.round === ROUNDS) {
    discovery.sweeps = others;
    return dueAt + GAP_MS;
  }
  discovery.sweeps = [...others, { ...sweep, round: sweep.round + 1, next: sweep.first }];
  return others.length > 0 ? dueAt + GAP_MS : Math.max(dueAt + GAP_MS, sweep.startedAt + ROUND_MS);
}

/** Whether nobody is known to have this address, and somebody there may. */
function mayAsk(ctx: TrackerContext, iface: IfIndex, ip: Ip): boolean {
  const host = ctx.table.get(ip);
  if (host?.held === true || host?.asking === true || ctx.fib.remote(ip) !== undefined) return false;
  return learningRefusal(ctx, iface, ip, undefined) === undefined;
}
