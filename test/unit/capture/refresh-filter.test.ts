import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { senderOf } from '../../../src/capture/family/families.js';
import { wordsOf } from '../../../src/capture/family/sender.js';
import { RefreshFilter } from '../../../src/capture/overload/refresh-filter.js';
import {
  IPV4_UNSPECIFIED,
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  parseIp,
  parseMac,
} from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, encodeArp } from '../../../src/wire/arp.js';
import { ETHER_TYPE_ARP, writeEthernet } from '../../../src/wire/ethernet.js';
import { ANNOUNCED, advertisement, solicitation } from './nd-frames.js';

const HOST = parseIp('10.1.1.5') as Ipv4;
const OTHER = parseIp('10.1.1.1') as Ipv4;
const MAC = parseMac('fe:54:00:0a:01:05') as Mac;
const STRANGER = parseMac('02:00:00:00:06:66') as Mac;
const GATEWAY6 = parseIp('fe80::1') as Ip;
const UNSPECIFIED6 = parseIp('::') as Ip;
const [HIGH, LOW] = [0xfe54, 0x000a_0105];

function arpRequest(mac: Mac, senderIp: Ipv4, targetIp: Ipv4): Uint8Array {
  const addresses = { senderMac: mac, senderIp, targetMac: MAC_ZERO, targetIp };
  return encodeArp({ destination: MAC_BROADCAST, source: mac, opcode: ARP_REQUEST, ...addresses });
}

function arpReply(mac: Mac, senderIp: Ipv4, targetMac: Mac, targetIp: Ipv4): Uint8Array {
  const addresses = { senderMac: mac, senderIp, targetMac, targetIp };
  return encodeArp({ destination: targetMac, source: mac, opcode: ARP_REPLY, ...addresses });
}

const gratuitous = (mac: Mac, ip: Ipv4) => arpRequest(mac, ip, ip);

/** A filter that may keep back what 10.1.1.5 announces on interface 7 until 1000. */
function allowed(): RefreshFilter {
  const filter = new RefreshFilter(256);
  filter.suppress(7, wordsOf(HOST), HIGH, LOW, 1000);
  return filter;
}

const ask = (filter: RefreshFilter, frame: Uint8Array, now = 0, iface = 7) =>
  filter.isRedundant(iface, frame, frame.length, () => now);

describe('the sender of a frame', () => {
  const sender = (bytes: Uint8Array) => senderOf(bytes, bytes.length);
  const host = { ip: wordsOf(HOST), macHigh: HIGH, macLow: LOW };

  it('is the sender of an ARP request or reply (RFC 826)', () => {
    assert.deepEqual(sender(gratuitous(MAC, HOST)), { kind: 'announcement', ...host });
    assert.deepEqual(sender(arpRequest(MAC, HOST, OTHER)), { kind: 'other', ...host });
    assert.deepEqual(sender(arpReply(MAC, HOST, STRANGER, OTHER)), { kind: 'other', ...host });
  });

  it('is read from hardware type 6 (IEEE 802) as from type 1 (RFC 1042)', () => {
    const frame = Uint8Array.from(gratuitous(MAC, HOST));
    frame[15] = 6;
    assert.deepEqual(sender(frame), { kind: 'announcement', ...host });
    frame[15] = 7;
    assert.equal(sender(frame), undefined);
  });

  it('is who would like to have the address of an RFC 5227 probe', () => {
    assert.deepEqual(sender(arpRequest(MAC, IPV4_UNSPECIFIED, HOST)), { kind: 'acd-probe', ...host });
  });

  it('is who advertises an address, and of a solicitation its source (RFC 4861)', () => {
    const host = { ip: wordsOf(ANNOUNCED), macHigh: HIGH, macLow: LOW };
    assert.deepEqual(sender(advertisement(MAC)), { kind: 'announcement', ...host });
    assert.deepEqual(sender(advertisement(MAC, { hasMac: false })), { kind: 'announcement', ...host });
    assert.deepEqual(sender(advertisement(MAC, { flags: 0x60 })), { kind: 'other', ...host });
    assert.deepEqual(sender(solicitation(MAC, ANNOUNCED, GATEWAY6)), { kind: 'other', ...host });
  });

  it('is who would like to have the address of duplicate address detection (RFC 4862 section 5.4)', () => {
    const kind = 'acd-probe';
    const host = { ip: wordsOf(ANNOUNCED), macHigh: HIGH, macLow: LOW };
    assert.deepEqual(sender(solicitation(MAC, UNSPECIFIED6, ANNOUNCED)), { kind, ...host });
  });

  it('is nobody in what is no Neighbor Discovery: another hop limit, code, version or header (RFC 4861 section 7.1)', () => {
    for (const [at, value] of [
      [14, 0x45],
      [20, 6],
      [21, 64],
      [54, 137],
      [55, 1],
    ] as const) {
      const frame = advertisement(MAC);
      frame[at] = value;
      assert.equal(sender(frame), undefined, `byte ${at}`);
    }
    assert.equal(sender(advertisement(MAC).subarray(0, 77)), undefined);
  });

  it('is nobody in what is cut short, nor in other protocols', () => {
    assert.equal(sender(gratuitous(MAC, HOST).subarray(0, 41)), undefined);
    const rarp = Uint8Array.from(gratuitous(MAC, HOST));
    rarp.set([0x80, 0x35], 12);
    assert.equal(sender(rarp), undefined);
  });
});

describe('announcements of known hosts', () => {
  it('are suppressed while the daemon allows it, as requests and as replies (RFC 5944 section 4.6)', () => {
    const filter = allowed();
    assert.equal(ask(filter, gratuitous(MAC, HOST)), true);
    assert.equal(ask(filter, arpReply(MAC, HOST, MAC_BROADCAST, HOST)), true);
    assert.equal(ask(filter, gratuitous(MAC, HOST), 999.9), true);
    assert.equal(ask(filter, gratuitous(MAC, HOST), 1000), false, 'the first one afterwards is passed on');
  });

  it('are not suppressed from another MAC, another interface, or for another address', () => {
    const filter = allowed();
    assert.equal(ask(filter, gratuitous(STRANGER, HOST)), false, 'a forger');
    assert.equal(ask(filter, gratuitous(MAC, HOST), 0, 8), false, 'a move');
    assert.equal(ask(filter, gratuitous(MAC, OTHER)), false, 'a second address');
  });

  it('are not suppressed when Ethernet says something else than ARP', () => {
    const forged = gratuitous(MAC, HOST);
    writeEthernet(forged, { destination: MAC_BROADCAST, source: STRANGER, etherType: ETHER_TYPE_ARP });
    assert.equal(ask(allowed(), forged), false);
  });

  it('requests and probes of a known host are passed on: somebody may have to answer them', () => {
    const filter = allowed();
    assert.equal(ask(filter, arpRequest(MAC, HOST, OTHER)), false);
    assert.equal(ask(filter, arpRequest(MAC, IPV4_UNSPECIFIED, HOST)), false);
  });

  it('count again as soon as they are revoked, by whoever is meant', () => {
    const filter = allowed();
    filter.revoke(7, wordsOf(HOST), HIGH, LOW ^ 1);
    filter.revoke(8, wordsOf(HOST), HIGH, LOW);
    assert.equal(ask(filter, gratuitous(MAC, HOST)), true);
    filter.revoke(7, wordsOf(HOST), HIGH, LOW);
    assert.equal(ask(filter, gratuitous(MAC, HOST)), false);
  });

  it('whatever the bytes, only the announcement itself is suppressed', () => {
    const filter = allowed();
    const good = gratuitous(MAC, HOST).subarray(0, 42);
    // The reply form differs in the opcode, IEEE 802's in the hardware type; the targets' MAC and where Ethernet sent it say nothing.
    const silent = new Set([0, 1, 2, 3, 4, 5, 32, 33, 34, 35, 36, 37]);
    fc.assert(
      fc.property(fc.nat({ max: 41 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = good.slice();
        bytes[at] = (bytes[at] as number) ^ flip;
        const same = silent.has(at) || (at === 21 && bytes[21] === 2) || (at === 15 && bytes[15] === 6);
        assert.equal(ask(filter, bytes), same, `byte ${at}`);
      }),
    );
    for (let length = 0; length < 42; length++)
      assert.equal(
        filter.isRedundant(7, good, length, () => 0),
        false,
      );
  });

  it('of IPv6 are suppressed as those of IPv4 are, and no other word of the host', () => {
    const filter = new RefreshFilter(256);
    filter.suppress(7, wordsOf(ANNOUNCED), HIGH, LOW, 1000);
    assert.equal(ask(filter, advertisement(MAC)), true);
    assert.equal(ask(filter, advertisement(MAC, { hasMac: false })), true);
    assert.equal(ask(filter, advertisement(MAC), 1000), false, 'the first one afterwards');
    assert.equal(ask(filter, advertisement(MAC), 0, 8), false, 'a move');
    assert.equal(ask(filter, advertisement(STRANGER)), false, 'a forger');
    assert.equal(ask(filter, advertisement(MAC, { flags: 0x60 })), false, 'an answer');
    assert.equal(ask(filter, solicitation(MAC, ANNOUNCED, GATEWAY6)), false, 'a question');
    assert.equal(ask(filter, solicitation(MAC, UNSPECIFIED6, ANNOUNCED)), false, 'a host that returns home');
    const forged = advertisement(MAC);
    forged.set(advertisement(STRANGER).subarray(6, 12), 6);
    assert.equal(ask(filter, forged), false, 'another MAC in the frame than in the option');
    filter.revoke(7, wordsOf(ANNOUNCED), HIGH, LOW);
    assert.equal(ask(filter, advertisement(MAC)), false);
  });

  it('of IPv6 are told apart by every byte that matters', () => {
    const filter = new RefreshFilter(256);
    filter.suppress(7, wordsOf(ANNOUNCED), HIGH, LOW, 1000);
    const good = advertisement(MAC);
    // Whom it is sent to and from where, its checksum and its other flags: the pair of addresses is the same.
    const silent = (at: number) =>
      at < 6 || (at >= 15 && at < 18) || (at >= 22 && at < 54) || (at >= 56 && at < 62);
    for (let at = 0; at < good.length; at++) {
      const bytes = good.slice();
      bytes[at] = (bytes[at] as number) ^ (at === 14 ? 0x10 : at === 58 ? 0x40 : 1);
      assert.equal(ask(filter, bytes), silent(at) && at !== 58, `byte ${at}`);
      assert.equal(ask(filter, good.subarray(0, at)), false, `${at} bytes`);
    }
  });

  it('an IPv6 address that ends like an IPv4 address is another host', () => {
    const filter = allowed();
    const alike = parseIp('::10.1.1.5') as Ip;
    assert.equal(ask(filter, advertisement(MAC, { target: alike })), false);
  });

  it('of two hosts that share an entry the later one has it, and neither is mistaken for the other', () => {
    const filter = new RefreshFilter(1);
    filter.suppress(7, wordsOf(HOST), HIGH, LOW, 1000);
    filter.suppress(7, wordsOf(OTHER), HIGH, LOW, 1000);
    assert.equal(ask(filter, gratuitous(MAC, HOST)), false);
    assert.equal(ask(filter, gratuitous(MAC, OTHER)), true);
  });
});
