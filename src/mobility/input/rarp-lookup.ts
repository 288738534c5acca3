import { probeSource, sendProbe } from '../neighbour/send.js';
import type { Ip, Mac } from '../../wire/addresses.js';
import { admitNewcomer } from '../admission/admission.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex, Attachment } from '../events.js';
import { policyRefusal } from '../policy.js';

/**
 * RARP from a MAC that nobody knows: the newcomer itself is asked which address it has.
 *
 * Candidates are the addresses that other routers claim and that are not known to belong to another MAC, most
 * recently changed first. A machine that runs proxy ARP answers for all of them; so a control address that nobody
 * owns is asked along with them, and answers are believed only after a short wait for its answer.
 */
export interface RarpLookup {
  readonly place: Attachment;
  /** Addresses that are asked for, each with the address in whose name. */
  readonly candidates: ReadonlyMap<Ip, Ip>;
  /** The same of the control address of each family among them. */
  readonly controls: ReadonlyMap<Ip, Ip>;
  readonly answered: Set<Ip>;
  controlAnswered: boolean;
  tries: number;
  readonly startedAt: number;
  /** Next try or verdict. */
  nextAt: number;
}

const TRIES_MS = [0, 50, 150];
const VERDICT_MS = 400;
/**
 * After the first answer, so long for further addresses of the same host. The control address is asked first, so who
 * answers for it has answered by then: kernels that run proxy ARP answer unicast requests at once and in order.
 */
const SETTLE_MS = 3;
const MAX_OPEN = 16;

/** Asks `mac` for the addresses that are missing elsewhere. */
export function openInquiry(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  if (ctx.inquiries.some((open) => open.place.mac === mac && open.place.iface === iface)) return;
  if (ctx.inquiries.length >= MAX_OPEN || !admitNewcomer(ctx, iface)) {
    return ctx.drop('inquiry-limit', iface, undefined, mac);
  }
  const candidates = new Map<Ip, Ip>();
  const controls = new Map<Ip, Ip>();
  for (const { ip } of [...ctx.fib.allRemotes()].reverse()) {
    if (candidates.size >= ctx.policy.limits.inquiryCandidates) break;
    const known = ctx.table.get(ip);
    if (known?.held || (known?.attachment !== undefined && known.attachment.mac !== mac)) continue;
    if (policyRefusal(ctx.policy, ctx.topology.defaultAllow, ip, mac) !== undefined) continue;
    const source = probeSource(ctx, iface, ip);
    const control = ctx.families.of(ip)?.controlAddress;
    if (source === undefined || control === undefined) continue;
    candidates.set(ip, source);
    if (!controls.has(control)) controls.set(control, source);
  }
  if (candidates.size === 0) return;
  const inquiry: RarpLookup = {
    place: { iface, mac },
    candidates,
    controls,
    answered: new Set(),
    controlAnswered: false,
    tries: 0,
    startedAt: ctx.now,
    nextAt: ctx.now,
  };
  ctx.inquiries.push(inquiry);
  askAll(ctx, inquiry);
}

function askAll(ctx: TrackerContext, inquiry: RarpLookup): void {
  for (const [ip, source] of inquiry.controls) sendProbe(ctx, inquiry.place, source, ip);
  for (const [ip, source] of inquiry.candidates) sendProbe(ctx, inquiry.place, source, ip);
  inquiry.tries++;
  inquiry.nextAt = inquiry.startedAt + (TRIES_MS[inquiry.tries] ?? VERDICT_MS);
}

/** Whether this reply answers an open inquiry. */
export function hearInquiryAnswer(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  const inquiry = ctx.inquiries.find((open) => open.place.mac === mac && open.place.iface === iface);
  if (inquiry === undefined) return false;
  if (!inquiry.candidates.has(ip)) return false;
  if (inquiry.answered.size === 0) inquiry.nextAt = ctx.now + SETTLE_MS;
  inquiry.answered.add(ip);
  return true;
}

/** The control address answered, which the classifier would drop as not allowed. */
export function hearControlAnswer(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): void {
  if (ctx.inquiries.length === 0) return;
  const inquiry = ctx.inquiries.find((open) => open.place.mac === mac && open.place.iface === iface);
  if (inquiry?.controls.has(ip)) inquiry.controlAnswered = true;
}

export function nextInquiryDeadline(ctx: TrackerContext): number {
  let next = Number.POSITIVE_INFINITY;
  for (const inquiry of ctx.inquiries) next = Math.min(next, inquiry.nextAt);
  return next;
}

/** Sends due tries and closes what is due. Returns the addresses that proved to be at a place. */
export function runInquiries(ctx: TrackerContext): { ip: Ip; place: Attachment }[] {
  const proven: { ip: Ip; place: Attachment }[] = [];
  const open: RarpLookup[] = [];
  for (const inquiry of ctx.inquiries) {
    if (inquiry.nextAt > ctx.now) {
      open.push(inquiry);
    } else if (inquiry.answered.size === 0 && inquiry.tries < TRIES_MS.length) {
      askAll(ctx, inquiry);
      open.push(inquiry);
    } else if (inquiry.controlAnswered || inquiry.answered.size > ctx.policy.limits.addressesPerMac) {
      ctx.alarm('proxy-arp', 'answers for addresses that it cannot all have: believed for none', {
        place: inquiry.place,
      });
    } else {
      for (const ip of inquiry.answered) proven.push({ ip, place: inquiry.place });
    }
  }
  ctx.inquiries = open;
  return proven;
}
