import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, IfIndex } from '../../../src/mobility/events.js';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import type { Mac } from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type ArpFrame, decodeArp, encodeArp } from '../../../src/wire/arp.js';
import { HOST_MAC, LAN0, LAN1, ip, macOf, makeRouter, request } from './small-router.js';

/**
 * Another router on a LAN answers for the hosts behind it (RFC 1027). Its answer proves nothing; it is told from a host's
 * by a question from no address, which no router answers for a host (RFC 5227 section 2.1.1).
 */

const HOST = '10.1.1.5';
const ROUTER = 0x020000000066 as Mac;

type Answers = (iface: IfIndex, question: ArpFrame) => Mac | undefined;

/** A router on this LAN that answers for every address; `host` answers for its own, whoever asks. */
const routerOn =
  (lan: IfIndex, host: IfIndex | undefined): Answers =>
  (iface, { destination, senderIp, targetIp }) => {
    if (targetIp !== ip(HOST)) return undefined;
    if (iface === host && (destination === HOST_MAC || destination === 0xffffffffffff)) return HOST_MAC;
    return iface === lan && senderIp !== 0 && destination !== HOST_MAC ? ROUTER : undefined;
  };

/** Lets `ms` pass. Every question that `answers` answers has its answer a millisecond later. */
function play(
  tracker: HostTracker,
  answers: Answers,
  first: readonly Action[],
  start: number,
  ms = 3000,
): Action[] {
  const all: Action[] = [];
  const replies: { at: number; iface: IfIndex; bytes: Uint8Array }[] = [];
  const take = (actions: readonly Action[], now: number) => {
    for (const action of actions) {
      all.push(action);
      if (action.kind !== 'send') continue;
      const question = decodeArp(action.bytes);
      assert.ok(typeof question !== 'string');
      if (question.opcode !== ARP_REQUEST || question.senderIp === question.targetIp) continue;
      const mac = answers(action.iface, question);
      if (mac === undefined) continue;
      const bytes = encodeArp({
        destination: question.source,
        source: mac,
        opcode: ARP_REPLY,
        senderMac: mac,
        senderIp: question.targetIp,
        targetMac: question.source,
        targetIp: question.senderIp,
      });
      replies.push({ at: now + 1, iface: action.iface, bytes });
    }
  };
  take(first, start);
  for (let now = start; now < start + ms; ) {
    const next = replies[0];
    now = Math.min(next?.at ?? Infinity, Math.max(now, tracker.nextDeadline() ?? Infinity), start + ms);
    if (next !== undefined && next.at === now) {
      replies.shift();
      take(tracker.handle({ kind: 'frame', iface: next.iface, bytes: next.bytes }, now), now);
    } else take(tracker.handle({ kind: 'tick' }, now), now);
  }
  return all;
}

function claimedByAnother(tracker: HostTracker, now: number): readonly Action[] {
  const route = {
    prefix: { ip: ip(HOST), length: 32 },
    table: 254,
    protocol: 186,
    metric: 20,
    type: 'unicast',
    iface: 2,
    via: ip('192.0.2.2'),
  } as const;
  return tracker.handle({ kind: 'route', change: 'add', route, initial: false }, now);
}

const alarms = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === 'alarm' ? [action.alarm] : []));
const placeOf = (tracker: HostTracker) => {
  const host = tracker.host(ip(HOST));
  return host && [host.state, host.attachment?.iface, host.attachment?.mac];
};

describe('a router on the home LAN that answers for everybody', () => {
  it('does not keep a visitor from being learned', () => {
    const tracker = makeRouter();
    const heard = request(tracker, LAN1, HOST, HOST);
    assert.deepEqual(alarms(play(tracker, routerOn(LAN0, LAN1), heard, 1000)), []);
    assert.deepEqual(placeOf(tracker), ['settled', LAN1, HOST_MAC]);
  });

  it('not by the entry that our kernel has of it either', () => {
    const tracker = makeRouter();
    tracker.handle({ kind: 'neighbour', iface: LAN0, ip: ip(HOST), mac: ROUTER }, 500);
    const heard = request(tracker, LAN1, HOST, HOST);
    assert.deepEqual(alarms(play(tracker, routerOn(LAN0, LAN1), heard, 1000)), []);
    assert.deepEqual(placeOf(tracker), ['settled', LAN1, HOST_MAC]);
  });

  it('does not contest the claim of the router that has the host', () => {
    const tracker = makeRouter();
    assert.deepEqual(
      alarms(play(tracker, routerOn(LAN0, undefined), claimedByAnother(tracker, 1000), 1000)),
      [],
    );
    assert.equal(tracker.host(ip(HOST))?.state, 'away');
  });

  it('nor when it has announced the host before the claim was here (RFC 5944 section 4.6)', () => {
    const tracker = makeRouter();
    const router = routerOn(LAN0, undefined);
    play(tracker, router, request(tracker, LAN0, HOST, HOST, ROUTER), 1000, 500);
    assert.deepEqual(alarms(play(tracker, router, claimedByAnother(tracker, 1500), 1500)), []);
    assert.equal(tracker.host(ip(HOST))?.state, 'away');
  });

  it('nor when it goes on announcing the host while we ask', () => {
    const tracker = makeRouter();
    const router = routerOn(LAN0, undefined);
    play(tracker, router, request(tracker, LAN0, HOST, HOST, ROUTER), 1000, 500);
    for (let at = 1500; at < 1800; at += 10) {
      const actions =
        at === 1500 ? claimedByAnother(tracker, at) : request(tracker, LAN0, HOST, HOST, ROUTER, at);
      assert.deepEqual(alarms(play(tracker, router, actions, at, 10)), []);
    }
    play(tracker, router, [], 1800);
    assert.equal(tracker.host(ip(HOST))?.state, 'away');
  });

  it('nor keeps a host at home that has left, by announcing it while we ask there', () => {
    const tracker = makeRouter();
    play(tracker, routerOn(-1, LAN0), request(tracker, LAN0, HOST, HOST), 1000, 500);
    assert.equal(tracker.host(ip(HOST))?.state, 'home');
    const router = routerOn(LAN0, undefined);
    play(tracker, router, claimedByAnother(tracker, 1500), 1500, 5);
    assert.deepEqual(
      alarms(play(tracker, router, request(tracker, LAN0, HOST, HOST, ROUTER, 1505), 1505)),
      [],
    );
    assert.equal(tracker.host(ip(HOST))?.state, 'away');
  });

  it('nor by announcing it afterwards', () => {
    const tracker = makeRouter();
    const router = routerOn(LAN0, undefined);
    play(tracker, router, claimedByAnother(tracker, 1000), 1000);
    const announced = request(tracker, LAN0, HOST, HOST, ROUTER, 4000);
    assert.deepEqual(alarms(play(tracker, router, announced, 4000)), []);
    assert.equal(tracker.host(ip(HOST))?.state, 'away');
  });

  it('does not take a visitor of ours home', () => {
    const tracker = makeRouter();
    const router = routerOn(LAN0, LAN1);
    play(tracker, router, request(tracker, LAN1, HOST, HOST), 1000);
    const announced = request(tracker, LAN0, HOST, HOST, ROUTER, 4000);
    assert.deepEqual(alarms(play(tracker, router, announced, 4000)), []);
    assert.deepEqual(placeOf(tracker), ['settled', LAN1, HOST_MAC]);
  });
});

describe('a host on the home LAN', () => {
  it('that is alive there keeps its address, however it was found', () => {
    const tracker = makeRouter();
    const heard = request(tracker, LAN1, HOST, HOST, ROUTER);
    const both: Answers = (iface, question) =>
      iface === LAN1
        ? question.destination === ROUTER
          ? ROUTER
          : undefined
        : routerOn(-1, LAN0)(iface, question);
    assert.deepEqual([...new Set(alarms(play(tracker, both, heard, 1000)))], ['duplicate']);
    assert.deepEqual(placeOf(tracker)?.slice(1), [LAN0, HOST_MAC]);
  });

  it('is found there although another router claims it', () => {
    const tracker = makeRouter();
    const actions = play(tracker, routerOn(-1, LAN0), claimedByAnother(tracker, 1000), 1000);
    assert.deepEqual([...new Set(alarms(actions))], ['duplicate']);
    assert.deepEqual(placeOf(tracker)?.slice(1), [LAN0, HOST_MAC]);
  });
});

it('the answer of a router to a question for a neighbour is not learned, that of the neighbour is', () => {
  for (const [answers, learned] of [
    [routerOn(LAN1, undefined), undefined],
    [routerOn(-1, LAN1), ['settled', LAN1, HOST_MAC]],
  ] as const) {
    const tracker = makeRouter();
    const asked = request(tracker, LAN1, '10.7.7.7', HOST, 0x020000000077 as Mac);
    play(tracker, answers, asked, 1000);
    assert.deepEqual(placeOf(tracker), learned);
  }
});

it('a question from no address to us alone is none of a host that wants the address', () => {
  const tracker = makeRouter();
  const bytes = encodeArp({
    destination: macOf(LAN0),
    source: ROUTER,
    opcode: ARP_REQUEST,
    senderMac: ROUTER,
    senderIp: ip('0.0.0.0'),
    targetMac: 0 as Mac,
    targetIp: ip(HOST),
  });
  const actions = tracker.handle({ kind: 'frame', iface: LAN0, bytes }, 1000);
  assert.deepEqual(
    actions.map((action) => (action.kind === 'drop' ? action.reason : action.kind)),
    ['sender-ip-unspecified'],
  );
  assert.equal(tracker.host(ip(HOST)), undefined);
});
