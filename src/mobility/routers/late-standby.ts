import { type Ip, MAC_BROADCAST } from '../../wire/addresses.js';
import { learningRefusal } from '../admission/learning.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import { NEVER } from '../host/machines/machine.js';
import { probeSource, sendProbe } from '../neighbour/send.js';

/**
 * A router that was not there when a host spoke knows it only by the claim of another one. On a LAN with several
 * first-hop routers that may be the one beside it, so all of the LAN are asked once for the host. An answer is a
 * sighting like any other and needs a proof of its own.
 */

/** Questions to all of a LAN: a broadcast wakes every host there. */
const GAP_MS = 4;
/** So many are made up for when the timer is late. */
const MOST_LATE = 25;
/** A host that has just spoken to all routers is proven by then, and need not be asked. */
const GRACE_MS = 200;
/** Looked at in one go. */
const MOST_SKIPPED = 256;

export class LateStandby {
  #pending = new Set<Ip>();
  nextAt = NEVER;

  snapshot() {
    return { pending: [...this.#pending], nextAt: this.nextAt };
  }

  restore({ pending, nextAt }: ReturnType<LateStandby['snapshot']>): void {
    this.#pending = new Set(pending);
    this.nextAt = nextAt;
  }

  add(ip: Ip, at: number): void {
    this.#pending.add(ip);
    if (this.nextAt === NEVER) this.nextAt = at;
  }

  take(): Ip | undefined {
    const ip = this.#pending.values().next().value;
    if (ip !== undefined) this.#pending.delete(ip);
    return ip;
  }

  has(ip: Ip): boolean {
    return this.#pending.has(ip);
  }

  get isEmpty(): boolean {
    return this.#pending.size === 0;
  }
}

/** Another router claims this address. */
export function askElsewhere(ctx: TrackerContext, ip: Ip): void {
  if (hasSharedLan(ctx) && !isKnown(ctx, ip)) ctx.lateStandby.add(ip, ctx.now + GRACE_MS);
}

/** The same for all claims of others: a LAN is heard from now on, or the role there changed. */
export function askAllElsewhere(ctx: TrackerContext): void {
  if (!hasSharedLan(ctx)) return;
  for (const { ip } of ctx.fib.allRemotes())
    if (!isKnown(ctx, ip)) ctx.lateStandby.add(ip, ctx.now + GRACE_MS);
}

/** Asks what is due. */
export function runLateStandby(ctx: TrackerContext): void {
  const { lateStandby, now } = ctx;
  if (lateStandby.nextAt > now) return;
  ctx.discovery.expire(now);
  lateStandby.nextAt = Math.max(lateStandby.nextAt, now - MOST_LATE * GAP_MS);
  for (let left = MOST_SKIPPED; left > 0 && lateStandby.nextAt <= now; left--) {
    const ip = lateStandby.take();
    if (ip !== undefined && !isKnown(ctx, ip) && ask(ctx, ip)) lateStandby.nextAt += GAP_MS;
    if (lateStandby.isEmpty) lateStandby.nextAt = NEVER;
  }
}

/** Returns whether it could be asked on any LAN. */
function ask(ctx: TrackerContext, ip: Ip): boolean {
  if (ctx.fib.remote(ip) === undefined) return false;
  let asked = false;
  for (const iface of ctx.topology.sharedLans()) {
    const source = probeSource(ctx, iface, ip);
    if (source === undefined || !ctx.topology.isListening(iface, ip)) continue;
    if (learningRefusal(ctx, iface, ip, undefined) !== undefined) continue;
    sendProbe(ctx, { iface, mac: MAC_BROADCAST }, source, ip);
    ctx.discovery.note(iface, ip, ctx.now);
    asked = true;
  }
  return asked;
}

/**
 * Away hosts were asked when the claim appeared, unless all hosts of their LAN are learned. There the claim may be that
 * of the router beside us, and the host is at home.
 */
function isKnown({ table, topology }: TrackerContext, ip: Ip): boolean {
  const host = table.get(ip);
  if (host?.state !== 'away') return host?.held === true || host?.asking === true;
  const wasAsked = (lan: IfIndex) => !topology.isShared(lan) || topology.rule(lan)?.learn !== 'all';
  return host.asking || topology.subnets.homeInterfaces(ip).every(wasAsked);
}

function hasSharedLan(ctx: TrackerContext): boolean {
  return ctx.topology.sharedLans().length > 0;
}
