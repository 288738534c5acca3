import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../../src/wire/pcap/pcapng.js';
import { mulberry32 } from '../../random.js';
import { GATEWAY, IPS, MACS, frameOf } from '../driver.js';

/**
 * Writes forged.pcapng: two interfaces, hosts that roam between them, and between their frames those of a station that
 * forges, floods and damages. `node --import tsx test/property/captures/write.ts`
 */

const random = mulberry32(1);
const below = (limit: number): number => Math.floor(random() * limit);
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
const MS = 1_000_000n;

let timeNs = 1_750_000_000_000_000_000n;
const blocks = [
  sectionHeader({ application: 'test/property/captures/write.ts' }),
  interfaceDescription({ name: 'lan0' }),
  interfaceDescription({ name: 'lan1' }),
];

function write(at: number, bytes: Uint8Array, wait: number): void {
  timeNs += BigInt(wait) * MS;
  blocks.push(enhancedPacket({ interface: at, timeNs, bytes: bytes.slice() }));
}

/** One byte is another one, the end is missing, or there is more. */
function damaged(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy[below(copy.length)] = below(256);
  if (random() < 0.3) return copy.slice(0, below(copy.length + 1));
  return random() < 0.3 ? Uint8Array.from([...copy, ...new Uint8Array(below(200))]) : copy;
}

function tagged(bytes: Uint8Array, vlan: number): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, 12), 0x81, 0, vlan >> 8, vlan & 255, ...bytes.subarray(12)]);
}

for (let round = 0; round < 40; round++) {
  const host = below(4);
  const [ip, mac] = [IPS[host + 2] ?? GATEWAY, MACS[host] as (typeof MACS)[number]];
  const at = below(2);
  const kind = pick(['gratuitous', 'gratuitous-reply', 'request', 'probe', 'rarp'] as const);
  write(at, frameOf(kind, mac, ip), below(3000));
  for (let count = below(12); count > 0; count--) {
    const frame = frameOf(
      pick(['gratuitous', 'request', 'reply', 'probe', 'rarp'] as const),
      random() < 0.5 ? ((0x060000000000 + below(2 ** 24)) as (typeof MACS)[number]) : mac,
      random() < 0.7 ? ip : pick([GATEWAY, ...IPS]),
    );
    const how = below(4);
    write(below(2), how === 0 ? damaged(frame) : how === 1 ? tagged(frame, below(3)) : frame, below(20));
  }
}
writeFileSync(join(import.meta.dirname, 'forged.pcapng'), Buffer.concat(blocks));
