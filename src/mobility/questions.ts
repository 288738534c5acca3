import { type Ip, MAC_BROADCAST, type Mac } from '../wire/addresses.js';
import type { Brain } from './brain.js';
import type { IfIndex, Place, SendPurpose } from './events.js';
import { arpReply, arpRequest } from './frames.js';
import type { Host, Question, QuestionPurpose } from './host.js';
import { paceOf } from './paces.js';

/** V = clamp(10 x smoothed RTT, 20, 150) ms, 50 ms if unknown (DESIGN 3.3). */
export function verdictMs(host: Host): number {
  return host.rttMs === undefined ? 50 : Math.min(150, Math.max(20, 10 * host.rttMs));
}

/**
 * Asks by ARP whether the host is at `place`. Undefined when there is no address that the question could come from.
 * The first try goes out after `delayMs`, or as soon as the probe budget allows; the verdict counts from then.
 */
export function ask(
  brain: Brain,
  host: Host,
  purpose: QuestionPurpose,
  place: Place,
  delayMs = 0,
): Question | undefined {
  const sourceIp = brain.topology.probeSource(place.iface, host.ip);
  if (sourceIp === undefined || sourceIp === host.ip) return undefined;
  const pace = paceOf(purpose, verdictMs(host));
  const question: Question = {
    purpose,
    place,
    sourceIp,
    tries: pace.tries,
    verdictMs: pace.verdictMs,
    again: false,
    sent: 0,
    firstSentAt: 0,
    nextAt: brain.limits.reserveProbe(purpose !== 'keepalive', brain.now) + delayMs,
  };
  if (question.nextAt <= brain.now) sendTry(brain, host.ip, question);
  return question;
}

/** Sends the next try and sets the time of the one after it, or of the verdict. */
export function sendTry(brain: Brain, ip: Ip, question: Question): void {
  sendRequest(brain, question.place, question.sourceIp, ip, 'probe');
  if (question.sent === 0) question.firstSentAt = brain.now;
  question.sent++;
  const next = question.tries[question.sent];
  const last = question.tries[question.tries.length - 1] as number;
  question.nextAt =
    next !== undefined
      ? Math.max(question.firstSentAt + next, brain.now + 1)
      : // A try that went out late still gets its time to be answered.
        Math.max(question.firstSentAt + question.verdictMs, brain.now + question.verdictMs - last);
}

/** Asks, or tells, whoever is at `place` (see arpRequest). */
export function sendRequest(
  brain: Brain,
  place: Place,
  senderIp: Ip,
  targetIp: Ip,
  purpose: SendPurpose,
  senderMac?: Mac,
): void {
  const own = brain.topology.link(place.iface)?.mac;
  send(brain, place.iface, own && arpRequest(own, place.mac, senderIp, targetIp, senderMac), purpose);
}

/** Broadcast gratuitous ARP request that says that `ip` is at our MAC. */
export function sendAnnouncement(brain: Brain, iface: IfIndex, ip: Ip): void {
  sendRequest(brain, { iface, mac: MAC_BROADCAST }, ip, ip, 'announce');
}

/** Tells one asker that `senderIp` is at our MAC. */
export function sendReply(brain: Brain, iface: IfIndex, senderIp: Ip, targetMac: Mac, targetIp: Ip): void {
  const own = brain.topology.link(iface)?.mac;
  send(brain, iface, own && arpReply(own, senderIp, targetMac, targetIp), 'answer');
}

function send(brain: Brain, iface: IfIndex, bytes: Uint8Array | 0 | undefined, purpose: SendPurpose): void {
  if (bytes) brain.emit({ kind: 'send', iface, bytes, purpose });
}

/** Asks a held host at once, out of turn, whether it is still there. */
export function probeNow(brain: Brain, host: Host): void {
  if (host.check === undefined && host.place !== undefined) {
    host.check = ask(brain, host, 'keepalive', host.place);
  }
  brain.touch(host);
}
