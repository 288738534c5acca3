import assert from 'node:assert/strict';
import { rankOf, senderOf } from '../../../../src/capture/family/families.js';
import { wordsOf } from '../../../../src/capture/family/sender.js';
import { RefreshFilter } from '../../../../src/capture/overload/refresh-filter.js';
import { arpDriver } from '../../../../src/mobility/arp/driver.js';
import { MAC_BROADCAST, type Mac } from '../../../../src/wire/addresses.js';
import { type ArpFrame, decodeArp, encodeArp } from '../../../../src/wire/arp.js';
import { ETHER_TYPE_IPV6, decodeEthernet } from '../../../../src/wire/ethernet.js';
import { decodeIpv4 } from '../../../../src/wire/ipv4.js';
import { decodeRarp } from '../../../../src/wire/rarp.js';
import { ANNOUNCED, advertisement, solicitation } from '../../../unit/capture/nd-frames.js';
import * as golden from '../../../unit/wire/golden.js';
import type { Target } from '../../engine/target.js';

/** Frames as libpcap hands them over: the codecs, the driver, and what the reader sees of them in place. */

const ARP_BYTES = 42;
const MAC = 0x0200_0000_0a05 as Mac;
const IFACE = 7;
const filter = new RefreshFilter(8);

function isMac(mac: Mac): boolean {
  return Number.isInteger(mac) && mac >= 0 && mac <= MAC_BROADCAST;
}

function isIp(ip: unknown): boolean {
  return typeof ip === 'number' && Number.isInteger(ip) && ip >= 0 && ip < 2 ** 32;
}

function checkArp(bytes: Uint8Array, frame: ArpFrame): void {
  assert.ok([frame.source, frame.destination, frame.senderMac, frame.targetMac].every(isMac));
  assert.ok(isIp(frame.senderIp) && isIp(frame.targetIp));
  const again = encodeArp(frame);
  assert.deepEqual(decodeArp(again), frame, 'what is encoded is decoded again');
  // Hardware type 6 is written as 1.
  for (let i = 0; i < ARP_BYTES; i++) if (i !== 15) assert.equal(again[i], bytes[i], `byte ${i}`);
  assert.deepEqual(decodeArp(bytes.subarray(0, ARP_BYTES)), frame, 'padding means nothing');
}

export const target: Target = {
  covers: [
    'src/wire/arp.ts',
    'src/wire/rarp.ts',
    'src/wire/ethernet.ts',
    'src/wire/ipv4.ts',
    'src/mobility/arp/',
    'src/capture/family/',
    'src/capture/overload/refresh-filter.ts',
  ],
  maxBytes: 300,
  seeds: () => [
    ...Object.values(golden).filter((frame) => frame instanceof Uint8Array),
    advertisement(MAC),
    solicitation(MAC, ANNOUNCED, ANNOUNCED),
  ],
  run(bytes) {
    const ethernet = decodeEthernet(bytes);
    assert.equal(ethernet === undefined, bytes.length < 14);
    const arp = decodeArp(bytes);
    if (typeof arp !== 'string') checkArp(bytes, arp);
    const rarp = decodeRarp(bytes);
    if (typeof rarp !== 'string') assert.ok(isMac(rarp.senderMac) && isMac(rarp.source));
    const packet = decodeIpv4(bytes);
    if (typeof packet !== 'string') assert.ok(isIp(packet.sourceIp) && isIp(packet.destinationIp));
    const readings = [arp, rarp, packet].filter((reading) => typeof reading !== 'string');
    assert.ok(readings.length <= 1, 'a frame is of one kind');

    const message = arpDriver.decode(bytes);
    assert.equal(typeof message === 'string', typeof arp === 'string' && typeof rarp === 'string');
    assert.equal(arpDriver.decodePacket?.(bytes) === undefined, typeof packet === 'string');

    // The reader looks at bytes in place, which may be longer than the frame.
    const sender = senderOf(bytes, bytes.length);
    const isArp = sender !== undefined && ethernet?.etherType !== ETHER_TYPE_IPV6;
    assert.equal(isArp, typeof arp !== 'string', 'reader and daemon agree on what is ARP');
    const rank = rankOf(bytes);
    if (sender === undefined) return;
    assert.ok(rank !== 'question' || sender.kind === 'other', 'a probe or announcement asks for nothing');
    const { kind, macHigh, macLow } = sender;
    const ip = sender.ip.slice();
    const mac = macHigh * 2 ** 32 + macLow;
    if (typeof arp !== 'string') {
      assert.equal(mac, arp.senderMac);
      assert.deepEqual(ip, wordsOf(arp.senderIp === 0 ? arp.targetIp : arp.senderIp));
    }
    filter.suppress(IFACE, ip, macHigh, macLow, 1);
    const redundant = filter.isRedundant(IFACE, bytes, bytes.length, () => 0);
    assert.equal(redundant, kind === 'announcement' && ethernet?.source === mac);
    assert.equal(
      filter.isRedundant(IFACE + 1, bytes, bytes.length, () => 0),
      false,
    );
    filter.revoke(IFACE, ip, macHigh, macLow);
    assert.equal(
      filter.isRedundant(IFACE, bytes, bytes.length, () => 0),
      false,
    );
  },
};
