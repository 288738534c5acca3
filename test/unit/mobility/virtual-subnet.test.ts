import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action } from '../../../src/mobility/events.js';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import { MAC_BROADCAST, type Mac, writeIpv4, writeMac } from '../../../src/wire/addresses.js';
import { ARP_REPLY, type ArpFrame, decodeArp } from '../../../src/wire/arp.js';
import { ETHER_TYPE_IPV4 } from '../../../src/wire/ethernet.js';
import { HOST_MAC, LAN0, LAN1, ip, link, macOf, makeRouter, reply, request } from './small-router.js';

/** A /32 of a routing protocol inside a home subnet means "elsewhere", whether the host was ever here or not (RFC 7814). */

const CONFIG = 'learn = "all"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.1"\n';
const ELSEWHERE = '10.1.1.9';

function remote(tracker: HostTracker, address: string, change: 'add' | 'delete', now: number) {
  const route = {
    prefix: { ip: ip(address), length: 32 },
    table: 254,
    protocol: 188,
    metric: 20,
    type: 'unicast',
    iface: 2,
    via: ip('192.0.2.2'),
  } as const;
  return tracker.handle({ kind: 'route', change, route, initial: false }, now);
}

const frames = (actions: readonly Action[]): ArpFrame[] =>
  actions.flatMap((action) => {
    const frame = action.kind === 'send' ? decodeArp(action.bytes) : 'none';
    return typeof frame === 'string' ? [] : [frame];
  });
const answered = (actions: readonly Action[]) =>
  frames(actions).flatMap(({ opcode, senderIp }) => (opcode === ARP_REPLY ? [senderIp] : []));
/** Lets time pass; nobody answers. */
function pass(tracker: HostTracker, from: number, ms: number): Action[] {
  const actions: Action[] = [];
  for (let now = from; now < from + ms; ) {
    now = Math.min(Math.max(now, tracker.nextDeadline() ?? Infinity), from + ms);
    actions.push(...tracker.handle({ kind: 'tick' }, now));
  }
  return actions;
}
const announced = (actions: readonly Action[], iface: number) =>
  actions.filter(
    (action) => action.kind === 'send' && action.purpose === 'announce' && action.iface === iface,
  ).length;

describe('a host that is known only by the claim of another router', () => {
  it('is answered for at once; a thousand of them cost no frame', () => {
    const tracker = makeRouter(`${CONFIG}`);
    const sent: Action[] = [];
    for (let i = 0; i < 200; i++) sent.push(...remote(tracker, `10.1.1.${i + 20}`, 'add', 1000));
    sent.push(...pass(tracker, 1000, 3000));
    assert.equal(frames(sent).length, 0);
    for (let i = 0; i < 200; i++) {
      const target = `10.1.1.${i + 20}`;
      assert.deepEqual(answered(request(tracker, LAN0, '10.1.1.5', target, HOST_MAC, 5000)), [ip(target)]);
    }
    remote(tracker, '10.1.1.20', 'delete', 6000);
    pass(tracker, 6000, 2000);
    assert.deepEqual(answered(request(tracker, LAN0, '10.1.1.5', '10.1.1.20', HOST_MAC, 8100)), []);
  });

  it('is answered for although the table of hosts is full, or its claim is older than our address', () => {
    const full = makeRouter(`${CONFIG}[policy.limits]\nmax_hosts = 1\n`);
    request(full, LAN0, '10.1.1.5', '10.1.1.5');
    reply(full, LAN0, '10.1.1.5', '10.1.1.1');
    remote(full, ELSEWHERE, 'add', 1100);
    assert.equal(full.host(ip(ELSEWHERE)), undefined);
    assert.deepEqual(answered(request(full, LAN0, '10.1.1.5', ELSEWHERE, HOST_MAC, 1200)), [ip(ELSEWHERE)]);

    const late = makeRouter(CONFIG);
    late.handle({ kind: 'link', link: link(LAN0, 'lan0', []) }, 100);
    remote(late, ELSEWHERE, 'add', 200);
    late.handle({ kind: 'link', link: link(LAN0, 'lan0', ['10.1.1.1/24']) }, 300);
    assert.deepEqual(answered(request(late, LAN0, '10.1.1.5', ELSEWHERE)), [ip(ELSEWHERE)]);
  });

  it('is not when the other router is on that LAN: it answers itself', () => {
    const tracker = makeRouter(`${CONFIG}[policy.limits]\nmax_hosts = 1\n`);
    request(tracker, LAN0, '10.1.1.5', '10.1.1.5');
    reply(tracker, LAN0, '10.1.1.5', '10.1.1.1');
    const route = {
      prefix: { ip: ip(ELSEWHERE), length: 32 },
      table: 254,
      protocol: 188,
      metric: 20,
      type: 'unicast',
      iface: LAN0,
      via: ip('10.1.1.2'),
    } as const;
    tracker.handle({ kind: 'route', change: 'add', route, initial: false }, 1100);
    assert.deepEqual(answered(request(tracker, LAN0, '10.1.1.5', ELSEWHERE, HOST_MAC, 1200)), []);
  });

  it('is answered for when its claim comes within a second after the question, and no later', () => {
    for (const [afterMs, expected] of [
      [900, [ip(ELSEWHERE)]],
      [1100, []],
    ] as const) {
      const tracker = makeRouter(CONFIG);
      assert.deepEqual(answered(request(tracker, LAN0, '10.1.1.5', ELSEWHERE)), []);
      const actions = remote(tracker, ELSEWHERE, 'add', 1000 + afterMs);
      assert.deepEqual(answered(actions), expected);
      assert.deepEqual(answered(remote(tracker, ELSEWHERE, 'delete', 2200)), []);
    }
  });

  it('is asked where the kernel has its MAC: it was here, and its departure is announced', () => {
    const tracker = makeRouter(CONFIG);
    const mac = 0x020000000077 as Mac;
    tracker.handle({ kind: 'neighbour', iface: LAN0, ip: ip(ELSEWHERE), mac }, 500);
    const [probe] = frames(remote(tracker, ELSEWHERE, 'add', 1000));
    assert.equal(probe?.destination, mac);
    const actions = pass(tracker, 1000, 3000);
    assert.equal(tracker.host(ip(ELSEWHERE))?.state, 'away');
    assert.equal(announced(actions, LAN0), 3);
  });

  it('is a challenger if it answers here all the same: the other router had it first', () => {
    const tracker = makeRouter(CONFIG);
    tracker.handle({ kind: 'neighbour', iface: LAN0, ip: ip(ELSEWHERE), mac: HOST_MAC }, 500);
    remote(tracker, ELSEWHERE, 'add', 1000);
    reply(tracker, LAN0, ELSEWHERE, '10.1.1.1', 1001);
    const actions = reply(tracker, LAN0, ELSEWHERE, '0.0.0.0', 1002);
    const { claim } = tracker.host(ip(ELSEWHERE)) ?? {};
    assert.ok(claim?.state === 'fresh' && claim.role === 'challenger');
    assert.ok(!actions.some(({ kind }) => kind === 'alarm'));
  });

  it('is proven when it appears here, by a question from nobody: a router beside us may answer for it', () => {
    const tracker = makeRouter(CONFIG);
    remote(tracker, ELSEWHERE, 'add', 900);
    const [first] = frames(request(tracker, LAN0, ELSEWHERE, ELSEWHERE));
    assert.equal(first?.senderIp, ip('10.1.1.1'), 'this one repairs its entry for the gateway (RFC 826)');
    const [second] = frames(reply(tracker, LAN0, ELSEWHERE, '10.1.1.1'));
    assert.equal(second?.senderIp, 0);
    assert.notEqual(tracker.host(ip(ELSEWHERE))?.state, 'fresh');
    reply(tracker, LAN0, ELSEWHERE, '0.0.0.0');
    assert.equal(tracker.host(ip(ELSEWHERE))?.state, 'fresh');
  });
});

describe('a subnet on two LANs of one router', () => {
  const both = () => {
    const tracker = makeRouter(CONFIG);
    tracker.handle({ kind: 'link', link: link(LAN1, 'lan1', ['10.1.1.1/24']) }, 100);
    return tracker;
  };

  it('the LAN that a host has left is told, whichever it is', () => {
    for (const [from, to] of [
      [LAN0, LAN1],
      [LAN1, LAN0],
    ] as const) {
      const tracker = both();
      request(tracker, from, ELSEWHERE, ELSEWHERE);
      reply(tracker, from, ELSEWHERE, '10.1.1.1');
      pass(tracker, 1010, 990);
      const actions = [...request(tracker, to, ELSEWHERE, ELSEWHERE, HOST_MAC, 2000)];
      actions.push(...reply(tracker, to, ELSEWHERE, '10.1.1.1', 2001));
      actions.push(...reply(tracker, to, ELSEWHERE, '0.0.0.0', 2002));
      assert.equal(tracker.host(ip(ELSEWHERE))?.attachment?.iface, to);
      actions.push(...pass(tracker, 2002, 2600));
      assert.deepEqual([announced(actions, from) > 0, announced(actions, to)], [true, 0]);
    }
  });

  it('both are told when it is behind another router', () => {
    const tracker = both();
    request(tracker, LAN1, ELSEWHERE, ELSEWHERE);
    reply(tracker, LAN1, ELSEWHERE, '10.1.1.1');
    pass(tracker, 1010, 990);
    remote(tracker, ELSEWHERE, 'add', 2000);
    const actions = pass(tracker, 2000, 3000);
    assert.equal(tracker.host(ip(ELSEWHERE))?.state, 'away');
    assert.deepEqual([announced(actions, LAN0), announced(actions, LAN1)], [3, 3]);
  });
});

it('a host that is lost with its port while another router claims it is away at once', () => {
  const tracker = makeRouter(CONFIG);
  request(tracker, LAN0, ELSEWHERE, ELSEWHERE);
  reply(tracker, LAN0, ELSEWHERE, '10.1.1.1');
  pass(tracker, 1010, 1500);
  remote(tracker, ELSEWHERE, 'add', 3000);
  tracker.handle({ kind: 'link', link: link(31, 'tap0', [], { master: LAN0 }) }, 3001);
  tracker.handle({ kind: 'fdb', bridge: LAN0, mac: HOST_MAC, port: 31 }, 3002);
  tracker.handle({ kind: 'link', link: link(31, 'tap0', [], { master: LAN0, carrier: false }) }, 3030);
  assert.equal(tracker.host(ip(ELSEWHERE))?.state, 'away');
  const asked = request(tracker, LAN0, '10.1.1.5', ELSEWHERE, 0x020000000078 as Mac, 3040);
  assert.deepEqual(answered(asked), [ip(ELSEWHERE)]);
  assert.ok(frames(asked).every(({ destination }) => destination !== MAC_BROADCAST));
});

it('a neighbour of a host that another router claims is told alone, while the host is still asked', () => {
  const tracker = makeRouter(CONFIG);
  const neighbour = 0x020000000078 as Mac;
  for (const [address, mac, now] of [
    [ELSEWHERE, HOST_MAC, 1000],
    ['10.1.1.5', neighbour, 1100],
  ] as const) {
    request(tracker, LAN0, address, address, mac, now);
    reply(tracker, LAN0, address, '10.1.1.1', now + 1, mac);
  }
  pass(tracker, 1110, 1500);
  const packet = (now: number) => {
    const bytes = new Uint8Array(34);
    writeMac(bytes, 0, HOST_MAC);
    writeMac(bytes, 6, neighbour);
    bytes.set([ETHER_TYPE_IPV4 >> 8, ETHER_TYPE_IPV4 & 255, 0x45], 12);
    writeIpv4(bytes, 26, ip('10.1.1.5'));
    writeIpv4(bytes, 30, ip(ELSEWHERE));
    return frames(tracker.handle({ kind: 'misdirected-packet', iface: LAN0, bytes }, now));
  };
  assert.deepEqual(packet(2900), [], 'beside each other they are none of our business');
  remote(tracker, ELSEWHERE, 'add', 3000);
  const [told, ...more] = [...packet(3001), ...packet(3002)];
  assert.deepEqual(
    [told?.destination, told?.senderIp, told?.senderMac, more],
    [neighbour, ip(ELSEWHERE), macOf(LAN0), []],
  );
});
