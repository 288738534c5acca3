import { MAPPING_DROPS, type MappingDrop } from '../mapping/actions.js';

/** The metrics of the mapping system; without [mapping] they have no samples. */

/** What the metrics say of the mapping system. */
export interface MappingGauges {
  readonly servers: readonly {
    readonly server: string;
    readonly state: string;
    readonly registrations: Readonly<Record<string, number>>;
  }[];
  /** Mappings of other routers. */
  readonly cache: readonly { readonly state: string }[];
  readonly drops: readonly { readonly reason: MappingDrop; readonly count: number }[];
  readonly mapServer: { readonly mappings: number } | null;
}

/** `collect` is called at each scrape and says the values. */
type Register = <L extends string>(
  name: string,
  help: string,
  labelNames: L[],
  collect: (say: (labels: Partial<Record<L, string>>, value: number) => void) => void,
) => void;

interface Registration {
  readonly gauge: Register;
  readonly counter: Register;
  /** Undefined without [mapping]. */
  readonly read: () => MappingGauges | undefined;
}

export function registerMapping({ gauge, counter, read }: Registration): void {
  gauge('marpd_mapping_server_up', '1 while a map-server answers, with our key.', ['server'], (set) => {
    for (const { server, state } of read()?.servers ?? []) set({ server }, state === 'up' ? 1 : 0);
  });
  gauge(
    'marpd_mapping_registrations',
    'Our registrations at each map-server, by state.',
    ['server', 'state'],
    (set) => {
      for (const { server, registrations } of read()?.servers ?? [])
        for (const [state, count] of Object.entries(registrations)) set({ server, state }, count);
    },
  );
  gauge(
    'marpd_mapping_cache_entries',
    'Mappings of other routers: published, or stale (the map-server was away and has not repeated them yet).',
    ['state'],
    (set) => {
      const mapping = read();
      if (mapping === undefined) return;
      for (const state of ['published', 'stale'])
        set({ state }, mapping.cache.filter((each) => each.state === state).length);
    },
  );
  gauge(
    'marpd_mapping_server_mappings',
    'Mappings at the map-server of this router; 0 where there is none.',
    [],
    (set) => set({}, read()?.mapServer?.mappings ?? 0),
  );
  counter(
    'marpd_mapping_drops_total',
    'Messages of the mapping system that were not acted on.',
    ['reason'],
    (add) => {
      const mapping = read();
      if (mapping === undefined) return;
      const counts = new Map(mapping.drops.map(({ reason, count }) => [reason, count]));
      for (const reason of MAPPING_DROPS) add({ reason }, counts.get(reason) ?? 0);
    },
  );
}
