import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HostState } from '../../src/mobility/events.js';
import {
  ANNOUNCEMENT_OFF,
  ANNOUNCEMENT_TABLE,
  type Announcement,
  type AnnouncementInput,
  stepAnnouncement,
} from '../../src/mobility/host/machines/announcement.js';
import {
  ANSWER_HOLD_TABLE,
  type AnswerHold,
  type AnswerHoldInput,
  NO_ANSWER_HOLD,
  stepAnswerHold,
} from '../../src/mobility/neighbour/answer-hold.js';
import {
  CLAIM_TABLE,
  type Claim,
  type ClaimInput,
  UNKNOWN,
  stepClaim,
} from '../../src/mobility/host/machines/claim.js';
import {
  CONTEST_TABLE,
  type Contest,
  type ContestInput,
  NO_CONTEST,
  stepContest,
} from '../../src/mobility/host/machines/contest.js';
import {
  KEEPALIVE_OFF,
  KEEPALIVE_TABLE,
  type Keepalive,
  type KeepaliveInput,
  stepKeepalive,
} from '../../src/mobility/host/machines/keepalive.js';
import { NEVER, type Row, type Step } from '../../src/mobility/host/machines/machine.js';
import {
  PROOF_IDLE,
  PROOF_TABLE,
  type Proof,
  type ProofInput,
  stepProof,
} from '../../src/mobility/host/machines/proof.js';
import {
  NO_RECOVERY,
  RECOVERY_TABLE,
  type Recovery,
  type RecoveryInput,
  stepRecovery,
} from '../../src/mobility/host/machines/recovery.js';
import {
  NO_STUCK_ROUTE,
  STUCK_ROUTE_TABLE,
  type StuckRoute,
  stepStuckRoute,
} from '../../src/mobility/host/machines/stuck-route.js';
import {
  LAN_QUERY_IDLE,
  LAN_QUERY_TABLE,
  type LanQueryInput,
  type LanQueryState,
  stepLanQuery,
} from '../../src/mobility/neighbour/lan-queries.js';
import {
  OTHER_ROUTER_IDLE,
  OTHER_ROUTER_TABLE,
  type OtherRouterInput,
  type OtherRouterState,
  stepOtherRouter,
} from '../../src/mobility/routers/other-router.js';
import type { Probe, ProbePurpose } from '../../src/mobility/probe/probe.js';
import { ROLE_TABLE, type RoleInput, type RoleState, stepRole } from '../../src/mobility/routers/roles.js';
import type { Ip, Mac } from '../../src/wire/addresses.js';

const NOW = 100_000;
const HERE = { iface: 1, mac: 0x02_00_00_00_00_01 as Mac };
const THERE = { iface: 2, mac: 0x02_00_00_00_00_02 as Mac };

type AnyRow = Row<string, string, string>;

/**
 * Every state with every input: what the code does must be a row of the table, a refusal must have none, and no row may
 * be left over.
 */
function heldToTable<State, Input extends { readonly input: string }>(
  table: readonly AnyRow[],
  states: readonly State[],
  inputs: readonly Input[],
  kindOf: (state: State) => string,
  step: (state: State, input: Input) => Step<State, string>,
): void {
  const seen = new Set<AnyRow>();
  for (const state of states) {
    for (const input of inputs) {
      const from = kindOf(state);
      const rows = table.filter((row) => row.from === from && row.input === input.input);
      let after: Step<State, string>;
      try {
        after = step(state, input);
      } catch (error) {
        assert.deepEqual(rows, [], `${from} with ${input.input} has a row, and yet: ${error}`);
        continue;
      }
      const [next, outcome] = after;
      const row = rows.filter((one) => one.to === kindOf(next) && one.outcome === outcome);
      const what = `${from} with ${JSON.stringify(input)} gives ${kindOf(next)}, ${outcome}`;
      assert.ok(row.length > 0, `${what}: the table has no such row`);
      for (const one of row) seen.add(one);
    }
  }
  const unseen = table.filter((row) => !seen.has(row));
  assert.deepEqual(unseen, [], 'rows that never happen');
}

function probe(purpose: ProbePurpose): Probe {
  return {
    purpose,
    attachment: HERE,
    sourceIp: 1 as Ip,
    firstSourceIp: 1 as Ip,
    tries: [0],
    timeoutMs: 500,
    isConfirmation: false,
    isUnverified: false,
    asksOwner: false,
    sent: 1,
    firstSentAt: NOW - 500,
    nextAt: NOW,
  };
}

describe('the machines of a host do what their tables say', () => {
  it('announcement (RFC 5944 section 4.6)', () => {
    const states: Announcement[] = [
      ANNOUNCEMENT_OFF,
      { kind: 'held-back', holds: [{ iface: 1, until: NOW + 1 }] },
      { kind: 'sending', lans: [{ iface: 1, left: 3, at: NOW }], holds: [] },
      { kind: 'sending', lans: [{ iface: 1, left: 1, at: NOW }], holds: [] },
      { kind: 'sending', lans: [{ iface: 1, left: 1, at: NOW }], holds: [{ iface: 1, until: NOW }] },
      { kind: 'sending', lans: [{ iface: 1, left: 2, at: NOW }], holds: [{ iface: 1, until: NOW + 1 }] },
      {
        kind: 'sending',
        lans: [
          { iface: 1, left: 2, at: NOW },
          { iface: 2, left: 2, at: NOW + 1 },
        ],
        holds: [{ iface: 1, until: NOW + 1 }],
      },
    ];
    const inputs: AnnouncementInput[] = [
      { input: 'departed', ifaces: [1], from: NOW },
      { input: 'hold-back', iface: 1, until: NOW + 1000 },
      { input: 'hold-back', iface: 2, until: NOW + 1000 },
      { input: 'hold-back', iface: 1, until: NOW + 1000, isCheck: true },
      { input: 'seen-on', iface: 1 },
      { input: 'seen-on', iface: 2 },
      { input: 'arrived-home' },
      { input: 'cancel' },
      { input: 'due', wanted: true },
      { input: 'due', wanted: false },
    ];
    const step = (state: Announcement, input: AnnouncementInput) => stepAnnouncement(state, input, NOW);
    heldToTable(ANNOUNCEMENT_TABLE, states, inputs, ({ kind }) => kind, step);
  });

  it('answer hold', () => {
    const holding = { kind: 'holding', at: HERE, until: NOW + 1, asked: [1 as Ip] } as const;
    const states: AnswerHold[] = [
      NO_ANSWER_HOLD,
      holding,
      { ...holding, until: NOW },
      { ...holding, asked: [2, 3, 4, 5] as Ip[] },
    ];
    const inputs: AnswerHoldInput[] = [
      ...[HERE, THERE].flatMap((at): AnswerHoldInput[] => [
        { input: 'hold', at },
        { input: 'asked', at, target: 1 as Ip },
        { input: 'installed', at },
      ]),
      { input: 'installed', at: undefined },
      { input: 'due' },
      { input: 'refuse' },
    ];
    const step = (state: AnswerHold, input: AnswerHoldInput) => stepAnswerHold(state, input, NOW);
    heldToTable(ANSWER_HOLD_TABLE, states, inputs, ({ kind }) => kind, step);
  });

  it('LAN query', () => {
    const states: LanQueryState[] = [
      LAN_QUERY_IDLE,
      ...[NOW, NOW + 1].flatMap((at): LanQueryState[] => [
        { kind: 'asking', sent: 1, at },
        { kind: 'asking', sent: 2, at },
        { kind: 'taken', at },
        { kind: 'free', at },
      ]),
    ];
    const inputs: LanQueryInput[] = [
      { input: 'wanted' },
      { input: 'heard' },
      { input: 'due', listening: true },
      { input: 'due', listening: false },
    ];
    const step = (state: LanQueryState, input: LanQueryInput) => stepLanQuery(state, input, NOW);
    heldToTable(LAN_QUERY_TABLE, states, inputs, ({ kind }) => kind, step);
  });

  it('other router', () => {
    const states: OtherRouterState[] = [
      OTHER_ROUTER_IDLE,
      ...[NOW, NOW + 1].flatMap((nextAt) =>
        [0, 1, 4].flatMap((sent): OtherRouterState[] => [
          { kind: 'verifying', sent, nextAt },
          { kind: 'present', since: NOW - 1, sent, nextAt },
        ]),
      ),
    ];
    const inputs: OtherRouterInput[] = [
      { input: 'claimed' },
      { input: 'answered' },
      { input: 'other-address' },
      { input: 'due', listening: true, missed: false },
      { input: 'due', listening: false, missed: false },
      { input: 'due', listening: true, missed: true },
    ];
    const step = (state: OtherRouterState, input: OtherRouterInput) => stepOtherRouter(state, input, NOW);
    heldToTable(OTHER_ROUTER_TABLE, states, inputs, ({ kind }) => kind, step);
  });

  it('stuck route', () => {
    const states: StuckRoute[] = [
      NO_STUCK_ROUTE,
      { kind: 'suspected', again: false, repairAt: undefined },
      { kind: 'suspected', again: true, repairAt: undefined },
      { kind: 'suspected', again: true, repairAt: NOW },
      { kind: 'suspected', again: true, repairAt: NOW + 1 },
      { kind: 'repairing', until: NOW },
      { kind: 'repairing', until: NOW + 1 },
      { kind: 'repaired', at: NOW - 19 },
      { kind: 'repaired', at: NOW - 20 },
    ];
    const inputs = (
      ['released-early', 'remote-appeared', 'no-remote-claim', 'held', 'due', 'discard'] as const
    ).map((input) => ({ input }));
    const step = (state: StuckRoute, { input }: (typeof inputs)[number]) => stepStuckRoute(state, input, NOW);
    heldToTable(STUCK_ROUTE_TABLE, states, inputs, ({ kind }) => kind, step);
  });

  it('recovery', () => {
    const states: Recovery[] = [
      NO_RECOVERY,
      { ...NO_RECOVERY, reprobing: { reason: 'link-up', start: NOW, count: 0, at: NOW } },
      { ...NO_RECOVERY, reprobing: { reason: 'lost', start: NOW, count: 20, at: NOW } },
      { ...NO_RECOVERY, detached: { ...HERE, until: NOW } },
      { ...NO_RECOVERY, prepared: HERE },
    ];
    const inputs: RecoveryInput[] = [
      { input: 'link-up' },
      { input: 'lost' },
      { input: 'probed', giveUp: false, afterMs: 60_000 },
      { input: 'probed', giveUp: true, afterMs: 60_000 },
      { input: 'detach', from: HERE },
      { input: 'detach-over' },
      { input: 'prepare', at: HERE },
      { input: 'attach' },
      { input: 'held' },
      { input: 'clear' },
    ];
    // The three parts are independent: the table shows one at a time, and what leaves the other parts alone is no row.
    const kinds = ({ reprobing, detached, prepared }: Recovery) =>
      [reprobing && 're-probing', detached && 'detached', prepared && 'prepared']
        .filter(Boolean)
        .join(' + ') || 'none';
    const changes = states.flatMap((state) =>
      inputs.map((input) => {
        const [next] = stepRecovery(state, input, NOW);
        return { from: kinds(state), input: input.input, to: kinds(next) };
      }),
    );
    for (const { from, input, to } of RECOVERY_TABLE)
      assert.ok(
        changes.some((change) => change.from === from && change.input === input && change.to === to),
        `${from} with ${input} never gives ${to}`,
      );
    for (const { from, input, to } of changes) {
      if (from === to || to.includes('+')) continue;
      const row = RECOVERY_TABLE.find((one) => one.from === from && one.input === input && one.to === to);
      assert.notEqual(row, undefined, `${from} with ${input} gives ${to}: the table has no such row`);
    }
  });

  it('proof', () => {
    const candidate = {
      attachment: HERE,
      cause: 'sighting',
      probe: probe('prove'),
      since: NOW,
      incumbent: undefined,
      answered: undefined,
      repeated: false,
    } as const;
    const other = { ...candidate, attachment: THERE };
    const deferred = [{ attachment: HERE, at: NOW }];
    const old = probe('old-place');
    const older = { ...old, attachment: THERE };
    const parts = { candidates: [], old: [], deferred: [] };
    const states: Proof[] = [
      PROOF_IDLE,
      { ...parts, kind: 'idle', deferred },
      { ...parts, kind: 'asking', candidates: [candidate] },
      { ...parts, kind: 'asking', candidates: [candidate, other], old: [older, old], deferred },
      { ...parts, kind: 'asking', candidates: [candidate], old: [old] },
      { ...parts, kind: 'confirming', old: [old] },
      { ...parts, kind: 'confirming', old: [older, old], deferred },
    ];
    const inputs: ProofInput[] = [
      { input: 'ask', candidate },
      { input: 'ask-old', probe: old },
      { input: 'old-answered', at: THERE },
      { input: 'old-closed', probe: undefined },
      { input: 'old-closed', probe: old },
      { input: 'old-silent', probe: old },
      { input: 'close', candidate: undefined },
      { input: 'close', candidate },
      { input: 'repeated', candidate },
      { input: 'answered', candidate, by: HERE.mac, at: NOW },
      { input: 'defer', attachment: THERE, at: NOW },
      { input: 'defer', attachment: { ...HERE, mac: THERE.mac }, at: NOW },
      { input: 'take-deferred', due: NOW },
      { input: 'expedite-deferred', until: NOW, now: NOW },
      { input: 'held-at', attachment: HERE },
      { input: 'held-at', attachment: THERE },
    ];
    heldToTable(PROOF_TABLE, states, inputs, ({ kind }) => kind, stepProof);
  });

  it('keepalive', () => {
    const graceUntil = undefined;
    const purposes: ProbePurpose[] = ['prove', 'old-place', 'remote-claim', 'keepalive', 'overlap'];
    const states: Keepalive[] = [
      KEEPALIVE_OFF,
      { kind: 'off', graceUntil: NOW + 1 },
      { kind: 'waiting', at: NOW, setAt: NOW - 5000, graceUntil },
      ...purposes.flatMap((purpose): Keepalive[] => [
        { kind: 'probing', probe: probe(purpose), at: NEVER, setAt: NOW, graceUntil },
        { kind: 'probing', probe: probe(purpose), at: NOW + 1, setAt: NOW, graceUntil },
        { kind: 'probing', probe: probe(purpose), at: NEVER, setAt: NOW, graceUntil: NOW + 1 },
        { kind: 'probing', probe: probe(purpose), at: NOW + 1, setAt: NOW, graceUntil: NOW + 1 },
      ]),
    ];
    const facts = {
      claimed: true,
      lastHeard: NOW - 6000,
      vouchedAt: NOW - 6000,
      quietMs: 5000,
      keepaliveMs: 5000,
      holdMs: 15_000,
      missedAt: Number.NEGATIVE_INFINITY,
      listening: true,
    };
    const inputs: KeepaliveInput[] = [
      { input: 'schedule', afterMs: 5000 },
      { input: 'unschedule' },
      { input: 'expedite', at: NOW },
      { input: 'vouched', until: NOW + 5000 },
      { input: 'probe', probe: probe('keepalive') },
      { input: 'close' },
      { input: 'not-held' },
      { input: 'timeout', missedAt: Number.NEGATIVE_INFINITY },
      { input: 'timeout', missedAt: NOW },
      { input: 'grace', until: NOW + 1 },
      { input: 'due', ...facts },
      { input: 'due', ...facts, claimed: false },
      { input: 'due', ...facts, listening: false },
      { input: 'due', ...facts, lastHeard: NOW - 1000 },
      { input: 'due', ...facts, lastHeard: NOW - 15_000 },
      { input: 'due', ...facts, lastHeard: NOW - 15_000, vouchedAt: NOW - 15_000, listening: false },
      { input: 'due', ...facts, lastHeard: NOW - 15_000, listening: false },
      { input: 'due', ...facts, lastHeard: NOW - 15_000, listening: false, missedAt: NOW },
    ];
    const step = (state: Keepalive, input: KeepaliveInput) => stepKeepalive(state, input, NOW);
    heldToTable(KEEPALIVE_TABLE, states, inputs, ({ kind }) => kind, step);
  });

  it('contest (RFC 7432 section 15.1)', () => {
    const times = [NOW - 4000, NOW - 3000, NOW - 2000, NOW - 1000];
    const open = {
      kind: 'open',
      times: [NOW - 1000],
      guardedUntil: NOW + 1,
      refusals: 1,
      challenger: THERE,
      retryAt: NOW + 1,
    } as const;
    const states: Contest[] = [
      NO_CONTEST,
      open,
      { ...open, times },
      { ...open, times, kind: 'frozen', until: NOW + 1 },
    ];
    const inputs: ContestInput[] = [
      { input: 'contested', challenger: THERE, freezeMs: 540_000 },
      { input: 'contested', challenger: undefined, freezeMs: undefined },
      { input: 'returned', challenger: THERE },
      { input: 'outbid', challenger: THERE },
      { input: 'vanished', challenger: THERE },
      { input: 'refused', challenger: THERE },
      { input: 'incumbent-gone' },
      { input: 'clear' },
    ];
    const step = (state: Contest, input: ContestInput) => stepContest(state, input, NOW);
    heldToTable(CONTEST_TABLE, states, inputs, ({ kind }) => kind, step);
  });

  it('role', () => {
    const states: RoleState[] = [
      { kind: 'active', reason: 'gateway-here', since: 0 },
      { kind: 'standby', reason: 'not-told', since: 0 },
    ];
    const inputs: RoleInput[] = [
      { input: 'activate', reason: 'told' },
      { input: 'deactivate', reason: 'told' },
    ];
    heldToTable(
      ROLE_TABLE,
      states,
      inputs,
      ({ kind }) => kind,
      (role, input) => stepRole(role, input, NOW),
    );
    const [active] = stepRole(states[1] as RoleState, { input: 'activate', reason: 'told' }, NOW);
    assert.deepEqual(active, { kind: 'active', reason: 'told', since: NOW });
    const [same] = stepRole(states[0] as RoleState, { input: 'activate', reason: 'told' }, NOW);
    assert.deepEqual(same, { kind: 'active', reason: 'told', since: 0 }, 'since when does not change');
  });

  it('claim', () => {
    const past = { since: 0, cause: 'sighting', remoteAppearedAt: undefined, releasedAt: undefined } as const;
    const held = { ...past, role: 'challenger', retryFrom: NOW } as const;
    const claimed = { ...held, homecoming: false, overlapsRemote: false, ageAt: NOW, withdrawal: undefined };
    const waiting = { ...claimed, ageAt: NOW + 1, withdrawal: { cause: 'detach', at: NOW } } as const;
    const states: Claim[] = [
      UNKNOWN,
      { ...past, state: 'proving' },
      { ...held, state: 'home', staleUntil: undefined },
      { ...held, state: 'home', staleUntil: NOW },
      { ...held, state: 'home', staleUntil: NOW + 1 },
      { ...claimed, state: 'fresh' },
      { ...claimed, role: 'incumbent', state: 'settled' },
      { ...claimed, state: 'settled' },
      { ...claimed, ageAt: NOW + 1, state: 'fresh' },
      { ...claimed, ageAt: NEVER, state: 'settled' },
      { ...waiting, state: 'fresh' },
      { ...waiting, state: 'settled' },
      { ...claimed, ageAt: NOW, state: 'beneath', installed: false },
      { ...claimed, ageAt: NEVER, state: 'beneath', installed: true },
      { ...waiting, ageAt: NEVER, state: 'beneath', installed: true },
      { ...past, state: 'away', endsAt: NOW },
      { ...past, state: 'away', endsAt: undefined },
      { ...past, state: 'remembered', endsAt: NOW },
      { ...past, state: 'remembered', endsAt: NOW + 1 },
    ];
    const cause = 'sighting';
    const later = NOW + 1000;
    const inputs: ClaimInput[] = [
      { input: 'prove', cause },
      { input: 'found-at-home', cause },
      {
        input: 'found',
        cause,
        ageAt: later,
        retryFrom: NOW,
        homecoming: false,
        overlapsRemote: false,
      },
      { input: 'reclaim', ageAt: later, homecoming: false, cause, role: 'incumbent' },
      { input: 'reclaim', ageAt: later, homecoming: false, cause, role: 'challenger' },
      { input: 'adopt', ageAt: later, homecoming: false },
      { input: 'stand-by', cause, ageAt: later, installed: false },
      { input: 'stand-by', cause, ageAt: NEVER, installed: true },
      { input: 'surfaced', ageAt: later },
      { input: 'retry-fresh', ageAt: later },
      { input: 'due' },
      { input: 'age', ageAt: later },
      { input: 'unopposed' },
      { input: 'returned' },
      { input: 'at-ease' },
      { input: 'age-later', ageAt: later },
      { input: 'home-changed', homecoming: true, ageAt: later },
      { input: 'lost', cause, endsAt: later },
      { input: 'lost-later', cause, at: later },
      { input: 'elsewhere', cause },
      { input: 'remote-vanished', endsAt: later },
      { input: 'remote-appeared' },
      { input: 'remember', cause, endsAt: later },
      { input: 'forget', cause },
    ];
    const stateOf = ({ state }: Claim): HostState => state;
    heldToTable(CLAIM_TABLE, states, inputs, stateOf, (claim, input) => stepClaim(claim, input, NOW));
  });
});
