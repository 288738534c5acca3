import { type AddressLine, type LinkLine, parseLinkOrAddress } from './parse-link.js';
import { type FdbLine, type NeighbourLine, parseMonitorFdb, parseNeighbour } from './parse-neighbour.js';
import { type RouteLine, parseRoute } from './parse-route.js';

export type MonitorLine =
  | LinkLine
  | AddressLine
  | RouteLine
  | NeighbourLine
  | FdbLine
  /** A setting of an interface changed, or of `all` (`inet all rp_filter strict`). */
  | { readonly kind: 'netconf'; readonly dev: string };

/**
 * One line of `ip -o -d -N monitor link address neigh route netconf`. 'ignored' for what does not concern us,
 * undefined for what is not understood.
 */
export function parseMonitorLine(line: string): MonitorLine | 'ignored' | undefined {
  const deleted = line.startsWith('Deleted ');
  const text = deleted ? line.slice(8) : line;
  const space = text.indexOf(' ');
  const word = space < 0 ? text : text.slice(0, space);
  switch (word) {
    case '': // indented: what is known of a next-hop object
      return 'ignored';
    case 'dev':
      return parseMonitorFdb(text, deleted);
    case 'inet':
      return deleted ? 'ignored' : { kind: 'netconf', dev: text.split(' ')[1] ?? '' };
    case 'inet6':
    case 'mpls':
      return 'ignored';
  }
  if (word.startsWith('\t')) return 'ignored';
  if (word.endsWith(':') && !word.endsWith('::')) return parseLinkOrAddress(text, deleted);
  return /^\d+$/.test(word) ? parseRoute(text, deleted) : parseNeighbour(text, deleted);
}
