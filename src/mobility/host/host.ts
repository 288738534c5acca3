import type { Ip, Mac } from '../../wire/addresses.js';
import type { Cause, HostState, IfIndex, Attachment } from '../events.js';
import type { Due } from '../deadlines.js';

/**
 * One address and what is believed about it.
 *
 * The state says what we hold for it (see HostState). Beside the state stand up to three open questions, each to one
 * place: `check` to the place where we believe the host is, `candidate` to a place where it has just been heard, and
 * `previous` to the place that a proven candidate displaced a moment ago. A question is closed by its answer or its
 * verdict, whichever comes first, and its answer belongs to it alone: when it is closed, a late answer is an ordinary
 * sighting that needs a proof of its own, so it cannot undo a newer move.
 */

export type ProbePurpose =
  /** Is the host at the candidate place? */
  | 'prove'
  /** Is it still at the old place, while a candidate claims the address? */
  | 'old-place'
  /** Is it still here although another router claims it? */
  | 'remote-claim'
  /** Is it still here? */
  | 'keepalive'
  /** The same, five times a second, while our fresh claim displaces somebody else's. */
  | 'displaced';

export interface Probe {
  readonly purpose: ProbePurpose;
  /** Where it is asked; MAC_BROADCAST when the MAC is not known, then any may answer. */
  readonly attachment: Attachment;
  readonly sourceIp: Ip;
  /** Offsets of the tries from the first one, ms. */
  readonly tries: readonly number[];
  /** From the first try to the verdict, ms. */
  readonly timeoutMs: number;
  /** Asked a second time, because the first answer may have been one to an older question. */
  isConfirmation: boolean;
  sent: number;
  firstSentAt: number;
  /** Next try or, when all are sent, the verdict. */
  nextAt: number;
}

/** Who gives way when two living hosts use one address: the one that came later (design.md 3.3). */
export type Role = 'challenger' | 'incumbent';

export interface Candidate {
  readonly attachment: Attachment;
  readonly cause: Cause;
  readonly question: Probe;
  /** Where else the host answered meanwhile. Only if the candidate answers, too, are there two of them. */
  incumbent: Attachment | undefined;
  /** It had a second try. */
  askedAgain: boolean;
}

/** The dispute over an address: how often, with whom, and until when nothing more is heard of it. */
export interface Contest {
  /** When contested moves happened, the last 180 s. */
  times: number[];
  /** Consecutive refusals of the challenger. */
  refusals: number;
  /** Where the challenger is; undefined when it is behind another router. */
  challenger: Attachment | undefined;
  /** The challenger is not listened to before this; undefined when its time has come. */
  retryAt: number | undefined;
  /** The address is frozen at its incumbent until this. */
  frozenUntil: number;
}

export class Host implements Due {
  // Times are ms on the monotonic clock. Those that most hosts never have are undefined until then: a number would take
  // 16 bytes more of every host.

  due = Number.POSITIVE_INFINITY;
  /** Where the host is held or, remembered or away, where it was last. */
  attachment: Attachment | undefined;
  /** Name of the interface of `place`; it outlives the index. */
  interface: string | undefined;
  since = 0;
  cause: Cause = 'sighting';
  lastHeard = Number.NEGATIVE_INFINITY;
  /** Its announcements at `place` are not told to us before this. */
  absorbedUntil: number | undefined;
  /** Smoothed round-trip time of unambiguous answers (RFC 6298 gain 1/8; Karn: first tries only), ms. */
  rttMs: number | undefined;
  role: Role = 'challenger';
  /** The fresh claim hides or replaces another claim: two claims may be in the network until one ages. */
  displaced = false;
  /** The claim is on the host's home LAN and will be dropped when no other router objects. */
  returning = false;

  candidate: Candidate | undefined;
  check: Probe | undefined;
  previous: Probe | undefined;
  contest: Contest | undefined;

  /** fresh: when it becomes settled. settled: when it counts as unopposed. */
  ageAt = Number.POSITIVE_INFINITY;
  keepaliveAt = Number.POSITIVE_INFINITY;
  /** When that was decided: a frame heard since then puts it off, without a deadline of its own. */
  keepaliveSetAt = 0;
  /** remembered: when it is forgotten. away: when the loss of the remote claim counts. */
  forgetAt: number | undefined;
  /** Attached on a hypervisor's word: silence before this does not withdraw the claim. */
  graceUntil: number | undefined;
  /** A withdrawal that waits for the 20 ms rule. */
  withdrawal: { readonly cause: Cause; readonly at: number } | undefined;
  /** Evidence that has to wait: an RFC 5227 probe, or a third place while a question to another is open. */
  hint: { readonly place: Attachment; readonly at: number } | undefined;
  /** Gratuitous ARP with our MAC on the home LAN of a host that is away. */
  announce: { readonly iface: IfIndex; left: number; at: number } | undefined;
  /** Somebody is about to take the address on its home LAN: no announcement of ours there before this. */
  hushUntil: number | undefined;
  /** Probes after a link-up: offsets still to do. */
  wake: { left: number[]; start: number } | undefined;
  /** Frames of a guest that was just detached are stale until then. */
  detached: { readonly iface: IfIndex; readonly mac: Mac; readonly until: number } | undefined;
  /** Prepared over the API: its first sign of life counts as proven. */
  prepared: Attachment | undefined;
  /** Hosts that have come home and send to where it is not: told of its MAC when it is heard. */
  soughtBy: Set<Ip> | undefined;
  /** A newcomer that another router claims, too, has been claimed fresh a second time; it gives way the next time. */
  insisted = false;
  /** When a remote claim last appeared; it may be gone again. */
  remoteAppearedAt: number | undefined;
  /** When our claim was last given up. */
  releasedAt: number | undefined;
  /** The kernel deleted our route too soon after a remote claim: a routing daemon may announce a ghost. */
  ghost: 'waiting' | 'present' | undefined;
  ghostAt: number | undefined;

  #state: HostState = 'unknown';

  constructor(readonly ip: Ip) {}

  get state(): HostState {
    return this.#state;
  }

  /** We hold a route for it. */
  get claimed(): boolean {
    return this.#state === 'fresh' || this.#state === 'settled';
  }

  /** We believe that it is at `place`. */
  get held(): boolean {
    return this.claimed || this.#state === 'home';
  }

  isAt(iface: IfIndex, mac: Mac): boolean {
    return this.attachment?.iface === iface && this.attachment.mac === mac;
  }

  /**
   * The one transition function: nobody else assigns the state. It resets what belonged to the old state and leaves
   * the deadlines of the new one to be set by `timing`.
   */
  enter(
    state: HostState,
    cause: Cause,
    now: number,
    timing: { ageAt?: number; forgetAt?: number },
  ): HostState {
    const from = this.#state;
    this.#state = state;
    this.since = now;
    this.cause = cause;
    this.withdrawal = undefined;
    this.ageAt = timing.ageAt ?? Number.POSITIVE_INFINITY;
    this.forgetAt = timing.forgetAt;
    if (!this.held) {
      this.check = undefined;
      this.previous = undefined;
      this.keepaliveAt = Number.POSITIVE_INFINITY;
      this.displaced = false;
      this.insisted = false;
      this.role = 'challenger';
    } else {
      this.wake = undefined;
      this.prepared = undefined;
      if (this.hint !== undefined && this.isAt(this.hint.place.iface, this.hint.place.mac))
        this.hint = undefined;
      this.ghost = undefined;
      this.ghostAt = undefined;
    }
    if (!this.claimed) this.returning = false;
    return from;
  }

  /** Nothing more will happen to it: it is no longer in the table. */
  waitForNothing(): void {
    this.due = Number.POSITIVE_INFINITY;
    this.hint = undefined;
    this.wake = undefined;
    this.announce = undefined;
    this.detached = undefined;
    this.withdrawal = undefined;
    this.contest = undefined;
    this.ghost = undefined;
    this.ghostAt = undefined;
    this.forgetAt = undefined;
  }

  /** When the present state ends by itself. */
  get endsAt(): number | undefined {
    const at = Math.min(this.ageAt, this.forgetAt ?? Number.POSITIVE_INFINITY);
    return at === Number.POSITIVE_INFINITY ? undefined : at;
  }

  /** The question that tells where the host is, while it is open: at most one such story at a time. */
  get openProof(): Probe | undefined {
    return (
      this.candidate?.question ?? (this.check?.purpose === 'prove' ? this.check : undefined) ?? this.previous
    );
  }

  /** The earliest of all its deadlines. */
  nextDeadline(): number {
    let next = Math.min(this.ageAt, this.keepaliveAt);
    if (this.forgetAt !== undefined) next = Math.min(next, this.forgetAt);
    if (this.ghostAt !== undefined) next = Math.min(next, this.ghostAt);
    if (this.candidate !== undefined) next = Math.min(next, this.candidate.question.nextAt);
    if (this.check !== undefined) next = Math.min(next, this.check.nextAt);
    if (this.previous !== undefined) next = Math.min(next, this.previous.nextAt);
    if (this.withdrawal !== undefined) next = Math.min(next, this.withdrawal.at);
    if (this.hint !== undefined) next = Math.min(next, this.hint.at);
    if (this.announce !== undefined) next = Math.min(next, this.announce.at);
    if (this.wake !== undefined) next = Math.min(next, this.wake.start + (this.wake.left[0] as number));
    if (this.detached !== undefined) next = Math.min(next, this.detached.until);
    if (this.contest?.retryAt !== undefined && this.#state === 'remembered') {
      next = Math.min(next, this.contest.retryAt);
    }
    return next;
  }
}
