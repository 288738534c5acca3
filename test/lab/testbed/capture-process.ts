// The daemon's side of the lab tests of capture/: a Capture in a namespace, remote-controlled by JSON lines.
// usage: capture-process.ts OPTIONS(JSON)

import { createInterface } from 'node:readline';
import { Capture, type CaptureOptions } from '../../../src/capture/capture.js';
import { parseMac, readIpv4 } from '../../../src/wire/addresses.js';
import { decodeArp, encodeArp } from '../../../src/wire/arp.js';
import { ETHER_TYPE_IPV6, etherTypeOf } from '../../../src/wire/ethernet.js';
import { decodeRarp } from '../../../src/wire/rarp.js';

interface Heard {
  frames: number;
  rarp: number;
  /** Bytes of the longest frame by its ICMPv6 type. */
  icmpv6: Record<number, number>;
  other: number;
  senders: Set<number>;
  /** Sender addresses that came after a higher one. */
  disorder: number;
  last: number;
}

const own = parseMac('02:00:00:00:00:01');
if (own === undefined) throw new Error('own MAC');
const heard = new Map<number, Heard>();
let reflecting = false;

/** Of a frame without an extension header, or behind one of 8 bytes; the low bits of an advertised address stand for it. */
function hearIpv6(entry: Heard, bytes: Uint8Array): void {
  const type = bytes[bytes[20] === 0 ? 62 : 54] as number;
  entry.icmpv6[type] = Math.max(entry.icmpv6[type] ?? 0, bytes.length);
  if (type !== 136) return;
  const ip = readIpv4(bytes, 74);
  if (ip < entry.last) entry.disorder++;
  entry.last = ip;
  entry.senders.add(ip);
}

let batches = 0;

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const capture = new Capture({
  families: ['ipv4'],
  ...(JSON.parse(process.argv[2] ?? '{}') as Partial<CaptureOptions>),
  onFrame(iface, bytes) {
    let entry = heard.get(iface);
    if (entry === undefined) {
      entry = { frames: 0, rarp: 0, icmpv6: {}, other: 0, senders: new Set(), disorder: 0, last: 0 };
      heard.set(iface, entry);
    }
    entry.frames++;
    if (etherTypeOf(bytes) === ETHER_TYPE_IPV6) return hearIpv6(entry, bytes);
    const arp = decodeArp(bytes);
    if (typeof arp === 'string') {
      if (typeof decodeRarp(bytes) === 'string') entry.other++;
      else entry.rarp++;
      return;
    }
    if (arp.senderIp < entry.last) entry.disorder++;
    entry.last = arp.senderIp;
    entry.senders.add(arp.senderIp);
    if (reflecting && arp.senderIp !== arp.targetIp) {
      const { source, senderMac, senderIp, targetIp } = arp;
      const reply = { senderMac: own, senderIp: targetIp, targetMac: senderMac, targetIp: senderIp };
      capture.send(iface, encodeArp({ destination: source, source: own, opcode: 2, ...reply }));
    }
  },
  onBatchEnd() {
    batches++;
    capture.flush();
  },
  onState: (iface, open, reason) => say({ event: 'state', iface, open, reason, at: performance.now() }),
  onFatal: (message) => say({ event: 'fatal', message }),
  onWarning: (message) => say({ event: 'warning', message }),
});

for await (const line of createInterface({ input: process.stdin })) {
  const { command, iface, name, mac, hex } = JSON.parse(line);
  if (command === 'open') capture.open({ index: iface, name, mac: parseMac(mac ?? '') ?? own });
  else if (command === 'close') capture.close(iface);
  else if (command === 'send') say({ event: 'sent', ok: capture.send(iface, Buffer.from(hex, 'hex')) });
  else if (command === 'reflect') reflecting = true;
  else if (command === 'forget') heard.clear();
  else if (command === 'report') {
    const interfaces = Object.fromEntries(
      [...heard].map(([index, { senders, last: _, ...counts }]) => [
        index,
        { ...counts, senders: senders.size },
      ]),
    );
    say({ event: 'report', interfaces, batches, stats: capture.stats() });
  }
}
await capture.stop();
say({ event: 'stopped', children: capture.stats().children.length });
