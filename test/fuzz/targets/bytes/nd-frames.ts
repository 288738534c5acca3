import assert from 'node:assert/strict';
import { DROP_REASONS } from '../../../../src/mobility/events.js';
import { ndDriver } from '../../../../src/mobility/nd/driver.js';
import {
  MAC_BROADCAST,
  isIpv4,
  isLinkLocal,
  isMulticast,
  isUnspecified,
} from '../../../../src/wire/addresses.js';
import { decodeArp } from '../../../../src/wire/arp.js';
import { ICMPV6, MLD_REPORT_CUT_BYTES, endOfPacket, writeChecksum } from '../../../../src/wire/icmpv6.js';
import { IPV6_PAYLOAD_AT, IPV6_PAYLOAD_LENGTH_AT, decodeIpv6 } from '../../../../src/wire/ipv6.js';
import { decodeMldReport, encodeMldReport } from '../../../../src/wire/mld.js';
import {
  type NdFrame,
  decodeNd,
  encodeAdvertisement,
  encodeRouterSolicitation,
  encodeSolicitation,
} from '../../../../src/wire/nd.js';
import { onLinkPrefixes } from '../../../../src/wire/router-advertisement.js';
import { decodeRarp } from '../../../../src/wire/rarp.js';
import { QEMU_RARP } from '../../../unit/wire/golden.js';
import * as golden from '../../../unit/wire/golden-ipv6.js';
import type { Target } from '../../engine/target.js';

/**
 * IPv6 frames as libpcap hands them over: the codecs and the driver. Each input is read as it is, and once more with the
 * length and the checksum that it ought to have, which no mutation would find.
 */

const REASONS: ReadonlySet<string> = new Set(DROP_REASONS);

const isMac = (mac: unknown) => typeof mac === 'number' && mac >= 0 && mac <= MAC_BROADCAST;
const isIp = (ip: unknown) => typeof ip === 'string' && /^[\0-\xff]{16}$/.test(ip);

function encoded(frame: NdFrame): Uint8Array | undefined {
  switch (frame.type) {
    case ICMPV6.neighbourSolicitation:
      return encodeSolicitation(frame);
    case ICMPV6.neighbourAdvertisement:
      return encodeAdvertisement(frame);
    case ICMPV6.routerSolicitation:
      return encodeRouterSolicitation(frame);
    default:
      return undefined;
  }
}

/** RFC 4861 section 7.1, said once more. */
function checkNd(bytes: Uint8Array, frame: NdFrame): void {
  assert.ok(
    [frame.source, frame.destination].every(isMac) && [frame.sourceIp, frame.destinationIp].every(isIp),
  );
  assert.ok(frame.linkLayerAddress === undefined || isMac(frame.linkLayerAddress));
  assert.deepEqual([bytes[20], bytes[21], bytes[54], bytes[55]], [58, 255, frame.type, 0]);
  assert.ok(!isMulticast(frame.sourceIp));
  if ('targetIp' in frame) assert.ok(isIp(frame.targetIp) && !isMulticast(frame.targetIp));
  if ('isSolicited' in frame) assert.ok(!(frame.isSolicited && isMulticast(frame.destinationIp)));
  if (isUnspecified(frame.sourceIp)) assert.equal(frame.linkLayerAddress, undefined);
  if (frame.type === ICMPV6.routerAdvertisement) assert.ok(isLinkLocal(frame.sourceIp));
  const again = encoded(frame);
  if (again !== undefined) assert.deepEqual(decodeNd(again), frame, 'what is encoded is decoded again');
  assert.deepEqual(decodeNd(bytes.subarray(0, endOfPacket(bytes))), frame, 'padding means nothing');
}

function check(bytes: Uint8Array): void {
  const nd = decodeNd(bytes);
  if (typeof nd !== 'string') checkNd(bytes, nd);
  const report = decodeMldReport(bytes);
  if (typeof report !== 'string') {
    assert.ok(report.groups.every((group) => isIp(group) && isMulticast(group)));
    assert.ok(isUnspecified(report.sourceIp) || isLinkLocal(report.sourceIp));
    assert.equal(bytes[21], 1);
    const again = decodeMldReport(encodeMldReport(report));
    assert.ok(typeof again !== 'string');
    assert.deepEqual(again.groups, report.groups, 'what is encoded is decoded again');
  }
  for (const { ip, length } of onLinkPrefixes(bytes)) {
    assert.ok(isIp(ip) && length >= 0 && length <= 128);
    assert.ok(typeof nd !== 'string' && nd.type === ICMPV6.routerAdvertisement);
  }
  const packet = decodeIpv6(bytes);
  if (typeof packet !== 'string') assert.ok(isIp(packet.sourceIp) && isIp(packet.destinationIp));

  const message = ndDriver.decode(bytes);
  const readings = [nd, report, decodeRarp(bytes)].filter((reading) => typeof reading !== 'string');
  assert.ok(readings.length <= 1, 'a frame is of one kind');
  assert.equal(typeof message === 'string', readings.length === 0, 'driver and codecs agree');
  assert.equal(ndDriver.decodePacket(bytes) === undefined, typeof packet === 'string');
  if (typeof message === 'string') return assert.ok(REASONS.has(message), message);
  assert.equal(typeof decodeArp(bytes), 'string');
  assert.ok(isMac(message.mac));
  for (const ip of [message.ip, message.target]) assert.ok(ip === undefined || (!isIpv4(ip) && isIp(ip)));
  if (message.kind === 'presence') {
    assert.ok(message.ip === undefined || isLinkLocal(message.ip));
    assert.ok((message.groups ?? []).every((low) => Number.isInteger(low) && low >= 0 && low < 2 ** 24));
  }
  // What the driver would send about it is read as what was meant.
  if (message.kind !== 'sighting' || isUnspecified(message.ip)) return;
  const asked = ndDriver.decode(ndDriver.probe(message.source, message.mac, message.ip, message.ip));
  assert.ok(typeof asked !== 'string' && asked.target === message.ip);
}

/** The capture has read the first groups only. */
function cutReport(): Uint8Array {
  const report = decodeMldReport(golden.LINUX_MLDV2);
  assert.ok(typeof report !== 'string');
  const groups = Array.from({ length: 15 }, () => report.groups).flat();
  return encodeMldReport({ ...report, groups }).subarray(0, MLD_REPORT_CUT_BYTES + 7);
}

export const target: Target = {
  covers: [
    'src/wire/ipv6.ts',
    'src/wire/icmpv6.ts',
    'src/wire/nd.ts',
    'src/wire/mld.ts',
    'src/wire/router-advertisement.ts',
    'src/mobility/nd/driver.ts',
    'src/mobility/arp/rarp.ts',
  ],
  maxBytes: 600,
  seeds: () => [QEMU_RARP, cutReport(), ...Object.values(golden)],
  run(bytes) {
    const before = bytes.slice();
    check(bytes);
    assert.deepEqual(bytes, before, 'what was captured is not changed');
    if (bytes.length < IPV6_PAYLOAD_AT + 12) return;
    const mended = before;
    const length = mended.length - IPV6_PAYLOAD_AT;
    mended[IPV6_PAYLOAD_LENGTH_AT] = length >>> 8;
    mended[IPV6_PAYLOAD_LENGTH_AT + 1] = length;
    writeChecksum(mended, mended[20] === 0 ? IPV6_PAYLOAD_AT + 8 : IPV6_PAYLOAD_AT);
    check(mended);
  },
};
