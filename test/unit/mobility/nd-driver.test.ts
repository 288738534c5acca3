import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DROP_REASONS } from '../../../src/mobility/events.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import type { NeighbourMessage } from '../../../src/mobility/neighbour/message.js';
import {
  type Ip,
  type Ipv6,
  MAC_BROADCAST,
  type Mac,
  formatIp,
  formatMac,
  parseIp,
  parseMac,
} from '../../../src/wire/addresses.js';
import { ETHER_TYPE_IPV6, writeEthernet } from '../../../src/wire/ethernet.js';
import { encodeMldReport } from '../../../src/wire/mld.js';
import {
  decodeNd,
  encodeAdvertisement,
  encodeRouterSolicitation,
  encodeSolicitation,
} from '../../../src/wire/nd.js';
import { LINUX_REQUEST, QEMU_RARP } from '../wire/golden.js';
import * as golden from '../wire/golden-ipv6.js';

const ip = (text: string): Ipv6 => parseIp(text) as Ipv6;
const mac = (text: string): Mac => parseMac(text) as Mac;

const HOST = ip('2001:db8:1::5');
const HOST_LINK_LOCAL = ip('fe80::aff:fe01:105');
const GATEWAY = ip('fe80::1');
const NEIGHBOUR = ip('2001:db8:1::9');
const ALL_NODES = ip('ff02::1');
const GROUP = ip('ff02::1:ff00:5');
const HOST_MAC = mac('02:00:0a:01:01:05');
const OWN = mac('02:00:0a:01:01:01');
const NEIGHBOUR_MAC = mac('02:00:0a:01:01:09');
const PLAIN = { linkLocal: undefined, isRouter: false, isOverride: false };

/** A message in one line: form, who, and whom it is about. */
function text({ kind, form, mac: sender, ip: of, target, answeredTo }: NeighbourMessage): string {
  return [
    form ?? kind,
    `of ${formatMac(sender)}`,
    of === undefined ? '' : formatIp(of),
    target === undefined ? '' : `asks for ${formatIp(target)}`,
    answeredTo === undefined || answeredTo === 'anybody' ? '' : `answers ${formatIp(answeredTo)}`,
  ]
    .filter((word) => word !== '')
    .join(' ');
}

function decoded(bytes: Uint8Array): NeighbourMessage {
  const message = ndDriver.decode(bytes);
  assert.ok(typeof message !== 'string', `not decoded: ${String(message)}`);
  return message;
}

const frame = { source: HOST_MAC, destination: mac('33:33:ff:00:00:05'), destinationIp: GROUP };
const named = { ...frame, linkLayerAddress: HOST_MAC };
const unnamed = { ...frame, linkLayerAddress: undefined };
const flags = { isRouter: false, isSolicited: false, isOverride: true };

describe('what a frame says (RFC 4861, RFC 4862, RFC 3810)', () => {
  const host = '02:00:0a:01:01:05';
  const table: readonly (readonly [string, Uint8Array, string])[] = [
    [
      'a solicitation from a global address',
      encodeSolicitation({ ...named, sourceIp: HOST, targetIp: NEIGHBOUR }),
      `request of ${host} 2001:db8:1::5 asks for 2001:db8:1::9`,
    ],
    [
      'a solicitation from a link-local address',
      encodeSolicitation({ ...named, sourceIp: HOST_LINK_LOCAL, targetIp: GATEWAY }),
      `link-local-solicitation of ${host} fe80::aff:fe01:105 asks for fe80::1`,
    ],
    [
      'a solicitation of an optimistic host states no MAC (RFC 4429 section 3.2)',
      encodeSolicitation({ ...unnamed, sourceIp: HOST, targetIp: NEIGHBOUR }),
      `request of ${host} 2001:db8:1::5 asks for 2001:db8:1::9`,
    ],
    [
      'duplicate address detection (RFC 4862 section 5.4.2)',
      encodeSolicitation({ ...unnamed, sourceIp: ip('::'), targetIp: HOST }),
      `acd-probe of ${host} :: asks for 2001:db8:1::5`,
    ],
    [
      'a solicited advertisement names its target, from whatever address it comes',
      encodeAdvertisement({
        ...unnamed,
        ...flags,
        sourceIp: HOST_LINK_LOCAL,
        destinationIp: GATEWAY,
        targetIp: HOST,
        isSolicited: true,
      }),
      `reply of ${host} 2001:db8:1::5 answers fe80::1`,
    ],
    [
      'an unsolicited advertisement',
      encodeAdvertisement({ ...named, ...flags, sourceIp: HOST, destinationIp: ALL_NODES, targetIp: HOST }),
      `announcement of ${host} 2001:db8:1::5`,
    ],
    [
      'an unsolicited advertisement to one node answers nothing',
      encodeAdvertisement({ ...named, ...flags, sourceIp: HOST, destinationIp: GATEWAY, targetIp: HOST }),
      `announcement of ${host} 2001:db8:1::5`,
    ],
    [
      'a router solicitation',
      encodeRouterSolicitation({ ...named, sourceIp: HOST_LINK_LOCAL }),
      `router-solicitation of ${host} fe80::aff:fe01:105`,
    ],
    [
      'a router solicitation of a node without an address',
      encodeRouterSolicitation({ ...unnamed, sourceIp: ip('::') }),
      `router-solicitation of ${host}`,
    ],
    [
      'an MLD report',
      encodeMldReport({ ...frame, sourceIp: HOST_LINK_LOCAL, groups: [GROUP] }),
      `mld-report of ${host} fe80::aff:fe01:105`,
    ],
    [
      'an MLD report of a node whose addresses are tentative (RFC 3590)',
      encodeMldReport({ ...frame, sourceIp: ip('::'), groups: [GROUP] }),
      `mld-report of ${host}`,
    ],
    ['RARP', QEMU_RARP, 'rarp of 52:54:00:12:34:56'],
    ['LINUX_DAD', golden.LINUX_DAD, `acd-probe of ${host} :: asks for 2001:db8:1::5`],
    [
      'LINUX_SOLICITATION',
      golden.LINUX_SOLICITATION,
      `request of ${host} 2001:db8:1::5 asks for 2001:db8:1::1`,
    ],
    [
      'LINUX_UNREACHABILITY_SOLICITATION',
      golden.LINUX_UNREACHABILITY_SOLICITATION,
      'link-local-solicitation of 02:00:0a:01:01:01 fe80::1 asks for 2001:db8:1::5',
    ],
    [
      'LINUX_UNREACHABILITY_ANSWER',
      golden.LINUX_UNREACHABILITY_ANSWER,
      `reply of ${host} 2001:db8:1::5 answers fe80::1`,
    ],
    ['LINUX_UNSOLICITED', golden.LINUX_UNSOLICITED, `announcement of ${host} 2001:db8:1::5`],
    ['LINUX_MLDV2', golden.LINUX_MLDV2, `mld-report of ${host} fe80::aff:fe01:105`],
    ['LINUX_MLDV1', golden.LINUX_MLDV1, `mld-report of ${host} fe80::aff:fe01:105`],
    ['BIRD_ROUTER_ADVERTISEMENT', golden.BIRD_ROUTER_ADVERTISEMENT, 'router of 02:00:0a:01:01:01 fe80::1'],
  ];
  for (const [name, bytes, expected] of table)
    it(`${name}: ${expected}`, () => assert.equal(text(decoded(bytes)), expected));

  it('an MLD report tells the low 24 bits of the addresses in its solicited-node groups', () => {
    const groups = [GROUP, ip('ff02::fb'), ip('ff02::1:ff01:105')];
    const message = decoded(encodeMldReport({ ...frame, sourceIp: HOST_LINK_LOCAL, groups }));
    assert.ok(message.kind === 'presence');
    assert.deepEqual(message.groups, [0x000005, 0x010105]);
  });

  it('the Ethernet addresses are kept beside the MAC that the message states', () => {
    const bytes = encodeSolicitation({
      ...frame,
      linkLayerAddress: NEIGHBOUR_MAC,
      sourceIp: HOST,
      targetIp: GATEWAY,
    });
    const { source, mac: stated, destination } = decoded(bytes);
    assert.deepEqual([source, stated, destination], [HOST_MAC, NEIGHBOUR_MAC, frame.destination]);
  });

  it('all messages have the same fields in the same order, and two forms have more behind them', () => {
    const own = ['groups', 'isOverride', 'isRouter'];
    const common = (bytes: Uint8Array) => {
      const names = Object.keys(decoded(bytes));
      const first = names.findIndex((name) => own.includes(name));
      return first < 0 ? names : names.slice(0, first);
    };
    const [first, ...others] = table.map(([, bytes]) => common(bytes));
    for (const other of others) assert.deepEqual(other, first);
  });

  it('an answer says whether it overrides (RFC 4861 section 7.2.8), and whether it is a router’s', () => {
    for (const isOverride of [true, false]) {
      const bytes = ndDriver.answer(HOST_MAC, HOST, OWN, GATEWAY, {
        linkLocal: undefined,
        isRouter: !isOverride,
        isOverride,
      });
      const message = decoded(bytes);
      assert.ok(message.kind === 'sighting' && message.form === 'reply');
      assert.equal(message.isOverride, isOverride);
      assert.equal(message.isRouter, !isOverride);
    }
  });

  it('whatever follows the headers, there is a message of the known shape or a reason', () => {
    const reasons = new Set<string>(DROP_REASONS);
    fc.assert(
      fc.property(
        fc.constantFrom(...table.map(([, bytes]) => bytes)),
        fc.array(fc.tuple(fc.nat({ max: 110 }), fc.nat({ max: 255 })), { maxLength: 4 }),
        fc.nat({ max: 110 }),
        (good, changes, length) => {
          const bytes = good.slice(0, length);
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          const message = ndDriver.decode(bytes);
          if (typeof message === 'string') assert.ok(reasons.has(message), message);
          else assert.equal(Object.keys(message)[0], 'kind');
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('a packet names its addresses (RFC 8200 section 3); an ARP frame is no packet', () => {
    const bytes = new Uint8Array(54);
    writeEthernet(bytes, { destination: NEIGHBOUR_MAC, source: HOST_MAC, etherType: ETHER_TYPE_IPV6 });
    bytes[14] = 0x60;
    for (let i = 0; i < 16; i++) {
      bytes[22 + i] = HOST.charCodeAt(i);
      bytes[38 + i] = NEIGHBOUR.charCodeAt(i);
    }
    assert.deepEqual(ndDriver.decodePacket(bytes), {
      source: HOST_MAC,
      destination: NEIGHBOUR_MAC,
      sourceIp: HOST,
      destinationIp: NEIGHBOUR,
    });
    assert.equal(ndDriver.decodePacket(bytes.subarray(0, 53)), undefined);
    assert.equal(ndDriver.decodePacket(LINUX_REQUEST), undefined);
  });
});

describe('what is sent', () => {
  it('a question to one host is the solicitation of a Linux router that verifies it', () => {
    assert.deepEqual(ndDriver.probe(OWN, HOST_MAC, GATEWAY, HOST), golden.LINUX_UNREACHABILITY_SOLICITATION);
  });

  it('an answer for our own address is the one of a Linux router', () => {
    const address = ip('2001:db8:1::1');
    const manner = { linkLocal: undefined, isRouter: true, isOverride: true };
    assert.deepEqual(ndDriver.answer(OWN, address, HOST_MAC, HOST, manner), golden.LINUX_ROUTER_ANSWER);
  });

  it('an announcement is the unsolicited advertisement of a Linux host', () => {
    assert.deepEqual(ndDriver.announce(HOST_MAC, HOST, undefined), golden.LINUX_UNSOLICITED);
  });

  const said = (bytes: Uint8Array) => {
    const message = decoded(bytes);
    return [text(message), formatMac(message.source), formatMac(message.destination)];
  };
  const own = '02:00:0a:01:01:01';
  const host = '02:00:0a:01:01:05';

  it('a question to one host goes to its MAC and its address, with our MAC as that of the source', () => {
    assert.deepEqual(said(ndDriver.probe(OWN, HOST_MAC, GATEWAY, HOST)), [
      `link-local-solicitation of ${own} fe80::1 asks for 2001:db8:1::5`,
      own,
      host,
    ]);
  });

  it('the owner is asked by its group, in a frame to one MAC', () => {
    const bytes = ndDriver.askOwner?.(OWN, HOST_MAC, GATEWAY, HOST) as Uint8Array;
    const solicited = decodeNd(bytes);
    assert.ok(typeof solicited !== 'string');
    assert.deepEqual([solicited.destination, solicited.destinationIp], [HOST_MAC, GROUP]);
  });

  it('a question to everybody goes to the solicited-node group (RFC 4861 section 7.2.2)', () => {
    const bytes = ndDriver.probe(OWN, MAC_BROADCAST, GATEWAY, HOST);
    assert.equal(said(bytes)[2], '33:33:ff:00:00:05');
    assert.equal(formatIp(ndDriver.decodePacket(bytes)?.destinationIp as Ip), 'ff02::1:ff00:5');
  });

  it('an answer comes back as a reply to the address in whose name was asked', () => {
    const bytes = ndDriver.answer(OWN, NEIGHBOUR, HOST_MAC, HOST, { ...PLAIN, linkLocal: GATEWAY });
    assert.deepEqual(said(bytes), [`reply of ${own} 2001:db8:1::9 answers 2001:db8:1::5`, own, host]);
    assert.equal(ndDriver.decodePacket(bytes)?.sourceIp, GATEWAY);
  });

  it('an answer for a gateway has R and O, one for a host neither (RFC 4861 section 7.2.8)', () => {
    const flagsOf = (isRouter: boolean, isOverride: boolean) =>
      ndDriver.answer(OWN, GATEWAY, HOST_MAC, HOST, { linkLocal: undefined, isRouter, isOverride })[58];
    assert.deepEqual([flagsOf(true, true), flagsOf(false, false), flagsOf(false, true)], [0xe0, 0x40, 0x60]);
  });

  it('an announcement goes to all nodes, overrides, and makes nobody a router', () => {
    const bytes = ndDriver.announce(OWN, HOST, GATEWAY);
    assert.deepEqual(said(bytes), [`announcement of ${own} 2001:db8:1::5`, own, '33:33:00:00:00:01']);
    assert.equal(bytes[58], 0x20);
    assert.equal(formatIp(ndDriver.decodePacket(bytes)?.destinationIp as Ip), 'ff02::1');
  });

  it('a repair is a unicast solicitation that states the pair of the neighbour', () => {
    const bytes = ndDriver.repair(OWN, HOST_MAC, HOST, NEIGHBOUR, NEIGHBOUR_MAC);
    assert.deepEqual(said(bytes), [
      'request of 02:00:0a:01:01:09 2001:db8:1::9 asks for 2001:db8:1::5',
      own,
      host,
    ]);
  });

  it('nobody is asked or answered in the name of ::, which would be duplicate address detection', () => {
    assert.throws(() => ndDriver.probe(OWN, HOST_MAC, ip('::'), HOST), RangeError);
    assert.throws(() => ndDriver.answer(OWN, HOST, HOST_MAC, ip('::'), PLAIN), RangeError);
  });

  it('an IPv4 address is a fault of the caller', () => {
    assert.throws(() => ndDriver.announce(OWN, parseIp('10.1.1.5') as Ip, undefined), TypeError);
  });
});
