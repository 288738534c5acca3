import { cleanCore } from './demo/clean-core.js';
import { demo } from './demo/single-router.js';
import { liveMigration } from './demo/live-migration.js';
import { redundantRouters } from './demo/redundant-routers.js';
import { sweep } from './kit/namespace.js';
import { threeRouters } from './demo/three-routers.js';
import { virtualSubnet } from './demo/virtual-subnet.js';

/** `sudo ./scripts/lab NAME [options]`: laboratories for people. Each registers here and resolves to an exit status. */

interface Scenario {
  readonly summary: string;
  readonly run: (args: readonly string[]) => Promise<number>;
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'single-router': {
    summary: 'one router, three LANs: a host boots in the wrong subnet, moves, returns home, is switched off',
    run: demo,
  },
  'three-routers': {
    summary: 'a host moves between two first-hop routers behind a core, with FRR or BIRD',
    run: threeRouters,
  },
  'virtual-subnet': {
    summary:
      'one subnet on two LANs, each with a router of its own (RFC 7814): hosts talk, one moves and returns',
    run: virtualSubnet,
  },
  'redundant-routers': {
    summary: 'two routers on one LAN with VRRP (keepalived or FRR): the active one fails and returns',
    run: redundantRouters,
  },
  'clean-core': {
    summary: 'hosts move, and a core router between the first-hop routers never hears of it (VXLAN, EVPN)',
    run: cleanCore,
  },
  'live-migration': {
    summary:
      'a QEMU guest migrates between two hypervisors in two subnets and keeps its address and TCP connections',
    run: liveMigration,
  },
  sweep: {
    summary: 'remove what killed runs left behind (labs that still run are left alone)',
    run: async () => {
      const removed = sweep();
      console.log(removed.length === 0 ? 'nothing to remove' : `removed ${removed.join(', ')}`);
      return 0;
    },
  },
};

function usage(): string {
  const width = Math.max(...Object.keys(SCENARIOS).map((name) => name.length));
  const rows = Object.entries(SCENARIOS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `usage: lab NAME [options]\n\n${rows.join('\n')}\n\n'lab NAME --help' tells the options of one.`;
}

const [name, ...args] = process.argv.slice(2);
const scenario = name === undefined || !Object.hasOwn(SCENARIOS, name) ? undefined : SCENARIOS[name];
if (scenario !== undefined) {
  process.exit(await scenario.run(args));
} else {
  const asked = name === undefined || name === '--help' || name === '-h';
  if (!asked) console.error(`no laboratory is called ${name}\n`);
  console.log(usage());
  process.exit(name === undefined || !asked ? 2 : 0);
}
