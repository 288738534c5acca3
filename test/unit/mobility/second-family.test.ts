import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import { arpDriver } from '../../../src/mobility/arp/driver.js';
import type { Action, Event, Link } from '../../../src/mobility/events.js';
import type { FamilyDriver } from '../../../src/mobility/neighbour/driver.js';
import type { NeighbourMessage } from '../../../src/mobility/neighbour/message.js';
import type { Policy } from '../../../src/mobility/policy.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import {
  type Ip,
  type Ipv6,
  MAC_BROADCAST,
  type Mac,
  type Prefix,
  isUnspecified,
  parseIp,
  parseMac,
  parsePrefix,
  readMac,
  writeMac,
} from '../../../src/wire/addresses.js';
import { ETHERNET_HEADER_BYTES, decodeEthernet, writeEthernet } from '../../../src/wire/ethernet.js';

/**
 * A neighbour protocol that nobody uses: EtherType (IEEE 802 local experimental), opcode, MAC of the sender and three
 * IPv6 addresses. The core is the same for it as for ARP.
 */
const MESSAGE = 0x88b5;
const PACKET = 0x88b6;
const [REQUEST, REPLY, PRESENCE] = [1, 2, 3];
const UNSPECIFIED = parseIp('::') as Ipv6;

interface Fields {
  readonly etherType?: number;
  readonly opcode: number;
  readonly source: Mac;
  readonly destination: Mac;
  readonly mac?: Mac;
  readonly senderIp: Ip;
  readonly targetIp: Ip;
}

function encode({
  etherType = MESSAGE,
  opcode,
  source,
  destination,
  mac,
  senderIp,
  targetIp,
}: Fields): Uint8Array {
  const bytes = new Uint8Array(60);
  writeEthernet(bytes, { source, destination, etherType });
  bytes[ETHERNET_HEADER_BYTES] = opcode;
  writeMac(bytes, 15, mac ?? source);
  for (let at = 0; at < 16; at++) {
    bytes[21 + at] = (senderIp as Ipv6).charCodeAt(at);
    bytes[37 + at] = (targetIp as Ipv6).charCodeAt(at);
  }
  return bytes;
}

function fieldsOf(bytes: Uint8Array): Fields | undefined {
  const ethernet = decodeEthernet(bytes);
  if (ethernet === undefined || bytes.length < 53) return undefined;
  const address = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 16)) as Ipv6;
  const opcode = bytes[ETHERNET_HEADER_BYTES] as number;
  return { ...ethernet, opcode, mac: readMac(bytes, 15), senderIp: address(21), targetIp: address(37) };
}

const driver: FamilyDriver = {
  family: 'ipv6',
  messageEtherTypes: [MESSAGE],
  packetEtherType: PACKET,
  controlAddress: parseIp('2001:db8:ffff::1') as Ip,

  decode(bytes): NeighbourMessage | 'truncated' {
    const fields = fieldsOf(bytes);
    if (fields === undefined) return 'truncated';
    const { opcode, source, destination, mac = source, senderIp: ip, targetIp } = fields;
    const none = { form: undefined, source, destination, mac, answeredTo: undefined } as const;
    if (opcode === PRESENCE)
      return { kind: 'presence', ...none, form: 'rarp', ip: undefined, target: undefined };
    if (isUnspecified(ip)) return { kind: 'acd-probe', ...none, ip, target: targetIp };
    const sighting = {
      kind: 'sighting',
      source,
      destination,
      mac,
      ip,
      target: undefined,
      answeredTo: undefined,
    } as const;
    if (ip === targetIp) return { ...sighting, form: 'announcement' };
    if (opcode === REQUEST) return { ...sighting, form: 'request', target: targetIp };
    return { ...sighting, form: 'reply', answeredTo: targetIp };
  },

  decodePacket(bytes) {
    const fields = fieldsOf(bytes);
    if (fields === undefined) return undefined;
    const { source, destination, senderIp: sourceIp, targetIp: destinationIp } = fields;
    return { source, destination, sourceIp, destinationIp };
  },

  probe: (own, mac, senderIp, targetIp) =>
    encode({ opcode: REQUEST, source: own, destination: mac, senderIp, targetIp }),
  answer: (own, senderIp, mac, targetIp) =>
    encode({ opcode: REPLY, source: own, destination: mac, senderIp, targetIp }),
  announce: (own, ip) =>
    encode({ opcode: REQUEST, source: own, destination: MAC_BROADCAST, senderIp: ip, targetIp: ip }),
  repair: (own, destination, host, neighbour, mac) =>
    encode({ opcode: REQUEST, source: own, destination, mac, senderIp: neighbour, targetIp: host }),
};

const ip = (text: string): Ip => parseIp(text) as Ip;
const mac = (text: string): Mac => parseMac(text) as Mac;
const GUEST = ip('2001:db8:1::5');
const GUEST_MAC = mac('02:00:00:00:00:05');
const NEIGHBOUR = ip('2001:db8:1::9');
const NEIGHBOUR_MAC = mac('02:00:00:00:00:09');
const GATEWAY = ip('2001:db8:1::1');
const [HOME, FOREIGN] = [10, 11];
const OWN = { [HOME]: mac('02:00:00:00:01:10'), [FOREIGN]: mac('02:00:00:00:01:11') } as Record<number, Mac>;

function lan(index: number, name: string, address: string): Link {
  return {
    index,
    name,
    mac: OWN[index] as Mac,
    up: true,
    carrier: true,
    master: undefined,
    type: 'bridge',
    addresses: [parsePrefix(address) as Prefix],
    rpFilter: 0,
  };
}

const prefix = parsePrefix('2001:db8:1::/64') as Prefix;
const configured = parseConfig('[[interface]]\nname = "lan*"\n').policy;
const policy: Policy = { ...configured, subnets: [{ prefix, gateways: [GATEWAY] }] };

const PLAIN = { linkLocal: undefined, isRouter: false, isOverride: false };

describe('a second address family is a driver and nothing else', () => {
  let tracker: HostTracker;
  let now: number;

  /** Hands in an event and keeps everything that follows from it. */
  function handle(event: Event): readonly Action[] {
    return tracker.handle(event, now);
  }

  function start(drivers?: readonly FamilyDriver[]): void {
    tracker = drivers === undefined ? new HostTracker(policy) : new HostTracker(policy, drivers);
    now = 1000;
    handle({ kind: 'link', link: lan(HOME, 'lan0', '2001:db8:1::1/64') });
    handle({ kind: 'link', link: lan(FOREIGN, 'lan1', '2001:db8:2::1/64') });
    handle({ kind: 'capture', iface: HOME, open: true });
    handle({ kind: 'capture', iface: FOREIGN, open: true });
  }

  beforeEach(() => start([arpDriver, driver]));

  const frame = (iface: number, bytes: Uint8Array) => handle({ kind: 'frame', iface, bytes });

  /** What of our own was sent, decoded. */
  function sent(actions: readonly Action[]): (Fields & { purpose: string; iface: number })[] {
    return actions.flatMap((action) =>
      action.kind === 'send'
        ? [{ ...(fieldsOf(action.bytes) as Fields), purpose: action.purpose, iface: action.iface }]
        : [],
    );
  }

  /** Lets time pass until `until` is true of the actions of a tick. */
  function wait(until: (actions: readonly Action[]) => boolean): readonly Action[] {
    for (let ticks = 0; ticks < 100; ticks++) {
      const next = tracker.nextDeadline();
      assert.ok(next !== undefined, 'nothing is waited for');
      now = Math.max(now, next);
      const actions = handle({ kind: 'tick' });
      if (until(actions)) return actions;
    }
    return assert.fail('it does not come');
  }

  const announcement = () => driver.announce(GUEST_MAC, GUEST, undefined);
  /** The guest answers a question that came in the name of `asker`. */
  const reply = (iface: number, asker: Ip) =>
    frame(iface, driver.answer(GUEST_MAC, GUEST, OWN[iface] as Mac, asker, PLAIN));
  const claims = (actions: readonly Action[]) => actions.filter(({ kind }) => kind === 'claim');

  /** A visitor on lan1 that has proven itself. */
  function learnVisitor(): void {
    const asked = sent(frame(FOREIGN, announcement())).find(({ iface }) => iface === FOREIGN);
    assert.ok(asked !== undefined);
    assert.equal(claims(reply(FOREIGN, asked.senderIp)).length, 1);
  }

  it('a sighting is asked about in the name of the gateway, and the answer makes a claim', () => {
    const [asked] = sent(frame(FOREIGN, announcement()));
    assert.ok(asked !== undefined);
    assert.deepEqual(
      [asked.purpose, asked.opcode, asked.senderIp, asked.targetIp, asked.destination],
      ['probe', REQUEST, GATEWAY, GUEST, GUEST_MAC],
    );
    now += 3;
    const [claim] = claims(reply(FOREIGN, asked.senderIp));
    assert.deepEqual(claim, {
      kind: 'claim',
      ip: GUEST,
      iface: FOREIGN,
      dev: 'lan1',
      mac: GUEST_MAC,
      age: 'fresh',
    });
  });

  it('an answer in another name is none', () => {
    frame(FOREIGN, announcement());
    assert.deepEqual(claims(reply(FOREIGN, NEIGHBOUR)), []);
  });

  it('a quiet host is asked by keepalive, kept as long as it answers and withdrawn when it does not', () => {
    learnVisitor();
    const isProbe = (actions: readonly Action[]) => sent(actions).some(({ purpose }) => purpose === 'probe');
    const [asked] = sent(wait(isProbe));
    assert.ok(asked !== undefined);
    assert.equal(asked.targetIp, GUEST);
    reply(FOREIGN, asked.senderIp);
    assert.equal(tracker.host(GUEST)?.claimed, true);
    const lost = wait((actions) => actions.some(({ kind }) => kind === 'release'));
    assert.ok(lost.some((action) => action.kind === 'transition' && action.cause === 'keepalive-lost'));
  });

  it('its home LAN is told where it is, and its neighbours there are answered', () => {
    learnVisitor();
    const isAnnounced = (actions: readonly Action[]) =>
      sent(actions).some(({ purpose }) => purpose === 'announce');
    const [announced] = sent(wait(isAnnounced)).filter(({ purpose }) => purpose === 'announce');
    assert.deepEqual([announced?.iface, announced?.senderIp, announced?.source], [HOME, GUEST, OWN[HOME]]);
    const asks = driver.probe(NEIGHBOUR_MAC, MAC_BROADCAST, NEIGHBOUR, GUEST);
    const answer = sent(frame(HOME, asks)).find(({ purpose }) => purpose === 'answer');
    assert.deepEqual(
      [answer?.opcode, answer?.senderIp, answer?.targetIp, answer?.destination],
      [REPLY, GUEST, NEIGHBOUR, NEIGHBOUR_MAC],
    );
  });

  it('a packet to a neighbour of the old LAN has the neighbour repaired', () => {
    learnVisitor();
    const bytes = encode({
      etherType: PACKET,
      opcode: 0,
      source: GUEST_MAC,
      destination: NEIGHBOUR_MAC,
      senderIp: GUEST,
      targetIp: GATEWAY,
    });
    const [repair] = sent(handle({ kind: 'misdirected-packet', iface: FOREIGN, bytes }));
    assert.deepEqual(
      [repair?.purpose, repair?.senderIp, repair?.mac, repair?.targetIp],
      ['repair', GATEWAY, OWN[FOREIGN], GUEST],
    );
  });

  it('an ACD probe is neither learned nor answered, and its place is asked a moment later', () => {
    const bytes = driver.probe(GUEST_MAC, MAC_BROADCAST, UNSPECIFIED, GUEST);
    assert.deepEqual(sent(frame(FOREIGN, bytes)), []);
    const [asked] = sent(wait((actions) => sent(actions).length > 0));
    assert.deepEqual([asked?.targetIp, asked?.destination], [GUEST, GUEST_MAC]);
  });

  it('a MAC without an address is asked for what other routers claim, and for the control address', () => {
    const claim = { prefix: { ip: GUEST, length: 128 }, table: 254, protocol: 186, metric: 20 } as const;
    const via = { type: 'unicast', iface: 2, via: ip('2001:db8:9::2') } as const;
    handle({ kind: 'route', change: 'add', route: { ...claim, ...via }, initial: false });
    wait(() => tracker.host(GUEST)?.state === 'away');
    const presence = encode({
      opcode: PRESENCE as number,
      source: GUEST_MAC,
      destination: MAC_BROADCAST,
      senderIp: UNSPECIFIED,
      targetIp: UNSPECIFIED,
    });
    const asked = sent(frame(FOREIGN, presence)).map(({ targetIp }) => targetIp);
    assert.deepEqual(asked, [driver.controlAddress, GUEST]);
  });

  it('without its driver a family cannot be asked, which is not the same as silence', () => {
    start();
    const [drop] = frame(FOREIGN, announcement());
    assert.ok(drop?.kind === 'drop' && drop.reason === 'not-arp');
    const route = {
      prefix: { ip: GUEST, length: 128 },
      table: 254,
      protocol: 186,
      metric: 20,
      type: 'unicast',
      iface: 2,
      via: ip('2001:db8:9::2'),
    } as const;
    handle({ kind: 'route', change: 'add', route, initial: false });
    assert.equal(tracker.host(GUEST)?.state, 'away', 'at once: there is nobody to wait for');
    handle({
      kind: 'command',
      token: 1,
      command: { name: 'probe', ip: GUEST },
    });
    assert.deepEqual(sent(handle({ kind: 'tick' })), []);
  });
});
