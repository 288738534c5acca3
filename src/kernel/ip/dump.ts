import { setImmediate } from 'node:timers/promises';
import { type Ip, type Mac, hostLength } from '../../wire/addresses.js';
import { readLines } from './exec.js';
import { isOwnNotification, ownMark } from './monitor.js';
import { type LinkFacts, parseLink, splitLinks } from './parse-link.js';
import { type FdbLine, type NeighbourLine, parseBridgeFdb, parseNeighbour } from './parse-neighbour.js';
import { type RouteLine, parseRoute } from './parse-route.js';

/** Each of these reads a table of the kernel once, by a process of its own. They reject when that fails. */

const TRIES = 5;
/** A thousand interfaces must not hold up the event loop. */
const SLICE_MS = 4;

/** All interfaces and their addresses at one moment, read again when they changed meanwhile. */
export async function dumpLinks(): Promise<LinkFacts[]> {
  const elements = splitLinks(await readLinks());
  const links: LinkFacts[] = [];
  let sliceStart = performance.now();
  for (const element of elements) {
    const link = parseLink(element);
    if (link !== undefined) links.push(link);
    if (performance.now() - sliceStart < SLICE_MS) continue;
    await setImmediate();
    sliceStart = performance.now();
  }
  return links;
}

async function readLinks(): Promise<string> {
  for (let tries = 1; ; tries++) {
    const lines: string[] = [];
    try {
      await readLines('ip', ['-j', '-d', 'address', 'show'], (line) => lines.push(line));
      return lines.join('');
    } catch (error) {
      if (tries >= TRIES || !(error as Error).message.includes('interrupted')) throw error;
    }
  }
}

/** Neighbour entries but our own. */
export function dumpNeighbours(protocol: number, onLine: (line: NeighbourLine) => void): Promise<void> {
  const mark = ownMark(protocol);
  return readLines('ip', ['-o', '-d', '-N', 'neigh', 'show'], (text) => {
    if (text.includes(mark) && isOwnNotification(text)) return;
    const line = parseNeighbour(text, false);
    if (line !== undefined) onLine(line);
  });
}

/** IPv4 addresses for which the kernel answers ARP (`ip neigh add proxy`). */
export async function dumpProxyNeighbours(): Promise<{ ip: Ip; dev: string }[]> {
  const found: { ip: Ip; dev: string }[] = [];
  await readLines('ip', ['-o', '-N', '-4', 'neigh', 'show', 'proxy'], (text) => {
    const line = parseNeighbour(text, false);
    if (line !== undefined) found.push({ ip: line.ip, dev: line.dev });
  });
  return found;
}

/** The forwarding databases of all bridges. */
export function dumpFdb(onLine: (line: FdbLine) => void): Promise<void> {
  return readLines('bridge', ['fdb', 'show'], (text) => {
    const line = parseBridgeFdb(text);
    if (line !== undefined) onLine(line);
  });
}

/** The routes of one table; none for a table that was never used, or a kernel without that family. */
export async function dumpRoutes(
  family: '-4' | '-6',
  table: number,
  onLine: (line: RouteLine) => void,
  onUnparsed: (line: string) => void = () => undefined,
): Promise<void> {
  const args = ['-o', '-d', '-N', family, 'route', 'show', 'table', String(table)];
  const take = (text: string) => {
    const line = parseRoute(text, false, { table });
    if (line !== undefined) onLine(line);
    else if (!text.startsWith('\t')) onUnparsed(text); // not a next hop of a multipath route
  };
  await readLines('ip', args, take).catch((error: Error) => {
    if (!/does not exist|not supported/.test(error.message)) throw error;
  });
}

/** A host route with our protocol number. */
export interface OwnRoute {
  readonly ip: Ip;
  readonly table: number;
  readonly metric: number;
  /** undefined for a route that leads nowhere. */
  readonly dev: string | undefined;
}

export interface OwnNeighbour {
  readonly ip: Ip;
  readonly dev: string;
  readonly mac: Mac;
}

/**
 * What carries our mark: host routes with our protocol number in any table (we never make others), then neighbour
 * entries that are permanent, extern_learn and have our protocol number. EVPN daemons use extern_learn too, and
 * administrators permanent entries, but not with this number.
 */
export async function dumpOwn(
  protocol: number,
  onRoute: (route: OwnRoute) => void,
  onNeighbour: (neighbour: OwnNeighbour) => void,
): Promise<void> {
  for (const family of ['-4', '-6']) {
    // The kernel filters by protocol; the lines do not repeat what was asked for.
    const args = ['-o', '-d', '-N', family, 'route', 'show', 'table', 'all', 'proto', String(protocol)];
    const read = readLines('ip', args, (text) => {
      const line = parseRoute(text, false, { protocol });
      if (line === undefined || line.protocol !== protocol) return;
      const { ip, length } = line.prefix;
      if (length !== hostLength(ip)) return;
      const dev = line.type === 'unicast' ? line.dev : undefined;
      onRoute({ ip, table: line.table, metric: line.metric, dev });
    });
    await read.catch((error: Error) => {
      if (family === '-4' || !error.message.includes('not supported')) throw error;
    });
  }
  const mark = ownMark(protocol);
  await readLines('ip', ['-o', '-d', '-N', 'neigh', 'show', 'nud', 'permanent'], (text) => {
    if (!text.includes(mark)) return;
    const line = parseNeighbour(text, false);
    if (line?.mac === undefined || !line.externLearn || line.protocol !== protocol) return;
    onNeighbour({ ip: line.ip, dev: line.dev, mac: line.mac });
  });
}
