import { type Family, familyOf } from '../../wire/addresses.js';
import { admit } from '../admission/admission.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex } from '../events.js';
import type { Host } from '../host/host.js';
import { candidateOn, isAsked } from '../host/machines/proof.js';
import { isSuppressed, startProof } from '../host/proving.js';
import type { AcdProbeMessage } from '../neighbour/message.js';
import { noteOtherAddress } from '../routers/other-routers.js';
import { type ProbeSchedule, renew } from '../probe/probe.js';
import { hasToWait, hearingRefusal, holdAnnouncements, onRefresh } from './heard-hosts.js';

/** How a host checks that nobody has its new address, and when it can be asked for it. */
interface AddressCheck {
  /** The longest time from a frame of the check to its end, ms: so long nobody may say that he has the address. */
  readonly lastsMs: number;
  /**
   * When the place is asked. undefined: `acd_probe_wait` later, as a host that checks its address may take any question
   * for it for a conflict (RFC 5227 section 2.1.1).
   */
  readonly schedule: ProbeSchedule | undefined;
}

export const ADDRESS_CHECKS: Readonly<Record<Family, AddressCheck>> = {
  // PROBE_WAIT + PROBE_NUM x PROBE_MAX + ANNOUNCE_WAIT, at the most (RFC 5227 section 1.1).
  ipv4: { lastsMs: 1000 + 3 * 2000 + 2000, schedule: undefined },
  // MAX_RTR_SOLICITATION_DELAY + DupAddrDetectTransmits x RetransTimer, for up to three (RFC 4862 section 5.4.2). A
  // question with a unicast source is ignored as long as the address is tentative (section 5.4.3), but an optimistic host
  // answers at once (RFC 4429), and Linux a second after its last solicitation.
  ipv6: { lastsMs: 1000 + 3 * 1000, schedule: { tries: [0, 1000, 1050, 1150], timeoutMs: 1500 } },
};

/**
 * A host checks that an address is free (RFC 5227 section 2.1.1, RFC 4862 section 5.4): it claims nothing. It is never
 * learned and never answered; the place is asked, now or a moment later.
 */
export function onAcdProbe(ctx: TrackerContext, iface: IfIndex, { target: ip, mac }: AcdProbeMessage): void {
  const refusal = hearingRefusal(ctx, undefined, iface, { ip, mac });
  if (refusal !== undefined) {
    if (refusal === 'other-router') noteOtherAddress(ctx, iface, ip, mac);
    return ctx.drop(refusal, iface, ip, mac);
  }
  ctx.note('probe', iface, mac, ip);
  const { lastsMs, schedule } = ADDRESS_CHECKS[familyOf(ip)];
  const place = { iface, mac };
  let host = ctx.table.get(ip);
  if (host !== undefined) {
    holdAnnouncements(ctx, host, place, lastsMs, schedule !== undefined);
    if (host.isHeldAt(iface, mac))
      return schedule === undefined ? ctx.touch(host) : spare(ctx, host, schedule);
  } else {
    if (admit(ctx, iface, ip, mac, 'probe') !== 'now') return;
    host = ctx.create(ip);
  }
  if (schedule !== undefined) return askTentative(ctx, host, place, schedule);
  host.stepProof({ input: 'defer', attachment: place, at: ctx.now + ctx.policy.timers.acdProbeWaitMs });
  ctx.touch(host);
}

/** A held host took its address anew. It is there, and cannot answer for it until the check is over. */
function spare(ctx: TrackerContext, host: Host, { timeoutMs }: ProbeSchedule): void {
  const until = Math.max(host.keepalive.graceUntil ?? 0, ctx.now + timeoutMs);
  host.stepKeepalive({ input: 'grace', until }, ctx.now);
  onRefresh(ctx, host);
  ctx.touch(host);
}

/** Each further frame of the check says that it will take longer (DupAddrDetectTransmits, RFC 4862 section 5.1). */
function askTentative(ctx: TrackerContext, host: Host, place: Attachment, schedule: ProbeSchedule): void {
  const open = candidateOn(host.proof, place.iface);
  if (open !== undefined && isAsked(open, place)) {
    if (open.cause !== 'sighting') renew(open.probe, schedule, ctx.now);
    return ctx.touch(host);
  }
  if (isSuppressed(ctx, host, place) || hasToWait(ctx, host, place)) return;
  startProof(ctx, host, place, 'probe-hint', { schedule });
}
