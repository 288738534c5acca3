import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { senderOf } from '../../../src/capture/family/families.js';
import { RefreshFilter } from '../../../src/capture/overload/refresh-filter.js';
import {
  IPV4_UNSPECIFIED,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  parseIp,
  parseMac,
} from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, encodeArp } from '../../../src/wire/arp.js';
import { ETHER_TYPE_ARP, writeEthernet } from '../../../src/wire/ethernet.js';

const HOST = parseIp('10.1.1.5') as Ipv4;
const OTHER = parseIp('10.1.1.1') as Ipv4;
const MAC = parseMac('fe:54:00:0a:01:05') as Mac;
const STRANGER = parseMac('02:00:00:00:06:66') as Mac;
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
  filter.suppress(7, HOST, HIGH, LOW, 1000);
  return filter;
}

const ask = (filter: RefreshFilter, frame: Uint8Array, now = 0, iface = 7) =>
  filter.isRedundant(iface, frame, frame.length, () => now);

describe('the sender of a frame', () => {
  const sender = (bytes: Uint8Array) => senderOf(bytes, bytes.length);
  const host = { ip: HOST, macHigh: HIGH, macLow: LOW };

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
    filter.revoke(7, HOST, HIGH, LOW ^ 1);
    filter.revoke(8, HOST, HIGH, LOW);
    assert.equal(ask(filter, gratuitous(MAC, HOST)), true);
    filter.revoke(7, HOST, HIGH, LOW);
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

  it('of two hosts that share an entry the later one has it, and neither is mistaken for the other', () => {
    const filter = new RefreshFilter(1);
    filter.suppress(7, HOST, HIGH, LOW, 1000);
    filter.suppress(7, OTHER, HIGH, LOW, 1000);
    assert.equal(ask(filter, gratuitous(MAC, HOST)), false);
    assert.equal(ask(filter, gratuitous(MAC, OTHER)), true);
  });
});
