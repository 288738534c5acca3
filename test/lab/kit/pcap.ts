import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatIp, formatMac, readIpv4 } from '../../../src/wire/addresses.js';
import { type ArpFrame, decodeArp } from '../../../src/wire/arp.js';
import { CaptureFileReader } from '../../../src/wire/pcap/capture-file.js';
import {
  ETHER_TYPE_ARP,
  ETHER_TYPE_IPV4,
  ETHER_TYPE_RARP,
  ETHERNET_HEADER_BYTES,
  decodeEthernet,
} from '../../../src/wire/ethernet.js';
import { decodeRarp } from '../../../src/wire/rarp.js';
import type { Namespace } from './namespace.js';
import { type SeenNd, asNd, describeNd } from './nd.js';
import { Program, clock, waitFor } from './program.js';

/** A frame that tcpdump saw. */
export interface Captured {
  /** Kernel time stamp, ms since 1970, exact to about a microsecond; compares with Date.now(). */
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** An ARP frame with its addresses as text, as a test wants to write them. */
export interface SeenArp {
  readonly at: number;
  readonly opcode: 'request' | 'reply';
  readonly source: string;
  readonly destination: string;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac: string;
  readonly targetIp: string;
}

/** An ICMP echo request or reply in IPv4. */
export interface SeenEcho {
  readonly at: number;
  readonly kind: 'request' | 'reply';
  readonly source: string;
  readonly destination: string;
  readonly fromIp: string;
  readonly toIp: string;
  readonly sequence: number;
}

/**
 * Reads what `tcpdump --time-stamp-precision=nano -w` writes. A record that is still being written is left for the next
 * reading.
 * @throws CaptureFileError
 */
export function readPcap(path: string): Captured[] {
  const frames: Captured[] = [];
  for (const item of new CaptureFileReader().read(readFileSync(path)))
    if (item.kind === 'packet') frames.push({ at: Number(item.timeNs) / 1e6, bytes: item.bytes });
  return frames;
}

export function asArp(frame: Captured): SeenArp | undefined {
  const arp = decodeArp(frame.bytes);
  return typeof arp === 'string' ? undefined : { at: frame.at, ...arpText(arp) };
}

function arpText(arp: ArpFrame): Omit<SeenArp, 'at'> {
  return {
    opcode: arp.opcode === 1 ? 'request' : 'reply',
    source: formatMac(arp.source),
    destination: formatMac(arp.destination),
    senderMac: formatMac(arp.senderMac),
    senderIp: formatIp(arp.senderIp),
    targetMac: formatMac(arp.targetMac),
    targetIp: formatIp(arp.targetIp),
  };
}

export function asEcho(frame: Captured): SeenEcho | undefined {
  const ethernet = decodeEthernet(frame.bytes);
  const at = ETHERNET_HEADER_BYTES;
  if (ethernet?.etherType !== ETHER_TYPE_IPV4 || frame.bytes.length < at + 28) return undefined;
  const icmp = at + ((frame.bytes[at] as number) & 15) * 4;
  const type = frame.bytes[icmp];
  if (frame.bytes[at + 9] !== 1 || (type !== 0 && type !== 8)) return undefined;
  return {
    at: frame.at,
    kind: type === 8 ? 'request' : 'reply',
    source: formatMac(ethernet.source),
    destination: formatMac(ethernet.destination),
    fromIp: formatIp(readIpv4(frame.bytes, at + 12)),
    toIp: formatIp(readIpv4(frame.bytes, at + 16)),
    sequence: ((frame.bytes[icmp + 6] as number) << 8) | (frame.bytes[icmp + 7] as number),
  };
}

/** One line about a frame, in tcpdump's words. */
export function describeFrame(frame: Captured): string {
  const ethernet = decodeEthernet(frame.bytes);
  if (ethernet === undefined) return `${clock(frame.at)} ${frame.bytes.length} bytes`;
  const head = `${clock(frame.at)} ${formatMac(ethernet.source)} > ${formatMac(ethernet.destination)}`;
  if (ethernet.etherType === ETHER_TYPE_ARP) {
    const arp = asArp(frame);
    if (arp === undefined) return `${head} ARP, malformed: ${decodeArp(frame.bytes)}`;
    return arp.opcode === 'request'
      ? `${head} ARP, Request who-has ${arp.targetIp} (${arp.targetMac}) tell ${arp.senderIp}`
      : `${head} ARP, Reply ${arp.senderIp} is-at ${arp.senderMac} to ${arp.targetIp}`;
  }
  if (ethernet.etherType === ETHER_TYPE_RARP) {
    const rarp = decodeRarp(frame.bytes);
    return `${head} RARP, ${typeof rarp === 'string' ? `malformed: ${rarp}` : `who-is ${formatMac(rarp.senderMac)}`}`;
  }
  const echo = asEcho(frame);
  if (echo !== undefined) {
    return `${head} ICMP echo ${echo.kind} ${echo.fromIp} > ${echo.toIp} seq ${echo.sequence}`;
  }
  const nd = asNd(frame);
  if (nd !== undefined) return `${head} ICMPv6, ${describeNd(nd)}`;
  return `${head} type 0x${ethernet.etherType.toString(16)}`;
}

function matches<T extends object>(seen: T | undefined, wanted: Partial<T>): seen is T {
  if (seen === undefined) return false;
  return Object.entries(wanted).every(([key, value]) => seen[key as keyof T] === value);
}

/** Neighbour protocols and echoes of both families; MLD stands behind a hop-by-hop header (RFC 3810 section 5). */
const NEIGHBOURHOOD = 'arp or rarp or icmp or icmp6 or (ip6 and ip6[6] = 0)';

/** tcpdump on one interface, its file readable while it still writes. */
export class Capture {
  private constructor(
    readonly program: Program,
    readonly path: string,
  ) {}

  /** Starts tcpdump and returns once it really captures. Frames of both directions are seen. */
  static async start(namespace: Namespace, iface: string, filter = NEIGHBOURHOOD): Promise<Capture> {
    const path = join(namespace.lab.directory, `${namespace.role}-${iface}-${captureCount++}.pcap`);
    const options = ['-U', '--immediate-mode', '--time-stamp-precision=nano', '-s', '512', '-B', '16384'];
    // -Z root: the directory is ours, tcpdump's own user could not write there
    const argv = ['tcpdump', '-n', '-Z', 'root', ...options, '-i', iface, '-w', path, filter];
    const program = new Program(namespace, argv, { quiet: true });
    const capture = new Capture(program, path);
    await program.line(/listening on/);
    namespace.lab.onFailure(() => capture.#keep(`${namespace.role}/${iface}`));
    return capture;
  }

  frames(): Captured[] {
    return readPcap(this.path);
  }

  /** ARP frames that agree with `wanted`, oldest first, of those captured at or after `since` (ms since 1970). */
  arps(wanted: Partial<SeenArp> = {}, since = 0): SeenArp[] {
    return this.frames()
      .filter((frame) => frame.at >= since)
      .map(asArp)
      .filter((arp) => matches(arp, wanted));
  }

  /** ICMP echoes that agree with `wanted`, oldest first, of those captured at or after `since` (ms since 1970). */
  echoes(wanted: Partial<SeenEcho> = {}, since = 0): SeenEcho[] {
    return this.frames()
      .filter((frame) => frame.at >= since)
      .map(asEcho)
      .filter((echo) => matches(echo, wanted));
  }

  /** ICMPv6 frames that agree with `wanted`, oldest first, of those captured at or after `since` (ms since 1970). */
  nds(wanted: Partial<SeenNd> = {}, since = 0): SeenNd[] {
    return this.frames()
      .filter((frame) => frame.at >= since)
      .map(asNd)
      .filter((seen) => matches(seen, wanted));
  }

  async nd(wanted: Partial<SeenNd>, timeoutMs: number, since = 0): Promise<SeenNd> {
    const what = `ICMPv6 ${JSON.stringify(wanted)} in ${this.path}`;
    return waitFor(() => this.nds(wanted, since)[0], timeoutMs, what);
  }

  async arp(wanted: Partial<SeenArp>, timeoutMs: number, since = 0): Promise<SeenArp> {
    const what = `ARP ${JSON.stringify(wanted)} in ${this.path}`;
    return waitFor(() => this.arps(wanted, since)[0], timeoutMs, what);
  }

  async echo(wanted: Partial<SeenEcho>, timeoutMs: number, since = 0): Promise<SeenEcho> {
    const what = `ICMP echo ${JSON.stringify(wanted)} in ${this.path}`;
    return waitFor(() => this.echoes(wanted, since)[0], timeoutMs, what);
  }

  /** Ends tcpdump; the file is complete afterwards. */
  async stop(): Promise<void> {
    await this.program.stop('SIGINT');
  }

  // The capture of a failed test outlives its lab.
  #keep(title: string): string {
    const directory = join(
      process.env.MARPD_KEEP ?? join(tmpdir(), 'marpd-failed'),
      this.program.namespace.lab.name,
    );
    mkdirSync(directory, { recursive: true });
    const kept = join(directory, this.path.slice(this.path.lastIndexOf('/') + 1));
    copyFileSync(this.path, kept);
    const frames = this.frames();
    const tail = frames.slice(-40).map((frame) => `    ${describeFrame(frame)}`);
    return [`  ${title}: ${frames.length} frames, kept in ${kept}`, ...tail].join('\n');
  }
}

let captureCount = 0;
