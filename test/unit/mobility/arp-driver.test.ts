import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { arpDriver } from '../../../src/mobility/arp/driver.js';
import { DROP_REASONS } from '../../../src/mobility/events.js';
import type { NeighbourMessage } from '../../../src/mobility/neighbour/message.js';
import {
  type Ip,
  MAC_BROADCAST,
  type Mac,
  formatIp,
  formatMac,
  parseIp,
  parseMac,
} from '../../../src/wire/addresses.js';
import { ETHER_TYPE_IPV4, writeEthernet } from '../../../src/wire/ethernet.js';
import * as golden from '../wire/golden.js';

const HOST = parseIp('10.1.1.5') as Ip;
const GATEWAY = parseIp('10.1.1.1') as Ip;
const NEIGHBOUR = parseIp('10.1.1.9') as Ip;
const HOST_MAC = parseMac('02:00:0a:01:01:05') as Mac;
const OWN = parseMac('02:00:0a:01:01:01') as Mac;
const NEIGHBOUR_MAC = parseMac('02:00:0a:01:01:09') as Mac;

/** A message in one line: kind, form, who, and whom it is about. */
function text({ kind, form, source, mac, ip, target, answeredTo }: NeighbourMessage): string {
  const sender = source === mac ? formatMac(mac) : `${formatMac(mac)} (${formatMac(source)})`;
  return [
    form ?? kind,
    `of ${sender}`,
    ip === undefined ? '' : ` ${formatIp(ip)}`,
    target === undefined ? '' : ` asks for ${formatIp(target)}`,
    answeredTo === undefined
      ? ''
      : ` answers ${answeredTo === 'anybody' ? answeredTo : formatIp(answeredTo)}`,
  ]
    .join(' ')
    .replace(/ +/g, ' ')
    .trim();
}

function decoded(bytes: Uint8Array): NeighbourMessage {
  const message = arpDriver.decode(bytes);
  assert.ok(typeof message !== 'string', `not decoded: ${String(message)}`);
  return message;
}

const PLAIN = { linkLocal: undefined, isRouter: false, isOverride: false };

describe('what a frame says (RFC 826, RFC 903, RFC 5227)', () => {
  const host = '02:00:0a:01:01:05';
  const frames = { ...golden.ARP_FRAMES, QEMU_RARP: golden.QEMU_RARP };
  const table: readonly (readonly [keyof typeof frames, string])[] = [
    ['LINUX_REQUEST', `request of ${host} 10.1.1.5 asks for 10.1.1.1`],
    ['LINUX_REPLY', 'reply of 02:00:0a:01:01:01 10.1.1.1 answers 10.1.1.5'],
    ['IPUTILS_UNSOLICITED_REQUEST', `announcement of ${host} 10.1.1.5`],
    ['IPUTILS_UNSOLICITED_REPLY', `announcement of ${host} 10.1.1.5`],
    ['IPUTILS_PROBE', `acd-probe of ${host} 0.0.0.0 asks for 10.1.1.77`],
    ['LINUX_ANNOUNCEMENT', `announcement of ${host} 10.1.1.5`],
    ['HABETS_UNSOLICITED_REQUEST', `announcement of ${host} 10.1.1.5`],
    ['HABETS_UNSOLICITED_REPLY', `announcement of ${host} 10.1.1.5`],
    ['QEMU_RARP', 'rarp of 52:54:00:12:34:56'],
  ];
  for (const [name, expected] of table) {
    it(`${name}: ${expected}`, () => assert.equal(text(decoded(frames[name])), expected));
  }

  it('a reply in the name of 0.0.0.0 is no probe', () => {
    const bytes = golden.LINUX_REPLY.slice();
    bytes.fill(0, 28, 32);
    assert.equal(text(decoded(bytes)), 'reply of 02:00:0a:01:01:01 0.0.0.0 answers 10.1.1.5');
  });

  it('a reply to 0.0.0.0 answers anybody: RFC 826 looks at the sender pair only', () => {
    const bytes = golden.LINUX_REPLY.slice();
    bytes.fill(0, 38, 42);
    assert.equal(text(decoded(bytes)), 'reply of 02:00:0a:01:01:01 10.1.1.1 answers anybody');
  });

  it('the Ethernet source is kept beside the MAC that the packet states', () => {
    const bytes = golden.LINUX_REQUEST.slice();
    bytes[11] = 0x66;
    assert.equal(text(decoded(bytes)), `request of ${host} (02:00:0a:01:01:66) 10.1.1.5 asks for 10.1.1.1`);
  });

  it('all messages have the same fields in the same order', () => {
    const [first, ...others] = table.map(([name]) => Object.keys(decoded(frames[name])));
    for (const other of others) assert.deepEqual(other, first);
  });

  it('a frame that is cut short says why, and never throws', () => {
    for (let length = 0; length < 42; length++) {
      assert.equal(arpDriver.decode(golden.LINUX_REQUEST.subarray(0, length)), 'truncated');
      assert.equal(arpDriver.decode(golden.QEMU_RARP.subarray(0, length)), 'truncated');
    }
  });

  it('whatever follows the Ethernet header, there is a message of the known shape or a reason', () => {
    const fields = Object.keys(decoded(golden.LINUX_REQUEST));
    const reasons = new Set<string>(DROP_REASONS);
    const [arp, rarp] = arpDriver.messageEtherTypes as [number, number];
    fc.assert(
      fc.property(
        fc.constantFrom(arp, rarp),
        fc.constantFrom([], [0, 1, 8, 0, 6, 4, 0]),
        fc.uint8Array({ maxLength: 64 }),
        (etherType, head, tail) => {
          const bytes = new Uint8Array(14 + head.length + tail.length);
          writeEthernet(bytes, { destination: OWN, source: HOST_MAC, etherType });
          bytes.set(head, 14);
          bytes.set(tail, 14 + head.length);
          const message = arpDriver.decode(bytes);
          if (typeof message === 'string') assert.ok(reasons.has(message), message);
          else assert.deepEqual(Object.keys(message), fields);
        },
      ),
    );
  });

  it('a packet names its addresses (RFC 791 section 3.1); an ARP frame is no packet', () => {
    const bytes = new Uint8Array(34);
    writeEthernet(bytes, { destination: NEIGHBOUR_MAC, source: HOST_MAC, etherType: ETHER_TYPE_IPV4 });
    bytes.set([0x45], 14);
    bytes.set([10, 1, 1, 5, 10, 1, 1, 9], 26);
    assert.deepEqual(arpDriver.decodePacket(bytes), {
      source: HOST_MAC,
      destination: NEIGHBOUR_MAC,
      sourceIp: HOST,
      destinationIp: NEIGHBOUR,
    });
    assert.equal(arpDriver.decodePacket(golden.LINUX_REQUEST), undefined);
  });
});

describe('what is sent', () => {
  /** The 42 bytes of Ethernet header and packet in hexadecimal; what follows is padding. */
  const hex = (bytes: Uint8Array) => {
    assert.ok(bytes.subarray(42).every((byte) => byte === 0));
    return Buffer.from(bytes.subarray(0, 42)).toString('hex');
  };

  it('a question to everybody is the request of a Linux host', () => {
    const bytes = arpDriver.probe(HOST_MAC, MAC_BROADCAST, HOST, GATEWAY);
    assert.equal(hex(bytes), hex(golden.LINUX_REQUEST.subarray(0, 42)));
  });

  it('a question to one host goes to its MAC alone (RFC 1122 section 2.3.2.1)', () => {
    const bytes = arpDriver.probe(OWN, HOST_MAC, GATEWAY, HOST);
    assert.equal(
      hex(bytes),
      '02000a01010502000a010101' + '08060001080006040001' + '02000a0101010a010101' + '0000000000000a010105',
    );
  });

  it('an answer is the reply of a Linux host', () => {
    assert.equal(
      hex(arpDriver.answer(OWN, GATEWAY, HOST_MAC, HOST, PLAIN)),
      hex(golden.LINUX_REPLY.subarray(0, 42)),
    );
  });

  it('an announcement is the one of a Linux host', () => {
    assert.equal(
      hex(arpDriver.announce(HOST_MAC, HOST, undefined)),
      hex(golden.LINUX_ANNOUNCEMENT.subarray(0, 42)),
    );
  });

  it('a repair is a unicast request that states the pair of the neighbour', () => {
    assert.equal(
      hex(arpDriver.repair(OWN, HOST_MAC, HOST, NEIGHBOUR, NEIGHBOUR_MAC)),
      '02000a01010502000a010101' + '08060001080006040001' + '02000a0101090a010109' + '0000000000000a010105',
    );
  });

  it('an answer comes back as a reply to the address in whose name was asked', () => {
    const asked = decoded(arpDriver.probe(OWN, HOST_MAC, GATEWAY, HOST));
    assert.equal(asked.target, HOST);
    const reply = decoded(arpDriver.answer(HOST_MAC, HOST, OWN, GATEWAY, PLAIN));
    assert.equal(reply.form, 'reply');
    assert.equal(reply.answeredTo, asked.ip);
  });

  it('an IPv6 address is a fault of the caller', () => {
    const six = parseIp('2001:db8::1') as Ip;
    assert.throws(() => arpDriver.announce(OWN, six, undefined), TypeError);
  });
});

it('an announcement by reply to all is no answer, a unicast one is: a forger cannot shout its proof', () => {
  const announcement = golden.IPUTILS_UNSOLICITED_REPLY.slice();
  assert.equal(decoded(announcement).answeredTo, undefined);
  announcement.set([0x02, 0, 0x0a, 1, 1, 1], 0);
  assert.equal(decoded(announcement).answeredTo, 'anybody');
});
