import { setImmediate } from 'node:timers/promises';
import { type Family, type Ip, type Mac, hostLength } from '../../wire/addresses.js';
import { optionOf, readLines } from './exec.js';
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
export async function dumpNeighbours(
  protocol: number,
  families: readonly Family[],
  onLine: (line: NeighbourLine) => void,
): Promise<void> {
  const mark = ownMark(protocol);
  const take = (text: string) => {
    if (text.includes(mark) && isOwnNotification(text)) return;
    const line = parseNeighbour(text, false);
    if (line !== undefined) onLine(line);
  };
  for (const family of families)
    await readLines('ip', ['-o', '-d', '-N', optionOf(family), 'neigh', 'show'], take);
}

/** Addresses for which the kernel answers ARP or neighbor solicitations (`ip neigh add proxy`). */
export async function dumpProxyNeighbours(families: readonly Family[]): Promise<{ ip: Ip; dev: string }[]> {
  const found: { ip: Ip; dev: string }[] = [];
  const take = (text: string) => {
    const line = parseNeighbour(text, false);
    if (line !== undefined) found.push({ ip: line.ip, dev: line.dev });
  };
  for (const family of families)
    await readLines('ip', ['-o', '-N', optionOf(family), 'neigh', 'show', 'proxy'], take);
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
  family: Family,
  table: number,
  onLine: (line: RouteLine) => void,
  onUnparsed: (line: string) => void = () => undefined,
): Promise<void> {
  const args = ['-o', '-d', '-N', optionOf(family), 'route', 'show', 'table', String(table)];
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
  families: readonly Family[],
  onRoute: (route: OwnRoute) => void,
  onNeighbour: (neighbour: OwnNeighbour) => void,
): Promise<void> {
  for (const family of families) {
    // The kernel filters by protocol; the lines do not repeat what was asked for.
    const args = ['-o', '-d', '-N', optionOf(family), 'route', 'show', 'table', 'all'];
    args.push('proto', String(protocol));
    const read = readLines('ip', args, (text) => {
      const line = parseRoute(text, false, { protocol });
      if (line === undefined || line.protocol !== protocol) return;
      const { ip, length } = line.prefix;
      if (length !== hostLength(ip)) return;
      const dev = line.type === 'unicast' ? line.dev : undefined;
      onRoute({ ip, table: line.table, metric: line.metric, dev });
    });
    await read.catch((error: Error) => {
      if (family === 'ipv4' || !error.message.includes('not supported')) throw error;
    });
  }
  const mark = ownMark(protocol);
  const take = (text: string) => {
    if (!text.includes(mark)) return;
    const line = parseNeighbour(text, false);
    if (line?.mac === undefined || !line.externLearn || line.protocol !== protocol) return;
    onNeighbour({ ip: line.ip, dev: line.dev, mac: line.mac });
  };
  for (const family of families)
    await readLines('ip', ['-o', '-d', '-N', optionOf(family), 'neigh', 'show', 'nud', 'permanent'], take);
}
