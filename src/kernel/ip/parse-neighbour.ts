import { type Ip, type Mac, parseIp, parseMac } from '../../wire/addresses.js';
import { numeral, wordBehind } from './parse-link.js';

/** An entry of the neighbour table, as `ip -N neigh` prints it. */
export interface NeighbourLine {
  readonly kind: 'neighbour';
  readonly deleted: boolean;
  readonly ip: Ip;
  readonly dev: string;
  readonly mac: Mac | undefined;
  /** `PERMANENT`, `REACHABLE`, `STALE`, `FAILED`, ...; the last word of the line. */
  readonly state: string;
  readonly externLearn: boolean;
  /** NDA_PROTOCOL; 0 when it is not set. */
  readonly protocol: number;
}

/** An entry of a bridge's forwarding database: `ip monitor neigh` prints it as a neighbour without address. */
export interface FdbLine {
  readonly kind: 'fdb';
  readonly deleted: boolean;
  /** The bridge port. */
  readonly dev: string;
  /** undefined when the line does not name it: the port's master then. */
  readonly bridge: string | undefined;
  readonly mac: Mac;
  /** The bridge's own addresses, and those of its ports. */
  readonly permanent: boolean;
}

/**
 * `10.1.1.5 dev lan0 lladdr 02:00:0a:01:01:05 extern_learn PERMANENT proto 44`, without `Deleted `; undefined for
 * what is no neighbour.
 */
export function parseNeighbour(text: string, deleted: boolean): NeighbourLine | undefined {
  const words = text.trimEnd().split(' ').filter(Boolean);
  const ip = parseIp(words[0] ?? '');
  const dev = wordBehind(words, 'dev');
  const protocol = numeral(wordBehind(words, 'proto') ?? '0', 255);
  if (ip === undefined || dev === undefined || Number.isNaN(protocol)) return undefined;
  return {
    kind: 'neighbour',
    deleted,
    ip,
    dev,
    mac: parseMac(wordBehind(words, 'lladdr') ?? ''),
    state: words.find((word, at) => at > 2 && /^[A-Z]+$/.test(word)) ?? 'NONE',
    externLearn: words.includes('extern_learn'),
    protocol,
  };
}

/** `dev lan0 lladdr 02:00:0a:01:01:05 REACHABLE` of the monitor, without `Deleted `. */
export function parseMonitorFdb(text: string, deleted: boolean): FdbLine | undefined {
  const words = text.split(' ');
  const mac = parseMac(wordBehind(words, 'lladdr') ?? '');
  const dev = words[1];
  if (mac === undefined || dev === undefined || dev === '') return undefined;
  return { kind: 'fdb', deleted, dev, bridge: undefined, mac, permanent: words.includes('PERMANENT') };
}

/** `02:00:0a:01:01:05 dev lan0 master br0 [permanent|static|...]` of `bridge fdb show`. */
export function parseBridgeFdb(text: string): FdbLine | undefined {
  const words = text.split(' ');
  const mac = parseMac(words[0] ?? '');
  const dev = wordBehind(words, 'dev');
  if (mac === undefined || dev === undefined) return undefined;
  const permanent = words.includes('permanent') || words.includes('self');
  return { kind: 'fdb', deleted: false, dev, bridge: wordBehind(words, 'master'), mac, permanent };
}
