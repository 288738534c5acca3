import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, IfIndex } from '../../../src/mobility/events.js';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import type { Mac } from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type ArpFrame, decodeArp, encodeArp } from '../../../src/wire/arp.js';
import { HOST_MAC, LAN0, LAN1, ip, link, macOf, makeRouter, request } from './small-router.js';

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

describe('a router beside us that tells of the departure of a host (RFC 5944 section 4.6)', () => {
  for (const learn of ['foreign', 'all'])
    it(`does not have the host for itself, learn = "${learn}"`, () => {
      const tracker = makeRouter(`learn = "${learn}"`);
      play(tracker, routerOn(-1, LAN0), request(tracker, LAN0, HOST, HOST), 1000);
      const router = routerOn(LAN0, undefined);
      for (const at of [4000, 5000, 6000]) {
        play(tracker, router, request(tracker, LAN0, HOST, HOST, ROUTER, at), at, 900);
        assert.equal(placeOf(tracker)?.[2], HOST_MAC, `never at the MAC of the router, ${at} ms`);
      }
    });

  it('nor a visitor', () => {
    const tracker = makeRouter();
    play(tracker, routerOn(-1, LAN1), request(tracker, LAN1, HOST, HOST), 1000);
    play(tracker, routerOn(LAN1, undefined), request(tracker, LAN1, HOST, HOST, ROUTER, 4000), 4000, 9000);
    assert.deepEqual(placeOf(tracker)?.slice(0, 1), ['remembered'], 'it is silent, and nobody else has it');
  });

  it('nor by an answer that comes late', () => {
    const tracker = makeRouter();
    play(tracker, routerOn(-1, LAN1), request(tracker, LAN1, HOST, HOST), 1000, 500);
    play(tracker, () => undefined, [], 1500, 16_500);
    assert.equal(placeOf(tracker)?.[0], 'remembered');
    play(tracker, () => undefined, request(tracker, LAN1, HOST, HOST, ROUTER, 18_000), 18_000, 900);
    const late = { opcode: ARP_REPLY, senderIp: ip(HOST), targetIp: ip('10.1.1.1') } as const;
    const macs = { destination: macOf(LAN1), source: ROUTER, senderMac: ROUTER, targetMac: macOf(LAN1) };
    tracker.handle({ kind: 'frame', iface: LAN1, bytes: encodeArp({ ...late, ...macs }) }, 18_901);
    assert.ok(!tracker.host(ip(HOST))?.held, 'it is asked anew, as after any frame');
  });
});

describe('a visitor behind a Wi-Fi repeater, which answers in its name', () => {
  const OTHER = 0x020000000077 as Mac;

  it('is found behind another one of its LAN', () => {
    const tracker = makeRouter();
    play(tracker, routerOn(LAN1, undefined), request(tracker, LAN1, HOST, HOST, ROUTER), 1000);
    assert.deepEqual(placeOf(tracker), ['settled', LAN1, ROUTER]);
    const other: Answers = (iface, { destination, senderIp, targetIp }) =>
      iface === LAN1 && destination === OTHER && senderIp !== 0 && targetIp === ip(HOST) ? OTHER : undefined;
    for (let at = 5000; at <= 65_000; at += 5000)
      play(tracker, other, request(tracker, LAN1, HOST, '10.1.1.1', OTHER, at), at, 5000);
    assert.deepEqual(placeOf(tracker), ['settled', LAN1, OTHER]);
  });
});

describe('a MAC that turns out to be a router', () => {
  const gateway = '10.2.2.1';
  const VIRTUAL = 0x00005e000108 as Mac;
  const CONFIG = `[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "${gateway}"`;

  it('keeps no host for which it only answers: each is asked once more, from nobody', () => {
    for (const isHost of [false, true]) {
      const tracker = makeRouter(CONFIG);
      const answers: Answers = (iface, { senderIp, targetIp }) => {
        if (iface !== LAN1) return undefined;
        if (targetIp === ip(gateway)) return ROUTER;
        return targetIp === ip(HOST) && (isHost || senderIp !== 0) ? ROUTER : undefined;
      };
      play(tracker, answers, request(tracker, LAN1, HOST, HOST, ROUTER), 1000);
      assert.deepEqual(placeOf(tracker), ['settled', LAN1, ROUTER]);
      tracker.handle({ kind: 'link', link: link(LAN1, 'lan1', ['10.2.2.2/24']) }, 3999);
      play(tracker, answers, request(tracker, LAN1, gateway, gateway, ROUTER, 4000), 4000, 1500);
      assert.equal(placeOf(tracker)?.[0], isHost ? 'settled' : 'remembered');
      const said = request(tracker, LAN1, HOST, HOST, ROUTER, 5500);
      play(tracker, answers, said, 5500);
      assert.equal(placeOf(tracker)?.[0], isHost ? 'settled' : 'remembered', 'whatever it says');
    }
  });

  it('by its MAC, which is one of virtual routers (RFC 9568 section 7.3), has only what answers nobody', () => {
    for (const isHost of [false, true]) {
      const tracker = makeRouter();
      const answers: Answers = (iface, { senderIp, targetIp }) =>
        iface === LAN1 && targetIp === ip(HOST) && (isHost || senderIp !== 0) ? VIRTUAL : undefined;
      play(tracker, answers, request(tracker, LAN1, HOST, HOST, VIRTUAL), 1000);
      assert.deepEqual(placeOf(tracker), isHost ? ['settled', LAN1, VIRTUAL] : undefined);
    }
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
