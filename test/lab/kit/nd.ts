import { formatIp, parseIp } from '../../../src/wire/addresses.js';
import type { Captured } from './pcap.js';

/**
 * Neighbor Discovery, RARP's twin in MLD and echoes in IPv6, as frames that a host would send and as a test wants to
 * read them. On purpose not the codec of src/wire: what marpd writes is read here by somebody else.
 */

export type NdKind =
  | 'rs'
  | 'ra'
  | 'ns'
  | 'na'
  | 'redirect'
  | 'mld-query'
  | 'mld-report'
  | 'echo-request'
  | 'echo-reply';

const KINDS: Readonly<Record<number, NdKind>> = {
  128: 'echo-request',
  129: 'echo-reply',
  130: 'mld-query',
  131: 'mld-report',
  133: 'rs',
  134: 'ra',
  135: 'ns',
  136: 'na',
  137: 'redirect',
  143: 'mld-report',
};

/** A frame of ICMPv6 with its addresses as text. What a kind does not have is undefined. */
export interface SeenNd {
  readonly at: number;
  readonly kind: NdKind;
  readonly source: string;
  readonly destination: string;
  readonly fromIp: string;
  readonly toIp: string;
  readonly hopLimit: number;
  /** Of NS, NA and redirects. */
  readonly target: string | undefined;
  /** Source or target link-layer address option. */
  readonly lla: string | undefined;
  /** Flags of an NA. */
  readonly isRouter: boolean | undefined;
  readonly isSolicited: boolean | undefined;
  readonly isOverride: boolean | undefined;
  /** Of MLD reports. */
  readonly groups: readonly string[];
}

const ETHERNET = 14;
const IPV6 = 40;
const HOP_BY_HOP = 0;
const ICMPV6 = 58;

export const ipv6At = (bytes: Uint8Array, at: number): string =>
  formatIp(parsed([...bytes.subarray(at, at + 16)]));
const macAt = (bytes: Uint8Array, at: number): string =>
  [...bytes.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

function parsed(octets: readonly number[]) {
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((octets[2 * i] as number) << 8) | (octets[2 * i + 1] as number)).toString(16),
  );
  const ip = parseIp(groups.join(':'));
  if (ip === undefined) throw new Error(`no IPv6 address: ${groups.join(':')}`);
  return ip;
}

/** Undefined when the frame is no ICMPv6 of a kind above. */
export function asNd(frame: Captured): SeenNd | undefined {
  const { bytes, at } = frame;
  if (bytes.length < ETHERNET + IPV6 + 8 || bytes[12] !== 0x86 || bytes[13] !== 0xdd) return undefined;
  const isBehindOptions = bytes[ETHERNET + 6] === HOP_BY_HOP;
  const icmp = ETHERNET + IPV6 + (isBehindOptions ? 8 : 0);
  const next = isBehindOptions ? bytes[ETHERNET + IPV6] : bytes[ETHERNET + 6];
  const kind = next === ICMPV6 ? KINDS[bytes[icmp] as number] : undefined;
  if (kind === undefined) return undefined;
  const hasTarget = kind === 'ns' || kind === 'na' || kind === 'redirect';
  const flags = bytes[icmp + 4] as number;
  const flag = (bit: number) => (kind === 'na' ? (flags & bit) !== 0 : undefined);
  return {
    at,
    kind,
    source: macAt(bytes, 6),
    destination: macAt(bytes, 0),
    fromIp: ipv6At(bytes, ETHERNET + 8),
    toIp: ipv6At(bytes, ETHERNET + 24),
    hopLimit: bytes[ETHERNET + 7] as number,
    target: hasTarget && bytes.length >= icmp + 24 ? ipv6At(bytes, icmp + 8) : undefined,
    lla: linkLayerAddress(bytes, icmp, kind),
    isRouter: flag(0x80),
    isSolicited: flag(0x40),
    isOverride: flag(0x20),
    groups: groupsOf(bytes, icmp, kind),
  };
}

/** Where the options of a kind begin, from the start of ICMPv6. */
const OPTIONS: Partial<Record<NdKind, number>> = { rs: 8, ra: 16, ns: 24, na: 24, redirect: 40 };

function linkLayerAddress(bytes: Uint8Array, icmp: number, kind: NdKind): string | undefined {
  const first = OPTIONS[kind];
  if (first === undefined) return undefined;
  const wanted = kind === 'na' || kind === 'redirect' ? 2 : 1;
  for (let at = icmp + first; at + 8 <= bytes.length; ) {
    const length = (bytes[at + 1] as number) * 8;
    if (length === 0) return undefined;
    if (bytes[at] === wanted) return macAt(bytes, at + 2);
    at += length;
  }
  return undefined;
}

function groupsOf(bytes: Uint8Array, icmp: number, kind: NdKind): string[] {
  if (kind !== 'mld-report') return [];
  if (bytes[icmp] === 131) return [ipv6At(bytes, icmp + 8)];
  const count = ((bytes[icmp + 6] as number) << 8) | (bytes[icmp + 7] as number);
  const groups: string[] = [];
  for (let i = 0, at = icmp + 8; i < count && at + 20 <= bytes.length; i++) {
    groups.push(ipv6At(bytes, at + 4));
    at +=
      20 +
      4 * (bytes[at + 1] as number) +
      16 * (((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number));
  }
  return groups;
}

/** One line about a frame, in tcpdump's words. */
export function describeNd(seen: SeenNd): string {
  const flags =
    seen.kind === 'na'
      ? ` [${[seen.isRouter && 'R', seen.isSolicited && 'S', seen.isOverride && 'O'].filter(Boolean).join('')}]`
      : '';
  const about = [seen.target, seen.lla === undefined ? undefined : `lla ${seen.lla}`, ...seen.groups];
  return `${seen.kind}${flags} ${seen.fromIp} > ${seen.toIp} ${about.filter(Boolean).join(' ')}`.trimEnd();
}

// ---- frames ----------------------------------------------------------------------------------------------------------

export const ALL_NODES = 'ff02::1';

function octets(ip: string): number[] {
  const [head, tail] = ip.split('::') as [string, string | undefined];
  const words = (text: string | undefined) => (text === undefined || text === '' ? [] : text.split(':'));
  const [front, back] = [words(head), words(tail)];
  const middle = Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...middle, ...back].flatMap((word) => {
    const value = Number.parseInt(word, 16);
    return [value >> 8, value & 255];
  });
}

const macOctets = (mac: string): number[] => mac.split(':').map((part) => Number.parseInt(part, 16));

/** Ethernet address of a group (RFC 2464 section 7). */
export const groupMac = (ip: string): string => {
  const low = octets(ip).slice(12);
  return ['33', '33', ...low.map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
};

/** Solicited-node group of an address (RFC 4291 section 2.7.1). */
export function solicitedNode(ip: string): string {
  const [a, b, c] = octets(ip).slice(13) as [number, number, number];
  return formatIp(parsed([0xff, 2, ...Array.from({ length: 9 }, () => 0), 1, 0xff, a, b, c]));
}

function icmpv6(
  ends: { readonly source: string; readonly destination: string; readonly from: string; readonly to: string },
  message: readonly number[],
  hopLimit = 255,
): Uint8Array {
  const { length } = message;
  const from = octets(ends.from);
  const to = octets(ends.to);
  const pseudo = [...from, ...to, 0, 0, length >> 8, length & 255, 0, 0, 0, ICMPV6, ...message];
  let sum = 0;
  for (let i = 0; i < pseudo.length; i += 2) sum += ((pseudo[i] as number) << 8) | (pseudo[i + 1] ?? 0);
  while (sum >> 16 !== 0) sum = (sum & 0xffff) + (sum >> 16);
  const checksum = ~sum & 0xffff;
  const head = [0x60, 0, 0, 0, length >> 8, length & 255, ICMPV6, hopLimit];
  const body = [...message];
  body[2] = checksum >> 8;
  body[3] = checksum & 255;
  const frame = [
    ...macOctets(ends.destination),
    ...macOctets(ends.source),
    0x86,
    0xdd,
    ...head,
    ...from,
    ...to,
    ...body,
  ];
  return Uint8Array.from(frame);
}

export interface NaOptions {
  readonly to?: string;
  readonly destination?: string;
  readonly from?: string;
  /** The Ethernet source, when it is not the MAC that the frame tells of. */
  readonly source?: string;
  readonly isRouter?: boolean;
  readonly isSolicited?: boolean;
  readonly isOverride?: boolean;
}

/** A neighbor advertisement that nobody asked for, by default as a host sends it that tells of a new MAC (RFC 4861 7.2.6). */
export function neighborAdvertisement(ip: string, mac: string, options: NaOptions = {}): Uint8Array {
  const { to = ALL_NODES, destination = groupMac(to), from = ip, source = mac } = options;
  const flags =
    (options.isRouter === true ? 0x80 : 0) |
    (options.isSolicited === true ? 0x40 : 0) |
    (options.isOverride === false ? 0 : 0x20);
  return icmpv6({ source, destination, from, to }, [
    136,
    0,
    0,
    0,
    flags,
    0,
    0,
    0,
    ...octets(ip),
    2,
    1,
    ...macOctets(mac),
  ]);
}

/** A multicast neighbor solicitation for `target`, as a host sends it before its first packet (RFC 4861 7.2.2). */
export function neighborSolicitation(from: string, mac: string, target: string): Uint8Array {
  const to = solicitedNode(target);
  const sllao = from === '::' ? [] : [1, 1, ...macOctets(mac)];
  return icmpv6({ source: mac, destination: groupMac(to), from, to }, [
    135,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    ...octets(target),
    ...sllao,
  ]);
}

/** As a router tells a host of a better first hop for `about`, which is on the link with this MAC (RFC 4861 section 8). */
export function redirect(
  router: { readonly mac: string; readonly ip: string },
  host: { readonly mac: string; readonly ip: string },
  about: { readonly mac: string; readonly ip: string },
): Uint8Array {
  const ends = { source: router.mac, destination: host.mac, from: router.ip, to: host.ip };
  return icmpv6(ends, [
    137,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    ...octets(about.ip),
    ...octets(about.ip),
    2,
    1,
    ...macOctets(about.mac),
  ]);
}

/** A router advertisement to everybody: a default router for half an hour, and no prefix (RFC 4861 section 4.2). */
export function routerAdvertisement(ip: string, mac: string): Uint8Array {
  const ends = { source: mac, destination: groupMac(ALL_NODES), from: ip, to: ALL_NODES };
  const lifetime = [1800 >> 8, 1800 & 255];
  return icmpv6(ends, [134, 0, 0, 0, 64, 0, ...lifetime, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, ...macOctets(mac)]);
}
