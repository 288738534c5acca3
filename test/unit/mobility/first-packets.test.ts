import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Action } from '../../../src/mobility/events.js';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import { formatIp } from '../../../src/wire/addresses.js';
import { ARP_REPLY, decodeArp, encodeArp } from '../../../src/wire/arp.js';
import { HOST_MAC, LAN0, LAN1, ip, link, macOf, makeRouter, request } from './small-router.js';
import { OTHERS, SHARED, makeRouter6, ownLinkLocal, sent6, solicit } from './small-router6.js';

/** What a visitor on lan1, where the router has 10.2.2.1, is told and when (design.md 3.2 "First packets"). */

const VISITOR = '10.1.1.5';
const GATEWAY = '10.1.1.1';
const CONFIG = `[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "${GATEWAY}"\n`;

/** Frames to the visitor, each as `purpose of the sender address`. */
function frames(actions: readonly Action[]): string[] {
  return actions.flatMap((action) => {
    if (action.kind !== 'send' || action.iface !== LAN1) return [];
    const arp = decodeArp(action.bytes);
    assert.ok(typeof arp !== 'string');
    return [`${action.purpose} ${formatIp(arp.senderIp)}`];
  });
}

function replies(tracker: HostTracker, to: string, now: number): readonly Action[] {
  const bytes = encodeArp({
    destination: macOf(LAN1),
    source: HOST_MAC,
    opcode: ARP_REPLY,
    senderMac: HOST_MAC,
    senderIp: ip(VISITOR),
    targetMac: macOf(LAN1),
    targetIp: ip(to),
  });
  return tracker.handle({ kind: 'frame', iface: LAN1, bytes }, now);
}

function asks(tracker: HostTracker, target: string, now: number): readonly Action[] {
  return request(tracker, LAN1, VISITOR, target, HOST_MAC, now);
}

const installed = { kind: 'installed', ip: ip(VISITOR), age: 'fresh' } as const;

it('a visitor that asks for its gateway is answered when its route is in the kernel', () => {
  const tracker = makeRouter(CONFIG);
  assert.deepEqual(frames(asks(tracker, GATEWAY, 1000)), ['probe 10.2.2.1']);
  const proven = replies(tracker, '10.2.2.1', 1001);
  assert.ok(proven.some(({ kind }) => kind === 'claim'));
  assert.deepEqual(frames(proven), []);
  const told = tracker.handle(installed, 1004);
  assert.deepEqual(frames(told), [`answer ${GATEWAY}`]);
  assert.ok(told.some(({ kind }) => kind === 'answered'));
  assert.deepEqual(frames(tracker.handle(installed, 1005)), []);
  assert.deepEqual(frames(tracker.handle({ kind: 'tick' }, 1051)), []);
});

it('where the gateway is the only address of the router, it is asked from no address first', () => {
  const tracker = makeRouter('[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "192.0.2.1"\n');
  for (const [index, name] of [
    [LAN0, 'lan0'],
    [LAN1, 'lan1'],
  ] as const)
    tracker.handle({ kind: 'link', link: link(index, name, []) }, 1);
  assert.deepEqual(frames(asks(tracker, '192.0.2.1', 1000)), ['probe 0.0.0.0']);
  const proven = replies(tracker, '0.0.0.0', 1001);
  assert.ok(proven.some(({ kind }) => kind === 'claim'));
  assert.deepEqual(frames(proven), []);
  assert.deepEqual(frames(tracker.handle(installed, 1004)), ['answer 192.0.2.1']);
});

it('so are its other questions, each once', () => {
  const tracker = makeRouter(CONFIG);
  for (const target of [GATEWAY, '192.0.2.1', GATEWAY]) asks(tracker, target, 1000);
  replies(tracker, '10.2.2.1', 1001);
  assert.deepEqual(frames(tracker.handle(installed, 1002)), [`answer ${GATEWAY}`, 'answer 192.0.2.1']);
});

it('one that does not answer such a proof is asked in the gateway’s name and answered after 50 ms', () => {
  const tracker = makeRouter(CONFIG);
  asks(tracker, GATEWAY, 1000);
  assert.deepEqual(frames(tracker.handle({ kind: 'tick' }, 1049)), []);
  assert.equal(tracker.nextDeadline(), 1050);
  const late = frames(tracker.handle({ kind: 'tick' }, 1050));
  assert.deepEqual(late.sort(), [`answer ${GATEWAY}`, `probe ${GATEWAY}`]);
  assert.ok(replies(tracker, GATEWAY, 1051).some(({ kind }) => kind === 'claim'));
});

it('a late answer to the first question counts', () => {
  const tracker = makeRouter(CONFIG);
  asks(tracker, GATEWAY, 1000);
  tracker.handle({ kind: 'tick' }, 1050);
  assert.ok(replies(tracker, '10.2.2.1', 1060).some(({ kind }) => kind === 'claim'));
});

it('an answer in a name in which nothing was asked yet is none', () => {
  const tracker = makeRouter(CONFIG);
  asks(tracker, GATEWAY, 1000);
  assert.ok(!replies(tracker, GATEWAY, 1001).some(({ kind }) => kind === 'claim'));
});

it('a visitor that only announces itself is proven in the gateway’s name: that repairs a stale entry', () => {
  const tracker = makeRouter(CONFIG);
  assert.deepEqual(frames(asks(tracker, VISITOR, 1000)), [`probe ${GATEWAY}`]);
  assert.deepEqual(frames(replies(tracker, GATEWAY, 1001)), []);
  // It asks a moment later: nothing is held back.
  assert.deepEqual(frames(asks(tracker, GATEWAY, 1001)), [`answer ${GATEWAY}`]);
});

it('a visitor for which there is no room is answered all the same', () => {
  const tracker = makeRouter(`max_hosts = 1\n${CONFIG}`);
  asks(tracker, GATEWAY, 1000);
  const command = { name: 'attach', mac: macOf(77), ips: [ip('10.1.1.77')], interface: 'lan1' } as const;
  tracker.handle({ kind: 'command', token: 1, command }, 1000);
  assert.deepEqual(frames(replies(tracker, '10.2.2.1', 1001)), [`answer ${GATEWAY}`]);
  assert.equal(tracker.host(ip(VISITOR)), undefined);
});

it('of several IPv6 gateways none is named before the route is there, whichever the visitor asks for', () => {
  for (const gateway of [SHARED, OTHERS]) {
    const first = sent6(solicit(makeRouter6(), LAN1, '2001:db8:1::5', gateway));
    const names = first.flatMap(({ iface, sourceIp }) => (iface === LAN1 ? [formatIp(sourceIp)] : []));
    assert.deepEqual(names, [ownLinkLocal(LAN1)], gateway);
  }
});
