import type { Ip } from '../wire/addresses.js';
import type { TrackerContext } from './context.js';
import type { Attachment } from './events.js';
import type { Host, Probe, ProbePurpose } from './host/host.js';
import { probeSource, sendProbe } from './neighbour/send.js';
import { scheduleOf } from './probe-schedules.js';

/** V = clamp(10 x smoothed RTT, 20, 150) ms, 50 ms if unknown (design.md 3.3). */
export function verdictMs(host: Host): number {
  return host.rttMs === undefined ? 50 : Math.min(150, Math.max(20, 10 * host.rttMs));
}

/**
 * Asks whether the host is at `place`. Undefined when it cannot be asked (see probeSource).
 * The first try goes out after `delayMs`, or as soon as the probe budget allows; the verdict counts from then.
 */
export function ask(
  ctx: TrackerContext,
  host: Host,
  purpose: ProbePurpose,
  place: Attachment,
  delayMs = 0,
): Probe | undefined {
  const sourceIp = probeSource(ctx, place.iface, host.ip);
  if (sourceIp === undefined) return undefined;
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
  sendProbe(ctx, question.attachment, question.sourceIp, ip);
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

/** Asks a held host at once, out of turn, whether it is still there. */
export function probeNow(ctx: TrackerContext, host: Host): void {
  if (host.check === undefined && host.attachment !== undefined) {
    host.check = ask(ctx, host, 'keepalive', host.attachment);
  }
  ctx.touch(host);
}
