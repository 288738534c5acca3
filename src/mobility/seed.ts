import type { TrackerContext } from './context.js';
import type { Event, SavedHost } from './events.js';

/**
 * Events by which another tracker learns what this one knows of the machine, of others' routes, and of hosts: who is
 * where, but not what is under way with it (probes, timers, contests).
 */
export function* seedEvents(ctx: TrackerContext, memories: readonly SavedHost[]): Generator<Event> {
  const { topology, fib, neighbours, ports, table } = ctx;
  for (const link of topology.allLinks()) yield { kind: 'link', link };
  yield { kind: 'routes-begin' };
  for (const route of fib.allRoutes()) yield { kind: 'route', change: 'add', route, initial: true };
  yield { kind: 'routes-end' };
  for (const [iface, known] of neighbours)
    for (const [ip, mac] of known) yield { kind: 'neighbour', iface, ip, mac };
  for (const [bridge, known] of ports)
    for (const [mac, port] of known) yield { kind: 'fdb', bridge, mac, port };
  for (const { index } of topology.allLinks())
    if (topology.isCapturing(index)) yield { kind: 'capture', iface: index, open: true };
  for (const host of table.all()) {
    const { ip, attachment, state } = host;
    if (attachment === undefined || !host.claimed) continue;
    const age = state === 'fresh' ? 'fresh' : 'settled';
    yield { kind: 'adopt', ip, iface: attachment.iface, mac: attachment.mac, age };
  }
  if (memories.length > 0) yield { kind: 'remember', memories };
}
