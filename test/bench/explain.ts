import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ipv4, MAC_BROADCAST, MAC_ZERO, type Mac, parseIp } from '../../src/wire/addresses.js';
import { ARP_REQUEST, encodeArp } from '../../src/wire/arp.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/wire/pcap/pcapng.js';
import { CTL } from '../lab/kit/ctl.js';
import { type Part, below } from './measure.js';

const FRAMES = 100_000;
const HOSTS = 1000;
const ROUTER = '02:aa:00:00:00:00';
const FIRST = parseIp('10.1.1.5') as Ipv4;
const START_NS = 1_796_000_000_000_000_000n;

/** A capture of a minute and a half, of hosts that ask for their gateway and for each other, through `marpctl explain`. */
export const explain: Part = {
  name: 'explain',
  about: 'marpctl explain of a capture with 100,000 frames of 1,000 hosts',
  run: async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'marpd-bench-'));
    try {
      const path = join(folder, 'lan0.pcapng');
      writeFileSync(path, capture());
      const argv = ['explain', path, '--link', `lan0,${ROUTER},10.1.1.1/20`, '--assume-alive'];
      const began = performance.now();
      const { status, stdout, stderr } = spawnSync(process.execPath, [CTL, ...argv], {
        encoding: 'utf8',
        maxBuffer: 1 << 30,
      });
      const seconds = (performance.now() - began) / 1000;
      if (status !== 0) throw new Error(stderr);
      const lines = stdout.split('\n').length;
      context.found({
        name: `${FRAMES} frames`,
        value: seconds,
        unit: 's',
        targets: [below(10)],
        note: `${lines} lines; ${stderr.trim().split('\n').at(-1) ?? ''}`,
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

function capture(): Uint8Array {
  const blocks = [sectionHeader({ application: 'marpd bench' }), interfaceDescription({ name: 'lan0' })];
  for (let i = 0; i < FRAMES; i++) {
    const host = i % HOSTS;
    const mac = (0x020000000000 + host) as Mac;
    const ip = (FIRST + host) as Ipv4;
    const target = i % 3 === 0 ? ip : i % 3 === 1 ? FIRST - 4 : FIRST + ((host * 7) % HOSTS);
    const bytes = encodeArp({
      destination: MAC_BROADCAST,
      source: mac,
      opcode: ARP_REQUEST,
      senderMac: mac,
      senderIp: ip,
      targetMac: MAC_ZERO,
      targetIp: target as Ipv4,
    });
    blocks.push(enhancedPacket({ interface: 0, timeNs: START_NS + BigInt(i) * 1_000_000n, bytes }));
  }
  return Buffer.concat(blocks);
}
