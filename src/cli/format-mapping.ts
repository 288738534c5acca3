import type { MappingView } from '../control/schemas.js';
import { type View, formatFields, formatTable, paint } from './table.js';

/** The mapping system as text for people. */

const SERVER_COLORS = { up: 'green', silent: 'red', 'wrong-key': 'red' } as const;

export function formatMappings(mappings: MappingView['mappings'], view: View): string {
  if (mappings.length === 0) return 'no mappings of other routers\n';
  return formatTable(
    ['PREFIX', 'RLOC', 'STATE'],
    mappings.map(({ prefix, rloc, state }) => [
      prefix,
      rloc,
      paint(view, state === 'published' ? 'green' : 'yellow', state),
    ]),
    view,
  );
}

/** `12 held, 1 asking` */
function formatCounts(counts: Iterable<readonly [name: string, count: number]>): string {
  const said = [...counts].filter(([, count]) => count > 0).map(([name, count]) => `${count} ${name}`);
  return said.join(', ') || 'none';
}

export function formatServers(
  { servers, drops, mapServer, tunnel }: Omit<MappingView, 'mappings'>,
  view: View,
): string {
  const table = formatTable(
    ['SERVER', 'STATE', 'REGISTRATIONS'],
    servers.map(({ server, state, registrations }) => [
      server,
      paint(view, SERVER_COLORS[state], state),
      formatCounts(Object.entries(registrations)),
    ]),
    view,
  );
  const fields = formatFields([
    ['messages ignored', formatCounts(drops.map(({ reason, count }) => [reason, count]))],
    [
      'map-server here',
      mapServer === null
        ? undefined
        : `${mapServer.mappings} mappings, ${mapServer.unacknowledged} publications without an acknowledgement`,
    ],
    [
      'tunnel',
      tunnel === null
        ? undefined
        : `${tunnel.installed} of ${tunnel.wanted} routes installed, ${tunnel.refused} refused, MTU ${tunnel.mtu}`,
    ],
  ]);
  return `${servers.length === 0 ? 'no map-server is asked yet: see the log of marpd\n' : table}${view.header ? `\n${fields}` : ''}`;
}
