import { type Ip, type Mac, hostLength } from '../../wire/addresses.js';
import { readLines } from '../ip/exec.js';
import { parseNeighbour } from '../ip/parse-neighbour.js';
import { parseRoute } from '../ip/parse-route.js';

/** A host route with our protocol number. */
export interface FoundRoute {
  readonly ip: Ip;
  readonly table: number;
  readonly metric: number;
  /** undefined for a route that leads nowhere. */
  readonly dev: string | undefined;
}

export interface FoundNeighbour {
  readonly ip: Ip;
  readonly dev: string;
  readonly mac: Mac;
}

export interface Findings {
  readonly onRoute: (route: FoundRoute) => void;
  readonly onNeighbour: (neighbour: FoundNeighbour) => void;
}

/**
 * Reads from the kernel what carries our mark: host routes with our protocol number in any table (we never make
 * others), and neighbour entries that are permanent, extern_learn and have our protocol number. EVPN daemons use
 * extern_learn too, and administrators permanent entries, but not with this number. Rejects when `ip` fails.
 */
export async function scanOwn(protocol: number, findings: Findings): Promise<void> {
  for (const family of ['-4', '-6']) {
    // The kernel filters by protocol; the lines do not repeat what was asked for.
    const args = ['-o', '-d', '-N', family, 'route', 'show', 'table', 'all', 'proto', String(protocol)];
    const read = readLines('ip', args, (text) => {
      const line = parseRoute(text, false, { protocol });
      if (line === undefined || line.protocol !== protocol) return;
      const { ip, length } = line.prefix;
      if (length !== hostLength(ip)) return;
      const dev = line.type === 'unicast' ? line.dev : undefined;
      findings.onRoute({ ip, table: line.table, metric: line.metric, dev });
    });
    await read.catch((error: Error) => {
      if (family === '-4' || !error.message.includes('not supported')) throw error;
    });
  }
  const mark = ` proto ${protocol} `;
  await readLines('ip', ['-o', '-d', '-N', 'neigh', 'show', 'nud', 'permanent'], (text) => {
    if (!text.includes(mark)) return;
    const line = parseNeighbour(text, false);
    if (line?.mac === undefined || !line.externLearn || line.protocol !== protocol) return;
    findings.onNeighbour({ ip: line.ip, dev: line.dev, mac: line.mac });
  });
}
