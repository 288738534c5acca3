import type { MappingView } from '../../../src/control/schemas.js';

/** The view of a mapping system with two map-servers, one of which is silent. */
export const mapped: MappingView = {
  servers: [
    {
      server: '10.255.0.1',
      state: 'up',
      registrations: { unsent: 0, asking: 1, held: 12, refused: 0, lost: 0, withdrawing: 0 },
    },
    {
      server: '10.255.0.9',
      state: 'silent',
      registrations: { unsent: 0, asking: 0, held: 0, refused: 0, lost: 0, withdrawing: 0 },
    },
  ],
  mappings: [
    { prefix: '10.1.1.5/32', rloc: '10.255.0.2', state: 'published' },
    { prefix: '10.2.2.0/24', rloc: '10.255.0.2', state: 'stale' },
  ],
  drops: [{ reason: 'bad-mac', count: 3 }],
  mapServer: { mappings: 14, unacknowledged: 0 },
  tunnel: { wanted: 2, installed: 2, refused: 0, mtu: 1464, recreated: 0 },
};
