import { sendRequest } from './questions.js';
import { type Ip, type Ipv4, type Mac, isIpv4 } from '../wire/addresses.js';
import { admitNewcomer } from './admission.js';
import type { Brain } from './brain.js';
import type { IfIndex, Place } from './events.js';
import { refuses } from './policy.js';

/**
 * RARP from a MAC that nobody knows: the newcomer itself is asked which address it has.
 *
 * Candidates are the addresses that other routers claim and that are not known to belong to another MAC, most
 * recently changed first. A machine that runs proxy ARP answers for all of them; so a control address that nobody
 * owns is asked along with them, and answers are believed only after a short wait for its answer.
 */
export interface Inquiry {
  readonly place: Place;
  readonly candidates: ReadonlyMap<Ip, Ip>;
  readonly answered: Set<Ip>;
  controlAnswered: boolean;
  tries: number;
  readonly startedAt: number;
  /** Next try or verdict. */
  nextAt: number;
}

/** 192.0.2.1 of TEST-NET-1 (RFC 5737): no host may own it. */
const CONTROL_ADDRESS = 0xc000_0201 as Ipv4;
const TRIES_MS = [0, 50, 150];
const VERDICT_MS = 400;
/**
 * After the first answer, so long for further addresses of the same host. The control address is asked first, so who
 * answers for it has answered by then: kernels that run proxy ARP answer unicast requests at once and in order.
 */
const SETTLE_MS = 3;
const MAX_OPEN = 16;

/** Asks `mac` for the addresses that are missing elsewhere. */
export function openInquiry(brain: Brain, iface: IfIndex, mac: Mac): void {
  if (brain.inquiries.some((open) => open.place.mac === mac && open.place.iface === iface)) return;
  if (brain.inquiries.length >= MAX_OPEN || !admitNewcomer(brain, iface)) {
    return brain.drop('inquiry-limit', iface, undefined, mac);
  }
  const candidates = new Map<Ip, Ip>();
  for (const { ip } of [...brain.fib.allRemotes()].reverse()) {
    if (candidates.size >= brain.policy.limits.inquiryCandidates) break;
    const known = brain.table.get(ip);
    if (known?.held || (known?.place !== undefined && known.place.mac !== mac)) continue;
    if (!isIpv4(ip) || refuses(brain.policy, brain.topology.defaultAllow, ip, mac) !== undefined) continue;
    const source = brain.topology.probeSource(iface, ip);
    if (source !== undefined && source !== ip) candidates.set(ip, source);
  }
  if (candidates.size === 0) return;
  const inquiry: Inquiry = {
    place: { iface, mac },
    candidates,
    answered: new Set(),
    controlAnswered: false,
    tries: 0,
    startedAt: brain.now,
    nextAt: brain.now,
  };
  brain.inquiries.push(inquiry);
  askAll(brain, inquiry);
}

function askAll(brain: Brain, inquiry: Inquiry): void {
  const [source] = inquiry.candidates.values();
  if (source !== undefined) sendRequest(brain, inquiry.place, source, CONTROL_ADDRESS, 'probe');
  for (const [ip, sourceIp] of inquiry.candidates) sendRequest(brain, inquiry.place, sourceIp, ip, 'probe');
  inquiry.tries++;
  inquiry.nextAt = inquiry.startedAt + (TRIES_MS[inquiry.tries] ?? VERDICT_MS);
}

/** Whether this ARP reply answers an open inquiry. */
export function hearInquiryAnswer(brain: Brain, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  const inquiry = brain.inquiries.find((open) => open.place.mac === mac && open.place.iface === iface);
  if (inquiry === undefined) return false;
  if (!inquiry.candidates.has(ip)) return false;
  if (inquiry.answered.size === 0) inquiry.nextAt = brain.now + SETTLE_MS;
  inquiry.answered.add(ip);
  return true;
}

/** The control address answered, which the classifier would drop as not allowed. */
export function hearControlAnswer(brain: Brain, iface: IfIndex, ip: Ip, mac: Mac): void {
  if (ip !== CONTROL_ADDRESS) return;
  const inquiry = brain.inquiries.find((open) => open.place.mac === mac && open.place.iface === iface);
  if (inquiry !== undefined) inquiry.controlAnswered = true;
}

export function nextInquiryDeadline(brain: Brain): number {
  let next = Number.POSITIVE_INFINITY;
  for (const inquiry of brain.inquiries) next = Math.min(next, inquiry.nextAt);
  return next;
}

/** Sends due tries and closes what is due. Returns the addresses that proved to be at a place. */
export function runInquiries(brain: Brain): { ip: Ip; place: Place }[] {
  const proven: { ip: Ip; place: Place }[] = [];
  const open: Inquiry[] = [];
  for (const inquiry of brain.inquiries) {
    if (inquiry.nextAt > brain.now) {
      open.push(inquiry);
    } else if (inquiry.answered.size === 0 && inquiry.tries < TRIES_MS.length) {
      askAll(brain, inquiry);
      open.push(inquiry);
    } else if (inquiry.controlAnswered || inquiry.answered.size > brain.policy.limits.addressesPerMac) {
      brain.alarm('proxy-arp', 'answers for addresses that it cannot all have: believed for none', {
        place: inquiry.place,
      });
    } else {
      for (const ip of inquiry.answered) proven.push({ ip, place: inquiry.place });
    }
  }
  brain.inquiries = open;
  return proven;
}
