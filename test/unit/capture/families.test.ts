import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { filterOf, longFilterOf } from '../../../src/capture/captured-interface.js';
import { messageFilter, packetFilter, rankOf } from '../../../src/capture/family/families.js';
import { LONG_SNAP_BYTES } from '../../../src/capture/family/nd.js';
import { SNAP_BYTES } from '../../../src/capture/protocol.js';
import {
  type Ip,
  type Ipv6,
  type Mac,
  groupMac,
  parseIp,
  parseMac,
  solicitedNodeGroup,
  writeMac,
} from '../../../src/wire/addresses.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import { ALL_MLDV2_ROUTERS, encodeMldReport } from '../../../src/wire/mld.js';
import { ANNOUNCED, advertisement, solicitation } from './nd-frames.js';

const MAC = parseMac('02:00:00:00:0a:05') as Mac;
const ROUTER = parseMac('02:00:00:00:00:01') as Mac;
const ip = (text: string) => parseIp(text) as Ip;
const link = { index: 5, name: 'tap5', mac: ROUTER };

describe('what is captured', () => {
  it('is ARP and RARP alone unless IPv6 is served, in 128 bytes', () => {
    assert.equal(filterOf(link, ['ipv4']), '(arp or rarp) and not ether src 02:00:00:00:00:01');
    assert.equal(packetFilter(['ipv4']), 'ip');
    assert.equal(longFilterOf(link, ['ipv4']), '');
    assert.equal(SNAP_BYTES, 128);
  });

  it('is a filter of its own for misdirected packets, without long messages', () => {
    assert.equal(longFilterOf({ ...link, filter: packetFilter(['ipv6']) }, ['ipv6']), '');
  });

  it('is Neighbor Discovery, MLD reports and RARP alone where IPv4 is not served', () => {
    assert.doesNotMatch(filterOf(link, ['ipv6']), /\barp/);
    assert.match(packetFilter(['ipv6']), /^\(ip6 and not /);
    assert.match(messageFilter(['ipv6']), /^\(rarp or \(ip6 and /);
  });

  it('is both where both are served, and a report of 20 groups with a priority tag fits in', () => {
    assert.equal(messageFilter(['ipv4', 'ipv6']), `((arp or rarp) or ${messageFilter(['ipv6'])})`);
    assert.equal(packetFilter(['ipv4', 'ipv6']), `(ip or ${packetFilter(['ipv6'])})`);
    assert.equal(longFilterOf(link, ['ipv4', 'ipv6']), longFilterOf(link, ['ipv6']));
    assert.match(longFilterOf(link, ['ipv6']), /^\(ip6 and .* and not ether src 02:00:00:00:00:01$/);
    assert.equal(LONG_SNAP_BYTES, 14 + 4 + 40 + 8 + 8 + 20 * 20);
  });
});

describe('an MLD report of more groups than are read', () => {
  const report = encodeMldReport({
    source: MAC,
    destination: groupMac(ALL_MLDV2_ROUTERS),
    sourceIp: ip('fe80::5') as Ipv6,
    destinationIp: ALL_MLDV2_ROUTERS,
    groups: Array.from({ length: 30 }, (_, i) => solicitedNodeGroup(ip(`2001:db8::${i}`) as Ipv6)),
  });
  const groupsOf = (bytes: Uint8Array) => {
    const message = ndDriver.decode(bytes);
    return typeof message !== 'string' && message.kind === 'presence' ? message.groups?.length : message;
  };

  it('counts with those that were (RFC 3810 section 5.2)', () => {
    assert.equal(groupsOf(report), 30);
    assert.equal(groupsOf(report.subarray(0, LONG_SNAP_BYTES)), 20);
  });

  it('is refused when less is there', () => {
    for (let length = 14; length < 470; length++)
      assert.equal(groupsOf(report.subarray(0, length)), 'truncated', `${length} bytes`);
  });
});

describe('the rank of a frame of Neighbor Discovery', () => {
  const toRouter = (bytes: Uint8Array) => {
    writeMac(bytes, 0, ROUTER);
    return bytes;
  };

  it('is that of a reply for a solicited advertisement to one host (RFC 4861 section 4.4)', () => {
    assert.equal(rankOf(toRouter(advertisement(MAC, { flags: 0x40 }))), 'reply');
    assert.equal(rankOf(toRouter(advertisement(MAC, { flags: 0xe0, hasMac: false }))), 'reply');
    assert.equal(rankOf(advertisement(MAC, { flags: 0x60 })), 'other', 'to all');
    assert.equal(rankOf(toRouter(advertisement(MAC))), 'other', 'unsolicited');
  });

  it('is that of a question for a solicitation, also one of neighbour unreachability detection', () => {
    assert.equal(rankOf(solicitation(MAC, ANNOUNCED, ip('fe80::1'))), 'question');
    assert.equal(rankOf(toRouter(solicitation(MAC, ip('fe80::5'), ip('fe80::1')))), 'question');
    assert.equal(rankOf(solicitation(MAC, ip('::'), ANNOUNCED)), 'other', 'duplicate address detection');
  });

  it('is neither for what only looks like one', () => {
    for (const [at, value] of [
      [12, 8],
      [20, 0],
      [54, 133],
    ] as const) {
      const bytes = toRouter(advertisement(MAC, { flags: 0x40 }));
      bytes[at] = value;
      assert.equal(rankOf(bytes), 'other', `byte ${at}`);
    }
  });
});
