import { type Ip, MAC_BROADCAST, type Mac } from '../wire/addresses.js';
import type { TrackerContext } from './context.js';
import type { IfIndex, Attachment, SendPurpose } from './events.js';
import { arpReply, arpRequest } from './arp/frames.js';
import type { Host, Probe, ProbePurpose } from './host/host.js';
import { scheduleOf } from './probe-schedules.js';

/** V = clamp(10 x smoothed RTT, 20, 150) ms, 50 ms if unknown (design.md 3.3). */
export function verdictMs(host: Host): number {
  return host.rttMs === undefined ? 50 : Math.min(150, Math.max(20, 10 * host.rttMs));
}

/**
 * Asks by ARP whether the host is at `place`. Undefined when there is no address that the question could come from.
 * The first try goes out after `delayMs`, or as soon as the probe budget allows; the verdict counts from then.
 */
export function ask(
  ctx: TrackerContext,
  host: Host,
  purpose: ProbePurpose,
  place: Attachment,
  delayMs = 0,
): Probe | undefined {
  const sourceIp = ctx.topology.probeSource(place.iface, host.ip);
  if (sourceIp === undefined || sourceIp === host.ip) return undefined;
  const pace = scheduleOf(purpose, verdictMs(host));
  const question: Probe = {
    purpose,
    attachment: place,
    sourceIp,
    tries: pace.tries,
    timeoutMs: pace.timeoutMs,
    isConfirmation: false,
    sent: 0,
    firstSentAt: 0,
    nextAt: ctx.limits.reserveProbe(purpose !== 'keepalive', ctx.now) + delayMs,
  };
  if (question.nextAt <= ctx.now) sendTry(ctx, host.ip, question);
  return question;
}

/** Sends the next try and sets the time of the one after it, or of the verdict. */
export function sendTry(ctx: TrackerContext, ip: Ip, question: Probe): void {
  sendRequest(ctx, question.attachment, question.sourceIp, ip, 'probe');
  if (question.sent === 0) question.firstSentAt = ctx.now;
  question.sent++;
  const next = question.tries[question.sent];
  const last = question.tries[question.tries.length - 1] as number;
  question.nextAt =
    next !== undefined
      ? Math.max(question.firstSentAt + next, ctx.now + 1)
      : // A try that went out late still gets its time to be answered.
        Math.max(question.firstSentAt + question.timeoutMs, ctx.now + question.timeoutMs - last);
}

/** Asks, or tells, whoever is at `place` (see arpRequest). */
export function sendRequest(
  ctx: TrackerContext,
  place: Attachment,
  senderIp: Ip,
  targetIp: Ip,
  purpose: SendPurpose,
  senderMac?: Mac,
): void {
  const own = ctx.topology.link(place.iface)?.mac;
  send(ctx, place.iface, own && arpRequest(own, place.mac, senderIp, targetIp, senderMac), purpose);
}

/** Broadcast gratuitous ARP request that says that `ip` is at our MAC. */
export function sendAnnouncement(ctx: TrackerContext, iface: IfIndex, ip: Ip): void {
  sendRequest(ctx, { iface, mac: MAC_BROADCAST }, ip, ip, 'announce');
}

/** Tells one asker that `senderIp` is at our MAC. */
export function sendReply(
  ctx: TrackerContext,
  iface: IfIndex,
  senderIp: Ip,
  targetMac: Mac,
  targetIp: Ip,
): void {
  const own = ctx.topology.link(iface)?.mac;
  send(ctx, iface, own && arpReply(own, senderIp, targetMac, targetIp), 'answer');
}

function send(
  ctx: TrackerContext,
  iface: IfIndex,
  bytes: Uint8Array | 0 | undefined,
  purpose: SendPurpose,
): void {
  if (bytes) ctx.emit({ kind: 'send', iface, bytes, purpose });
}

/** Asks a held host at once, out of turn, whether it is still there. */
export function probeNow(ctx: TrackerContext, host: Host): void {
  if (host.check === undefined && host.attachment !== undefined) {
    host.check = ask(ctx, host, 'keepalive', host.attachment);
  }
  ctx.touch(host);
}
