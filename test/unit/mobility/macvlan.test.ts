import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, Link } from '../../../src/mobility/events.js';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import { MAC_ZERO, type Mac, writeIpv4, writeMac } from '../../../src/wire/addresses.js';
import { ARP_REQUEST, type ArpFrame, decodeArp, encodeArp } from '../../../src/wire/arp.js';
import { ETHER_TYPE_IPV4 } from '../../../src/wire/ethernet.js';
import { HOST_MAC, LAN0, LAN1, ip, link, macOf, makeRouter, reply, request } from './small-router.js';

/**
 * A LAN is an interface and every macvlan on it: a virtual router (VRRP, RFC 9568) has its address and its MAC on a
 * macvlan. Its address is ours there, and what hosts learn of us is its MAC, always.
 */

const VRRP = 20;
const VIRTUAL_MAC = 0x00005e000107 as Mac;
const VISITOR = '10.9.9.5';
const SUBNETS = ['10.1.1', '10.9.9']
  .map((net) => `[[subnet]]\nprefix = "${net}.0/24"\ngateway = "${net}.1"\n`)
  .join('');

const macvlan = (addresses: readonly string[], change: Partial<Link> = {}) =>
  link(VRRP, 'vrrp7', addresses, { mac: VIRTUAL_MAC, type: 'macvlan', lower: LAN0, ...change });

/** lan0 has an address of its own, 10.1.1.2; the gateway is on a macvlan. */
function virtualRouter(change: Partial<Link> = {}, addresses = ['10.1.1.1/32']): HostTracker {
  const tracker = makeRouter(SUBNETS);
  tracker.handle({ kind: 'link', link: link(LAN0, 'lan0', ['10.1.1.2/24']) }, 0);
  tracker.handle({ kind: 'link', link: macvlan(addresses, change) }, 0);
  return tracker;
}

const sent = (actions: readonly Action[]): ArpFrame[] =>
  actions.flatMap((action) => {
    const frame = action.kind === 'send' ? decodeArp(action.bytes) : 'none';
    return typeof frame === 'string' ? [] : [frame];
  });
const macsOf = (actions: readonly Action[]) => [
  ...new Set(sent(actions).flatMap(({ source, senderMac }) => [source, senderMac])),
];
const drops = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === 'drop' ? [action.reason] : []));

describe('the address of a macvlan', () => {
  it('is answered by the kernel there, so we are silent', () => {
    const actions = request(virtualRouter(), LAN0, '10.1.1.9', '10.1.1.1');
    assert.deepEqual(
      sent(actions).filter(({ opcode }) => opcode !== ARP_REQUEST),
      [],
    );
  });

  it('is answered by us when the reverse-path filter of the macvlan rejects the visitor', () => {
    for (const [rpFilter, answers] of [
      [0, 0],
      [1, 1],
    ] as const) {
      const tracker = virtualRouter({ rpFilter });
      request(tracker, LAN0, VISITOR, VISITOR);
      reply(tracker, LAN0, VISITOR, '10.9.9.1');
      assert.equal(tracker.host(ip(VISITOR))?.claimed, true);
      const actions = request(tracker, LAN0, VISITOR, '10.1.1.1', HOST_MAC, 2000);
      assert.equal(sent(actions).filter(({ opcode }) => opcode !== ARP_REQUEST).length, answers);
    }
  });

  it('makes its subnet the home subnet of the LAN', () => {
    const tracker = makeRouter(SUBNETS);
    tracker.handle({ kind: 'link', link: link(LAN0, 'lan0', []) }, 0);
    tracker.handle({ kind: 'link', link: macvlan(['10.1.1.1/24']) }, 0);
    assert.deepEqual(drops(request(tracker, LAN0, '10.1.1.9', '10.1.1.1')), []);
    reply(tracker, LAN0, '10.1.1.9', '10.1.1.1');
    assert.equal(tracker.host(ip('10.1.1.9'))?.state, 'home');
  });

  it('is the name in which hosts at home are asked: that repairs their entry for it (RFC 826)', () => {
    const [probe] = sent(request(virtualRouter(), LAN0, '10.1.1.9', '10.1.1.7'));
    assert.deepEqual([probe?.senderIp, probe?.senderMac], [ip('10.1.1.1'), VIRTUAL_MAC]);
  });
});

describe('the MAC of a macvlan', () => {
  it('is ours: what it says is no host, what is sent to it is not misdirected', () => {
    const tracker = virtualRouter();
    assert.deepEqual(drops(request(tracker, LAN0, '10.1.1.1', '10.1.1.9', VIRTUAL_MAC)), ['own-frame']);
    request(tracker, LAN0, VISITOR, VISITOR);
    reply(tracker, LAN0, VISITOR, '10.9.9.1');
    assert.equal(tracker.host(ip(VISITOR))?.claimed, true);
    const repairs = (destination: Mac) => {
      const bytes = new Uint8Array(34);
      writeMac(bytes, 0, destination);
      writeMac(bytes, 6, HOST_MAC);
      bytes.set([ETHER_TYPE_IPV4 >> 8, ETHER_TYPE_IPV4 & 255, 0x45], 12);
      writeIpv4(bytes, 26, ip(VISITOR));
      writeIpv4(bytes, 30, ip('10.2.2.1'));
      return sent(tracker.handle({ kind: 'misdirected-packet', iface: LAN0, bytes }, 2000)).length;
    };
    assert.equal(repairs(VIRTUAL_MAC), 0);
    assert.equal(repairs(0x020000000077 as Mac), 1);
  });

  it('is the one that we speak with, as Ethernet source and as ARP sender (RFC 9568 section 8.1.2)', () => {
    const tracker = virtualRouter();
    assert.deepEqual(macsOf(request(tracker, LAN0, VISITOR, VISITOR)), [VIRTUAL_MAC], 'the proof');
    reply(tracker, LAN0, VISITOR, '10.9.9.1');
    const answers = request(tracker, LAN0, VISITOR, '10.9.9.1', HOST_MAC, 1200);
    assert.equal(sent(answers).length, 1, 'for a gateway of another subnet');
    assert.deepEqual(macsOf(answers), [VIRTUAL_MAC]);
    assert.deepEqual(macsOf(request(tracker, LAN1, '10.9.9.6', '10.9.9.6')), [macOf(LAN1)], 'another LAN');
  });

  it('and not after the cable was out: the first question then is one whose answer the kernel hears, too', () => {
    const tracker = virtualRouter();
    request(tracker, LAN0, '10.1.1.9', '10.1.1.1');
    reply(tracker, LAN0, '10.1.1.9', '10.1.1.1');
    const cable = (carrier: boolean, now: number) =>
      [VRRP, LAN0].flatMap((index) => {
        const known = tracker.link(index);
        assert.ok(known);
        return tracker.handle({ kind: 'link', link: { ...known, carrier } }, now);
      });
    cable(false, 2000);
    assert.equal(tracker.host(ip('10.1.1.9'))?.state, 'remembered');
    const asked = [...cable(true, 3000)];
    for (let at = tracker.nextDeadline(); at !== undefined && at < 3200; at = tracker.nextDeadline())
      asked.push(...tracker.handle({ kind: 'tick' }, Math.max(at, 3000)));
    const probes = sent(asked).filter(
      ({ opcode, targetIp }) => opcode === ARP_REQUEST && targetIp === ip('10.1.1.9'),
    );
    const sources = probes.map(({ senderIp, senderMac }) => [senderIp, senderMac]);
    assert.deepEqual(sources.slice(0, 2), [
      [ip('10.1.1.2'), macOf(LAN0)],
      [ip('10.1.1.1'), VIRTUAL_MAC],
    ]);
  });

  it('only while it holds the gateway and is operational: the backup of FRR has the address without a carrier', () => {
    for (const tracker of [virtualRouter({}, []), virtualRouter({ carrier: false })])
      assert.deepEqual(macsOf(request(tracker, LAN0, VISITOR, VISITOR)), [macOf(LAN0)]);
  });

  it('is told to hosts that know another one, as soon as it holds the gateway', () => {
    const tracker = virtualRouter({}, []);
    request(tracker, LAN0, VISITOR, VISITOR);
    reply(tracker, LAN0, VISITOR, '10.9.9.1');
    const actions = [...tracker.handle({ kind: 'link', link: macvlan(['10.1.1.1/32']) }, 1100)];
    for (let now = 1100; now < 1200; now = Math.max(now + 1, tracker.nextDeadline() ?? now))
      actions.push(...tracker.handle({ kind: 'tick' }, now));
    const [probe] = sent(actions);
    assert.deepEqual([probe?.targetIp, probe?.senderMac], [ip(VISITOR), VIRTUAL_MAC]);
  });

  it('of a guest is none of ours: macvtap, or a macvlan that is being made for a container', () => {
    for (const change of [{ type: 'macvtap', lower: undefined }, { up: false }]) {
      const tracker = virtualRouter(change, []);
      assert.notDeepEqual(drops(request(tracker, LAN0, VISITOR, VISITOR, VIRTUAL_MAC)), ['own-frame']);
    }
  });
});

it('a next hop by a macvlan is on the same LAN: its sender may be a host there', () => {
  const route = {
    prefix: { ip: ip('10.50.0.0'), length: 24 },
    table: 254,
    protocol: 188,
    metric: 20,
    type: 'unicast',
    via: ip('10.1.1.9'),
  } as const;
  for (const [iface, expected] of [
    [VRRP, []],
    [2, ['sender-ip-next-hop']],
  ] as const) {
    const tracker = virtualRouter();
    tracker.handle({ kind: 'route', change: 'add', route: { ...route, iface }, initial: true }, 0);
    assert.deepEqual(drops(request(tracker, LAN0, '10.1.1.9', '10.1.1.1')), expected);
  }
});

it('a gateway that we hold is not left to another router that uses it: its VIP may have two speakers', () => {
  const other = 0x020000000066 as Mac;
  const tracker = virtualRouter({ rpFilter: 1 });
  request(tracker, LAN0, '10.1.1.1', '10.1.1.9', other);
  const answer = encodeArp({
    destination: VIRTUAL_MAC,
    source: other,
    opcode: 2,
    senderMac: other,
    senderIp: ip('10.1.1.1'),
    targetMac: MAC_ZERO,
    targetIp: ip('10.1.1.2'),
  });
  tracker.handle({ kind: 'frame', iface: LAN0, bytes: answer }, 1010);
  assert.equal([...tracker.otherRouters()].length, 1);
  request(tracker, LAN0, VISITOR, VISITOR, HOST_MAC, 1100);
  const asked = request(tracker, LAN0, VISITOR, '10.1.1.1', HOST_MAC, 1200);
  assert.equal(sent(asked).filter(({ opcode }) => opcode !== ARP_REQUEST).length, 1);
});
