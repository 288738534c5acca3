import type { EventRecord } from '../../../src/control/records.js';
import { formatIp, readIpv4 } from '../../../src/wire/addresses.js';
import {
  ETHERNET_HEADER_BYTES,
  ETHER_TYPE_IPV4,
  ETHER_TYPE_IPV6,
  decodeEthernet,
} from '../../../src/wire/ethernet.js';
import type { RouteEvent } from '../routed/gauges.js';
import type { Marpd } from '../kit/marpd.js';
import { type SeenNd, asNd, ipv6At } from '../kit/nd.js';
import { type Captured, type SeenArp, asArp, describeFrame } from '../kit/pcap.js';
import { parseStamp } from '../kit/route-log.js';

/**
 * What happened to one host in many places, in one column of time: frames of all segments, routes of all kernels,
 * decisions of all daemons. The stamps are tcpdump's, so that its output can be read beside it.
 */

const PROTOCOL_OSPF = 89;
const PROTOCOL_TCP = 6;
const BGP_PORT = 179;
const BGP_HEADER_BYTES = 19;

const OSPF_TYPES: Readonly<Record<number, string>> = { 4: 'LS-Update', 5: 'LS-Ack' };
const BGP_TYPES: Readonly<Record<number, string>> = { 1: 'OPEN', 2: 'UPDATE', 3: 'NOTIFICATION' };
const ROUTE_PROTOCOLS: Readonly<Record<number, string>> = {
  12: 'bird',
  44: 'mobile',
  186: 'bgp',
  188: 'ospf',
};

interface Entry {
  /** ms since 1970. */
  readonly at: number;
  readonly where: string;
  readonly what: string;
}

export class Chronicle {
  readonly #entries: Entry[] = [];

  constructor(
    /** The addresses of the host. */
    readonly ips: readonly string[],
    /** From CLOCK_MONOTONIC to the time since 1970, ns. */
    readonly offset: number,
  ) {}

  /** Transitions, installed claims and alarms of one daemon, from now on. */
  async watchDaemon(role: string, marpd: Marpd): Promise<void> {
    await marpd.ctl.follow((record) => this.#take(role, record));
  }

  /** What the laboratory itself did. @param at ns of CLOCK_MONOTONIC */
  act(at: number, what: string): void {
    this.#entries.push({ at: this.#wall(at), where: 'lab', what });
  }

  /** All of it, one line each, oldest first; each act of the laboratory opens a paragraph. */
  text(routes: readonly RouteEvent[], segments: readonly (readonly [string, readonly Captured[]])[]): string {
    const entries = [
      ...this.#entries,
      ...routes.filter((route) => this.ips.includes(route.ip)).map((route) => this.#ofRoute(route)),
      ...segments.flatMap(([where, frames]) =>
        frames.flatMap((frame) => {
          const what = this.#ofFrame(frame);
          return what === undefined ? [] : [{ at: frame.at, where, what }];
        }),
      ),
    ].sort((a, b) => a.at - b.at);
    let began: number | undefined;
    const lines = entries.map(({ at, where, what }) => {
      const opens = where === 'lab';
      if (opens) began = at;
      const since = began === undefined ? '' : `+${(at - began).toFixed(3)}`;
      return `${opens ? '\n' : ''}${stamp(at)} ${since.padStart(11)}  ${where.padEnd(7)} ${what}\n`;
    });
    return lines.join('');
  }

  #wall(monotonic: number): number {
    return (monotonic + this.offset) / 1e6;
  }

  #take(role: string, record: EventRecord): void {
    const at = parseStamp(record.time);
    if (at === undefined) return;
    const ip = record.ip ?? undefined;
    if (ip !== undefined && !this.ips.includes(ip)) return;
    const what = describeRecord(record);
    const about = ip === undefined || this.ips.length === 1 ? '' : `${ip} `;
    if (what !== undefined) this.#entries.push({ at, where: role, what: `marpd: ${about}${what}` });
  }

  #ofRoute({ at, role, added, ip, protocol, metric, via }: RouteEvent): Entry {
    const name = ROUTE_PROTOCOLS[protocol] ?? String(protocol);
    const age = protocol !== 44 ? '' : metric === 1 ? ', fresh' : ', settled';
    const path = via === undefined ? 'on the LAN' : `via ${via}`;
    const what = `kernel: ${added ? '+' : '-'} ${ip} ${path} (${name}, metric ${metric}${age})`;
    return { at: this.#wall(at), where: role, what };
  }

  #ofFrame(frame: Captured): string | undefined {
    const ethernet = decodeEthernet(frame.bytes);
    if (ethernet?.etherType === ETHER_TYPE_IPV4) return describeRouting(frame.bytes, IPV4_ENDS);
    const nd = asNd(frame);
    if (ethernet?.etherType === ETHER_TYPE_IPV6 && nd === undefined)
      return describeRouting(frame.bytes, IPV6_ENDS);
    return this.#concerns(asArp(frame), nd) ? describeFrame(frame).slice('00:00:00.000 '.length) : undefined;
  }

  #concerns(arp: SeenArp | undefined, nd: SeenNd | undefined): boolean {
    if (nd?.kind.startsWith('echo') === true) return false;
    const named = [arp?.senderIp, arp?.targetIp, nd?.fromIp, nd?.toIp, nd?.target].filter(
      (ip) => ip !== undefined,
    );
    const namesNobody = arp === undefined && (nd === undefined || nd.target === undefined);
    return namesNobody || named.some((ip) => this.ips.includes(ip));
  }
}

function describeRecord(record: EventRecord): string | undefined {
  switch (record.event) {
    case 'transition':
      return `${String(record.from)} -> ${String(record.to)} (${String(record.cause)})`;
    case 'installed':
      return `${String(record.age)} claim installed`;
    case 'alarm':
      return `ALARM ${String(record.alarm)}: ${String(record.message)}`;
    case 'answered':
      return `answered for ${String(record.target)}`;
    default:
      return undefined;
  }
}

/** Packets by which routing daemons tell each other of routes; hellos and acknowledgements of TCP are no news. */
function describeRouting(bytes: Uint8Array, endsOf: EndsOf): string | undefined {
  const { protocol, payload, ends } = endsOf(bytes);
  if (protocol === PROTOCOL_OSPF) {
    const type = OSPF_TYPES[bytes[payload + 1] as number];
    return type === undefined ? undefined : `OSPF ${ends} ${type}`;
  }
  if (protocol !== PROTOCOL_TCP) return undefined;
  const port = (at: number) => ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  if (port(payload) !== BGP_PORT && port(payload + 2) !== BGP_PORT) return undefined;
  const message = payload + ((bytes[payload + 12] as number) >> 4) * 4;
  const type = BGP_TYPES[bytes[message + BGP_HEADER_BYTES - 1] ?? 0];
  return type === undefined ? undefined : `BGP ${ends} ${type}`;
}

type EndsOf = (bytes: Uint8Array) => {
  readonly protocol: number | undefined;
  readonly payload: number;
  readonly ends: string;
};

const IPV4_ENDS: EndsOf = (bytes) => {
  const ip = ETHERNET_HEADER_BYTES;
  return {
    protocol: bytes[ip + 9],
    payload: ip + ((bytes[ip] as number) & 15) * 4,
    ends: `${formatIp(readIpv4(bytes, ip + 12))} > ${formatIp(readIpv4(bytes, ip + 16))}`,
  };
};
/** Routing daemons send no extension headers. */
const IPV6_ENDS: EndsOf = (bytes) => {
  const ip = ETHERNET_HEADER_BYTES;
  return {
    protocol: bytes[ip + 6],
    payload: ip + 40,
    ends: `${ipv6At(bytes, ip + 8)} > ${ipv6At(bytes, ip + 24)}`,
  };
};

/** Time of day with microseconds, as tcpdump prints it. */
function stamp(at: number): string {
  const whole = Math.floor(at);
  const micros = Math.floor((at - whole) * 1000);
  const local = new Date(whole - new Date(whole).getTimezoneOffset() * 60_000);
  return `${local.toISOString().slice(11, 23)}${String(micros).padStart(3, '0')}`;
}
