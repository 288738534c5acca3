import { parseArgs } from 'node:util';
import { CTL } from '../kit/ctl.js';
import { Lab, type Namespace } from '../kit/namespace.js';
import { CleanCore, RECIPES } from '../routed/clean-core.js';
import { MoveMeter, type MoveReport, median, sinceFrame } from '../routed/moves.js';
import { type FirstHop, HOST, NEIGHBOUR, REMOTE } from '../routed/places.js';
import { bold, dim } from './timeline.js';
import { concluded } from './verdict.js';

/** `sudo ./scripts/lab clean-core`: hosts move, and the router in the core never hears of it (docs/clean-core.md). */

const PICTURE = `
  net1 10.1.1.0/24 ── lan0 [R1] core0 ── 192.0.2.0/30 ── core0 [core] core2 ── 192.0.2.24/30 ── core0 [R3] srv0 ── ${REMOTE}
   neighbour ${NEIGHBOUR}                                         │ core1
  net2 10.2.2.0/24 ── lan0 [R2] core0 ── 192.0.2.4/30 ─────────┘

  ${HOST} moves between net1, its home, and net2; R1, R2, R3: an overlay between them (VXLAN), marpd on R1 and R2
  core: OSPF for the addresses of the three routers, and nothing else
`;

const USAGE = `usage: lab clean-core --with NAME [options]

  --with NAME   ${RECIPES.join(', ')}
  --moves N     how often the host moves (default 6); 0: on and on, until Ctrl-C
  --keep        stay up afterwards, until Ctrl-C

It prints what the core router knows, before and after, and every change of its routes. The status is 0 if there was none.`;

export async function cleanCore(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      with: { type: 'string' },
      moves: { type: 'string', default: '6' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const recipe = RECIPES.find((name) => name === values.with);
  const moves = Number(values.moves);
  if (values.help || recipe === undefined || !Number.isInteger(moves) || moves < 0) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const lab = new Lab();
  console.log(PICTURE);
  console.log(dim(`starting ${recipe} on three edge routers and a core router, and marpd on two ...`));
  return concluded(lab, 'no route and no link state of the core has changed', async () => {
    const clean = await new CleanCore(lab, recipe).start();
    const problems = await show(clean, moves === 0 ? Number.POSITIVE_INFINITY : moves);
    return { problems, stay: values.keep ? () => stay(clean) : undefined };
  });
}

/** Returns what is wrong, one sentence each. */
async function show(clean: CleanCore, moves: number): Promise<string[]> {
  const before = clean.view();
  console.log(bold('\n  routes of the core router'));
  console.log(
    clean.core
      .exec('ip', '-4', 'route', 'show')
      .replace(/^(?=.)/gm, '    ')
      .trimEnd(),
  );
  const watch = await clean.watch();
  const meter = await MoveMeter.start(clean.site);
  console.log(bold(HEADER));
  console.log(dim(LEGEND));
  const outages: number[] = [];
  for (let i = 1; i <= moves; i++) {
    const report = await clean.move(meter);
    outages.push(report.remote.outageMs);
    console.log(row(i, report, (await watch.changes()).length));
  }
  console.log(`\n  median outage of the remote host's stream: ${median(outages).toFixed(1)} ms`);
  const after = clean.view();
  const changes = (await watch.changes()).map((change) => `the core's kernel: ${change}`);
  if (after.kernel !== before.kernel) changes.push(`the core's routes are now\n${after.kernel}`);
  if (after.engine !== before.engine) changes.push(`the core's routing daemon now knows\n${after.engine}`);
  return [...changes, ...clean.site.stuckRoutes(meter.truth)];
}

const WIDTHS = [14, 10, 12, 8, 12, 8, 14];
const cells = (texts: readonly string[]) =>
  texts.map((text, i) => text.padStart(WIDTHS[i] as number)).join('');
const HEADER = `\n${cells(['move', 'claim', 'R3 sends', 'remote', 'neighbour', 'lost', 'core changed'])}`;
const LEGEND = `  ms since the host's first frame on its new LAN: its new router has the claim, R3 sends there; then the longest silence
  of a stream of one echo a millisecond from each of two, what the first one lost, and all changes of the core's routes`;

function row(number: number, report: MoveReport, changes: number): string {
  const since = (at: number | undefined) => sinceFrame(report, at)?.toFixed(1) ?? '-';
  const { from, to, claim, core, remote, neighbour } = report;
  return cells([
    `${number}  ${from} -> ${to}`,
    since(claim),
    since(core),
    remote.outageMs.toFixed(1),
    neighbour.outageMs.toFixed(1),
    String(remote.lost),
    String(changes),
  ]);
}

async function stay(clean: CleanCore): Promise<void> {
  const inside = (namespace: Namespace, command: string) => `ip netns exec ${namespace.name} ${command}`;
  const { site, core, engine } = clean;
  const { r1, r2, r3 } = site.routers;
  const ctl = (router: Namespace) =>
    inside(router, `node ${CTL} --socket ${site.marpd(router.role as FirstHop).socket} hosts`);
  console.log(`
  It stays up until Ctrl-C. Look for yourself (as root):

    who is where     ${[r1, r2].map(ctl).join('\n                     ')}
    the core         ${inside(core, 'ip -ts monitor route')}
                     ${inside(core, 'tcpdump -ni core2 udp port 4789')}
                     ${engine.commands.join('\n                     ')}
    R3               ${inside(r3, `ip route get ${HOST}`)}
                     ${site.engine('r3').commands.join('\n                     ')}
    the overlay      ${inside(r1, 'bridge fdb show')}
    from the remote  ${inside(site.remote, `ping ${HOST}`)}
`);
  await new Promise(() => setInterval(() => {}, 60_000));
}
