import { arpDriver } from '../../src/mobility/arp/driver.js';
import { ndDriver } from '../../src/mobility/nd/driver.js';
import type { FamilyDriver } from '../../src/mobility/neighbour/driver.js';
import * as arp from '../unit/wire/golden.js';
import * as nd from '../unit/wire/golden-ipv6.js';

/**
 * What the driver of a family needs to make a message of a frame, ns: `node --import tsx test/bench/decode.ts`. Frames
 * differ in their addresses, as those of newcomers do. The best of several rounds, since others use the machine.
 */

const FRAMES = 5000;
const ROUNDS = 200;

/**
 * Copies of a frame in one buffer, as the reader hands them over, whose bytes at this offset are counted up. For IPv6 the
 * checksum is counted down.
 */
function newcomers(bytes: Uint8Array, up: number, checksum: number | undefined): Uint8Array[] {
  const all = new Uint8Array(bytes.length * FRAMES);
  return Array.from({ length: FRAMES }, (_, i) => {
    const copy = all.subarray(i * bytes.length, (i + 1) * bytes.length);
    copy.set(bytes);
    const view = new DataView(copy.buffer, copy.byteOffset);
    const sum = checksum === undefined ? 0 : view.getUint16(checksum) + view.getUint16(up) - i;
    view.setUint16(up, i);
    if (checksum !== undefined) view.setUint16(checksum, ((sum % 0xffff) + 0xffff) % 0xffff);
    return copy;
  });
}

function nsPerFrame({ decode }: FamilyDriver, frames: readonly Uint8Array[]): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (const frame of frames) if (typeof decode(frame) === 'string') throw new Error('not decoded');
    best = Math.min(best, Number(process.hrtime.bigint() - start) / frames.length);
  }
  return best;
}

const CHECKSUM = 56;
const rows: readonly [string, FamilyDriver, readonly Uint8Array[]][] = [
  ['ARP request', arpDriver, newcomers(arp.LINUX_REQUEST, 30, undefined)],
  ['ARP reply', arpDriver, newcomers(arp.LINUX_REPLY, 30, undefined)],
  ['neighbour solicitation', ndDriver, newcomers(nd.LINUX_SOLICITATION, 36, CHECKSUM)],
  ['duplicate address detection', ndDriver, newcomers(nd.LINUX_DAD, 76, CHECKSUM)],
  ['neighbour advertisement', ndDriver, newcomers(nd.LINUX_UNSOLICITED, 76, CHECKSUM)],
  ['its answer to a proof', ndDriver, newcomers(nd.LINUX_UNREACHABILITY_ANSWER, 76, CHECKSUM)],
  ['MLDv2 report, two groups', ndDriver, newcomers(nd.LINUX_MLDV2, 36, CHECKSUM + 8)],
];
for (const [name, driver, frames] of rows)
  console.log(`${name.padEnd(30)} ${nsPerFrame(driver, frames).toFixed(0).padStart(5)} ns`);
