import {
  type Family,
  type Ip,
  type Ipv6,
  type Mac,
  type Prefix,
  familyOf,
  formatIp,
  formatMac,
  formatPrefix,
  isIpv4,
  parseIp,
} from '../../wire/addresses.js';
import { numeral } from '../ip/parse-route.js';

/** The commands that encapsulate: text for `ip -batch`, and what the kernel says of its nexthop objects. */

export interface Encapsulation {
  readonly device: string;
  /**
   * vxlan-gpe: IP packets without an Ethernet header, bit for bit LISP of RFC 9305 section 4. vxlan: RFC 7348, whose
   * inner MACs are made of the RLOCs.
   */
  readonly encapsulation: 'vxlan-gpe' | 'vxlan';
  /** UDP. */
  readonly port: number;
  /** 24 bits: the Instance-ID of RFC 9300 section 5.3 and the VNI of RFC 7348. */
  readonly vni: number;
  /** Our own: at most one of each family. */
  readonly rlocs: readonly Ip[];
  /** Outer UDP checksum over IPv4; over IPv6 there always is one (RFC 8200 section 8.1). */
  readonly checksum: boolean;
  /** Of the routes and the nexthop objects. */
  readonly protocol: number;
  readonly table: number;
  readonly metric: number;
}

/** A nexthop object: packets that are routed to it go to `rloc`. */
export interface Nexthop {
  readonly id: number;
  readonly rloc: Ip;
  /** Of its gateway. The kernel gives no IPv6 route a nexthop with an IPv4 gateway, or with none. */
  readonly family: Family;
}

/** Outer headers in bytes: IPv4 or IPv6, UDP, VXLAN and, without GPE, the inner Ethernet header. */
export function overheadOf(encapsulation: Encapsulation['encapsulation'], outer: Family): number {
  return (outer === 'ipv4' ? 20 : 40) + 8 + 8 + (encapsulation === 'vxlan' ? 14 : 0);
}

/**
 * The first id of ours; the number of each protocol has 2^20. FRR's zebra counts from 1, gives its clients what is below
 * 250,000,000 and marks its layer 2 nexthops with the bits 28 and 29 (lib/zclient.h, zebra/zebra_evpn_mh.h); the kernel
 * counts from 1 for whoever names no id. BIRD 2 makes none.
 */
export function firstNexthopId(protocol: number): number {
  return 0x4000_0000 + protocol * NEXTHOP_IDS;
}
export const NEXTHOP_IDS = 0x10_0000;

/** The family of the gateway for destinations of `eid`: IPv4 only where both are. */
export function nexthopFamily(eid: Family, rloc: Ip): Family {
  return isIpv4(rloc) ? eid : 'ipv6';
}

/**
 * What stands as gateway in the routes: the RLOC itself, or in IPv6 a link-local address made of it, because the kernel
 * refuses a global one that other routes lead to. An IPv4 RLOC becomes the interface identifier of RFC 5214 section 6.1.
 */
export function gatewayOf(rloc: Ip, family: Family): Ip {
  if (family === 'ipv4') return rloc;
  const id = isIpv4(rloc) ? `\0\0\u005e\u00fe${bytesOf(rloc)}` : foldedOf(rloc);
  return `\u00fe\u0080\0\0\0\0\0\0${id}` as Ipv6;
}

/** The MAC of the device of the router with this RLOC, locally administered: each router has another one. */
export function tunnelMac(rloc: Ip): Mac {
  const bytes = isIpv4(rloc) ? `\u0002\u006c${bytesOf(rloc)}` : `\u0006${foldedOf(rloc).slice(3)}`;
  return [...bytes].reduce((sum, byte) => sum * 256 + byte.charCodeAt(0), 0) as Mac;
}

function bytesOf(ip: number): string {
  return String.fromCharCode(ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255);
}

/** Both halves in one, since RLOCs differ in either. */
function foldedOf(ip: Ipv6): string {
  return Array.from({ length: 8 }, (_, i) =>
    String.fromCharCode(ip.charCodeAt(i) ^ ip.charCodeAt(i + 8)),
  ).join('');
}

/** Our own RLOC of that family; undefined: none, so nothing can be sent there. */
export function sourceFor(rloc: Ip, { rlocs }: Encapsulation): Ip | undefined {
  return rlocs.find((own) => familyOf(own) === familyOf(rloc));
}

/**
 * Made or changed; all routes with its id follow a change. VXLAN with Ethernet needs the MAC of the other end as well.
 * @throws Error when we have no RLOC of that family: see sourceFor()
 */
export function nexthopCommands(nexthop: Nexthop, tunnel: Encapsulation): string[] {
  const { id, rloc, family } = nexthop;
  const { device, vni, protocol } = tunnel;
  const source = sourceFor(rloc, tunnel);
  if (source === undefined) throw new Error(`no RLOC of ours for ${formatIp(rloc)}`);
  const outer = isIpv4(rloc) ? 'ip' : 'ip6';
  const ttl = isIpv4(rloc) ? 'ttl' : 'hoplimit';
  const csum = tunnel.checksum || !isIpv4(rloc) ? ' csum' : '';
  const encap = `encap ${outer} id ${vni} src ${formatIp(source)} dst ${formatIp(rloc)} ${ttl} 64${csum}`;
  const gateway = formatIp(gatewayOf(rloc, family));
  const commands = [
    `nexthop replace id ${id} ${encap} via ${gateway} dev ${device} onlink protocol ${protocol}`,
  ];
  if (tunnel.encapsulation === 'vxlan') {
    const mac = formatMac(tunnelMac(rloc));
    commands.push(`neigh replace ${gateway} lladdr ${mac} dev ${device} nud permanent protocol ${protocol}`);
  }
  return commands;
}

/** `add` fails where a route of somebody else has the prefix and the metric; `replace` would take its place. */
export function routeCommand(
  verb: 'add' | 'replace' | 'del',
  prefix: Prefix,
  nexthopId: number | undefined,
  { protocol, metric, table }: Encapsulation,
): string {
  const nexthop = nexthopId === undefined ? '' : ` nhid ${nexthopId}`;
  return `route ${verb} ${formatPrefix(prefix)}${nexthop} proto ${protocol} metric ${metric} table ${table}`;
}

/** A nexthop object in the kernel, anybody's. */
export interface NexthopLine {
  readonly id: number;
  readonly protocol: number;
  readonly dev: string | undefined;
  readonly via: Ip | undefined;
  /** Of an encapsulation with an id; undefined for others. */
  readonly encap:
    | { readonly vni: number; readonly source: Ip; readonly rloc: Ip; readonly checksum: boolean }
    | undefined;
}

/**
 * A line of `ip -o -N nexthop show`: `id 1120927745  encap ip id 100 src 192.0.2.1 dst 192.0.2.2 ttl 64 tos 0 via
 * 192.0.2.2 dev marp0 scope 253 proto 45 onlink`. undefined for what is none.
 */
export function parseNexthop(line: string): NexthopLine | undefined {
  const words = line.trim().split(/\s+/);
  const after = (word: string, from = 2) => {
    const at = words.indexOf(word, from);
    return at < 0 ? undefined : words[at + 1];
  };
  const id = words[0] === 'id' ? numeral(words[1]) : Number.NaN;
  if (Number.isNaN(id)) return undefined;
  const vni = numeral(after('id'));
  const [source, rloc] = [after('src'), after('dst')].map((text) => parseIp(text ?? ''));
  const isTunnel = words[2] === 'encap' && !Number.isNaN(vni) && source !== undefined && rloc !== undefined;
  const via = after('via');
  return {
    id,
    protocol: numeral(after('proto'), 255) || 0,
    dev: after('dev'),
    via: parseIp((via === 'inet' || via === 'inet6' ? after(via) : via) ?? ''),
    encap: isTunnel ? { vni, source, rloc, checksum: words.includes('csum') } : undefined,
  };
}

/** The nexthop of ours that this line shows; undefined for any other. It may differ from what it is to be. */
export function ownNexthop(line: NexthopLine, { device, protocol }: Encapsulation): Nexthop | undefined {
  const { id, encap, via } = line;
  const at = id - firstNexthopId(protocol);
  if (line.protocol !== protocol || line.dev !== device || at < 0 || at >= NEXTHOP_IDS) return undefined;
  return encap && via !== undefined ? { id, rloc: encap.rloc, family: familyOf(via) } : undefined;
}

/** Whether it leads where it shall, in the way that is configured. */
export function isAsWanted({ encap, via }: NexthopLine, nexthop: Nexthop, tunnel: Encapsulation): boolean {
  const { rloc, family } = nexthop;
  return (
    encap?.rloc === rloc &&
    encap.vni === tunnel.vni &&
    encap.source === sourceFor(rloc, tunnel) &&
    encap.checksum === (tunnel.checksum || !isIpv4(rloc)) &&
    via === gatewayOf(rloc, family)
  );
}
