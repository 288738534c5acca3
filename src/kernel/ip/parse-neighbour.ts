import { type Ip, type Mac, parseIp, parseMac } from '../../wire/addresses.js';
import { numeral } from './parse-route.js';

/** An entry of the neighbour table, as `ip -N neigh` prints it. */
export interface NeighbourLine {
  readonly kind: 'neighbour';
  readonly deleted: boolean;
  readonly ip: Ip;
  readonly dev: string;
  readonly mac: Mac | undefined;
  /** `PERMANENT`, `REACHABLE`, `STALE`, `FAILED`, ... */
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
 * what is no neighbour. An interface may be named like a keyword.
 */
export function parseNeighbour(text: string, deleted: boolean): NeighbourLine | undefined {
  const words = new Words(text);
  const ip = parseIp(words.next() ?? '');
  const dev = words.next() === 'dev' ? words.next() : undefined;
  if (ip === undefined || dev === undefined) return undefined;
  let mac: Mac | undefined;
  let state = 'NONE';
  let externLearn = false;
  let protocol = 0;
  for (let word = words.next(); word !== undefined; word = words.next()) {
    if (word === 'lladdr') mac = parseMac(words.next() ?? '');
    else if (word === 'proto') protocol = numeral(words.next(), 255);
    else if (word === 'extern_learn') externLearn = true;
    else if (/^[A-Z]+$/.test(word)) state = word;
  }
  if (Number.isNaN(protocol)) return undefined;
  return { kind: 'neighbour', deleted, ip, dev, mac, state, externLearn, protocol };
}

/** `dev lan0 lladdr 02:00:0a:01:01:05 REACHABLE` of the monitor, without `Deleted `. */
export function parseMonitorFdb(text: string, deleted: boolean): FdbLine | undefined {
  const words = new Words(text);
  const dev = words.next() === 'dev' ? words.next() : undefined;
  let mac: Mac | undefined;
  let permanent = false;
  for (let word = words.next(); word !== undefined; word = words.next()) {
    if (word === 'lladdr') mac = parseMac(words.next() ?? '');
    else if (word === 'PERMANENT') permanent = true;
  }
  if (mac === undefined || dev === undefined) return undefined;
  return { kind: 'fdb', deleted, dev, bridge: undefined, mac, permanent };
}

/** `02:00:0a:01:01:05 dev lan0 master br0 [permanent|static|...]` of `bridge fdb show`. */
export function parseBridgeFdb(text: string): FdbLine | undefined {
  const words = new Words(text);
  const mac = parseMac(words.next() ?? '');
  const dev = words.next() === 'dev' ? words.next() : undefined;
  if (mac === undefined || dev === undefined) return undefined;
  let bridge: string | undefined;
  let permanent = false;
  for (let word = words.next(); word !== undefined; word = words.next()) {
    if (word === 'master') bridge = words.next();
    else if (word === 'permanent' || word === 'self') permanent = true;
  }
  return { kind: 'fdb', deleted: false, dev, bridge, mac, permanent };
}

/** The words of a line, one after another: what stands behind a keyword is its value, whatever it looks like. */
class Words {
  readonly #words: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#words = text.split(' ').filter(Boolean);
  }

  next(): string | undefined {
    return this.#words[this.#at++];
  }
}
