import type { Ip, Mac } from '../../wire/addresses.js';
import type { Due } from '../deadlines.js';
import type { Attachment, Cause, HostState, IfIndex } from '../events.js';
import type { Probe } from '../probe/probe.js';
import {
  type Announcement,
  type AnnouncementInput,
  ANNOUNCEMENT_OFF,
  announcementDeadline,
  stepAnnouncement,
} from './machines/announcement.js';
import {
  type AnswerHold,
  type AnswerHoldInput,
  NO_ANSWER_HOLD,
  answerHoldDeadline,
  stepAnswerHold,
} from '../neighbour/answer-hold.js';
import {
  type Claim,
  type ClaimInput,
  type ClaimOutcome,
  UNKNOWN,
  claimDeadline,
  endsAt,
  hasRoute,
  isHeld,
  stepClaim,
} from './machines/claim.js';
import { type Contest, type ContestInput, NO_CONTEST, isContested, stepContest } from './machines/contest.js';
import {
  KEEPALIVE_OFF,
  type Keepalive,
  type KeepaliveInput,
  type KeepaliveOutcome,
  keepaliveDeadline,
  stepKeepalive,
} from './machines/keepalive.js';
import {
  type Candidate,
  PROOF_IDLE,
  type Proof,
  type ProofInput,
  proofDeadline,
  stepProof,
} from './machines/proof.js';
import {
  NO_RECOVERY,
  type Recovery,
  type RecoveryInput,
  recoveryDeadline,
  stepRecovery,
} from './machines/recovery.js';
import {
  NO_STUCK_ROUTE,
  type StuckRoute,
  stepStuckRoute,
  stuckRouteDeadline,
} from './machines/stuck-route.js';

/** An answer that takes longer than this is slow; prompt ones are not noted one by one. */
const SLOW_MS = 100;

/**
 * One address: where it is attached, what was measured of it, and its machines. A machine's state is replaced by its
 * own step function and by nothing else: the slots are private, the states are readonly.
 */
export class Host implements Due {
  // Times are ms on the monotonic clock. Those that most hosts never have are undefined until then: a number takes 16
  // bytes more of every host.

  due = Number.POSITIVE_INFINITY;
  #attachment: Attachment | undefined;
  #interface: string | undefined;
  #lastHeard = Number.NEGATIVE_INFINITY;
  #rttMs: number | undefined;
  #rttVariationMs = 0;
  #slowestMs: number | undefined;
  #suppressedUntil: number | undefined;

  #claim: Claim = UNKNOWN;
  #proof: Proof = PROOF_IDLE;
  #keepalive: Keepalive = KEEPALIVE_OFF;
  #contest: Contest = NO_CONTEST;
  #announcement: Announcement = ANNOUNCEMENT_OFF;
  #recovery: Recovery = NO_RECOVERY;
  #stuckRoute: StuckRoute = NO_STUCK_ROUTE;
  #answerHold: AnswerHold = NO_ANSWER_HOLD;

  constructor(readonly ip: Ip) {}

  /** All of it but for what is as at the beginning. */
  snapshot() {
    const unless = <T>(initial: T, state: T) => (state === initial ? undefined : state);
    return {
      ip: this.ip,
      due: unless(Number.POSITIVE_INFINITY, this.due),
      attachment: this.#attachment,
      interface: this.#interface,
      lastHeard: unless(Number.NEGATIVE_INFINITY, this.#lastHeard),
      rttMs: this.#rttMs,
      rttVariationMs: unless(0, this.#rttVariationMs),
      slowestMs: this.#slowestMs,
      suppressedUntil: this.#suppressedUntil,
      claim: unless(UNKNOWN, this.#claim),
      proof: unless(PROOF_IDLE, this.#proof),
      keepalive: unless(KEEPALIVE_OFF, this.#keepalive),
      contest: unless(NO_CONTEST, this.#contest),
      announcement: unless(ANNOUNCEMENT_OFF, this.#announcement),
      recovery: unless(NO_RECOVERY, this.#recovery),
      stuckRoute: unless(NO_STUCK_ROUTE, this.#stuckRoute),
      answerHold: unless(NO_ANSWER_HOLD, this.#answerHold),
    };
  }

  /** All but the attachment, by which the table finds it. */
  restore(state: ReturnType<Host['snapshot']>): void {
    this.due = state.due ?? Number.POSITIVE_INFINITY;
    this.#lastHeard = state.lastHeard ?? Number.NEGATIVE_INFINITY;
    this.#rttMs = state.rttMs;
    this.#rttVariationMs = state.rttVariationMs ?? 0;
    this.#slowestMs = state.slowestMs;
    this.#suppressedUntil = state.suppressedUntil;
    this.#claim = state.claim ?? UNKNOWN;
    this.#proof = state.proof ?? PROOF_IDLE;
    this.#keepalive = state.keepalive ?? KEEPALIVE_OFF;
    this.#contest = state.contest ?? NO_CONTEST;
    this.#announcement = state.announcement ?? ANNOUNCEMENT_OFF;
    this.#recovery = state.recovery ?? NO_RECOVERY;
    this.#stuckRoute = state.stuckRoute ?? NO_STUCK_ROUTE;
    this.#answerHold = state.answerHold ?? NO_ANSWER_HOLD;
  }

  // --- the machines ------------------------------------------------------------------------------------------------

  get claim(): Claim {
    return this.#claim;
  }

  stepClaim(input: ClaimInput, now: number): ClaimOutcome | undefined {
    const [state, outcome] = stepClaim(this.#claim, input, now);
    this.#claim = state;
    return outcome;
  }

  get proof(): Proof {
    return this.#proof;
  }

  stepProof(input: ProofInput): void {
    [this.#proof] = stepProof(this.#proof, input);
  }

  get keepalive(): Keepalive {
    return this.#keepalive;
  }

  stepKeepalive(input: KeepaliveInput, now: number): KeepaliveOutcome | undefined {
    const [state, outcome] = stepKeepalive(this.#keepalive, input, now);
    this.#keepalive = state;
    return outcome;
  }

  get contest(): Contest {
    return this.#contest;
  }

  stepContest(input: ContestInput, now: number): 'frozen' | undefined {
    const [state, outcome] = stepContest(this.#contest, input, now);
    this.#contest = state;
    return outcome;
  }

  get announcement(): Announcement {
    return this.#announcement;
  }

  stepAnnouncement(input: AnnouncementInput, now: number): 'send' | undefined {
    const [state, outcome] = stepAnnouncement(this.#announcement, input, now);
    this.#announcement = state;
    return outcome;
  }

  get recovery(): Recovery {
    return this.#recovery;
  }

  stepRecovery(input: RecoveryInput, now: number): void {
    [this.#recovery] = stepRecovery(this.#recovery, input, now);
  }

  get stuckRoute(): StuckRoute {
    return this.#stuckRoute;
  }

  stepStuckRoute(
    input: Parameters<typeof stepStuckRoute>[1],
    now: number,
  ): 'add-route' | 'delete-route' | undefined {
    const [state, outcome] = stepStuckRoute(this.#stuckRoute, input, now);
    this.#stuckRoute = state;
    return outcome;
  }

  get answerHold(): AnswerHold {
    return this.#answerHold;
  }

  stepAnswerHold(input: AnswerHoldInput, now: number): 'held' | 'answer' | undefined {
    const [state, outcome] = stepAnswerHold(this.#answerHold, input, now);
    this.#answerHold = state;
    return outcome;
  }

  /** It is in the table no longer: nothing more will happen to it. */
  end(): void {
    this.due = Number.POSITIVE_INFINITY;
    this.#proof = PROOF_IDLE;
    this.#keepalive = KEEPALIVE_OFF;
    this.#contest = NO_CONTEST;
    this.#announcement = ANNOUNCEMENT_OFF;
    this.#recovery = NO_RECOVERY;
    this.#stuckRoute = NO_STUCK_ROUTE;
    this.#answerHold = NO_ANSWER_HOLD;
  }

  // --- what was seen of it -----------------------------------------------------------------------------------------

  /** Where the host is held or, remembered or away, where it was last. */
  get attachment(): Attachment | undefined {
    return this.#attachment;
  }

  /** Name of the interface of `attachment`; it outlives the index. */
  get interface(): string | undefined {
    return this.#interface;
  }

  /** For HostTable, which keeps its indices in step. */
  attach(attachment: Attachment, name: string | undefined): void {
    this.#attachment = attachment;
    this.#interface = name;
  }

  get lastHeard(): number {
    return this.#lastHeard;
  }

  heard(now: number): void {
    this.#lastHeard = now;
  }

  /** Smoothed round-trip time of unambiguous answers (RFC 6298 gain 1/8; Karn: first tries only), ms. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** Round-trip time variation (RTTVAR of RFC 6298 section 2: gain 1/4, begins with half of the first round trip), ms. */
  get rttVariationMs(): number {
    return this.#rttVariationMs;
  }

  measured(rttMs: number): void {
    if (this.#rttMs === undefined) {
      this.#rttMs = rttMs;
      this.#rttVariationMs = rttMs / 2;
      return;
    }
    const difference = rttMs - this.#rttMs;
    this.#rttVariationMs += (Math.abs(difference) - this.#rttVariationMs) / 4;
    this.#rttMs += difference / 8;
  }

  /**
   * The longest time from the first try of a probe to its answer, of late; undefined: never more than SLOW_MS. It falls
   * by an eighth of the difference with every faster answer.
   */
  get slowestMs(): number | undefined {
    return this.#slowestMs;
  }

  /** It answered so long after the first try, be it to a later one. */
  answeredAfter(ms: number): void {
    const slowest = this.#slowestMs ?? 0;
    if (ms >= slowest) {
      if (ms > SLOW_MS) this.#slowestMs = ms;
    } else {
      const less = slowest - (slowest - ms) / 8;
      this.#slowestMs = less > SLOW_MS ? less : undefined;
    }
  }

  /** The reader keeps back its announcements at `attachment` before this. */
  get suppressedUntil(): number | undefined {
    return this.#suppressedUntil;
  }

  suppressUntil(at: number | undefined): void {
    this.#suppressedUntil = at;
  }

  // --- views -------------------------------------------------------------------------------------------------------

  get state(): HostState {
    return this.#claim.state;
  }

  get cause(): Cause {
    return this.#claim.cause;
  }

  get since(): number {
    return this.#claim.since;
  }

  /** When the present state ends by itself. */
  get endsAt(): number | undefined {
    return endsAt(this.#claim);
  }

  /** We hold a route for it. */
  get claimed(): boolean {
    return hasRoute(this.#claim);
  }

  /** It came from another LAN: what it sends to a MAC that is not ours may name a stale neighbour. */
  get mayHaveStaleNeighbours(): boolean {
    return this.claimed || (this.#claim.state === 'home' && this.#claim.staleUntil !== undefined);
  }

  /** Two hosts have its address, or lately had. */
  isContested(now: number): boolean {
    return isContested(this.#contest, now);
  }

  /** We believe that it is at `attachment`. */
  get held(): boolean {
    return isHeld(this.#claim);
  }

  isAt(iface: IfIndex, mac: Mac): boolean {
    return this.#attachment?.iface === iface && this.#attachment.mac === mac;
  }

  /** We hold it at this attachment. */
  isHeldAt(iface: IfIndex, mac: Mac): boolean {
    return this.held && this.isAt(iface, mac);
  }

  /** The open probes to where it was heard, one an interface. */
  get candidates(): readonly Candidate[] {
    return this.#proof.candidates;
  }

  /** It is being asked somewhere else than where it is held. */
  get asking(): boolean {
    return this.#proof.kind === 'asking';
  }

  /** The open probe to where it is held. */
  get currentProbe(): Probe | undefined {
    return this.#keepalive.kind === 'probing' ? this.#keepalive.probe : undefined;
  }

  /** The open probes to where it may be instead. */
  get oldProbes(): readonly Probe[] {
    return this.#proof.old;
  }

  /** The earliest of all its deadlines. */
  nextDeadline(): number {
    let next = Math.min(claimDeadline(this.#claim), keepaliveDeadline(this.#keepalive));
    if (this.#proof !== PROOF_IDLE) next = Math.min(next, proofDeadline(this.#proof));
    if (this.#announcement !== ANNOUNCEMENT_OFF)
      next = Math.min(next, announcementDeadline(this.#announcement));
    if (this.#recovery !== NO_RECOVERY) next = Math.min(next, recoveryDeadline(this.#recovery));
    if (this.#stuckRoute !== NO_STUCK_ROUTE) next = Math.min(next, stuckRouteDeadline(this.#stuckRoute));
    if (this.#answerHold !== NO_ANSWER_HOLD) next = Math.min(next, answerHoldDeadline(this.#answerHold));
    return next;
  }
}
