import { parseArgs } from 'node:util';
import { ENGINES, type EngineName } from '../routed/engines.js';
import { GUEST, type HypervisorOptions, Hypervisors, type Told, addressOf } from '../vm/hypervisors.js';
import { GuestHung, MigrationMeter, type MigrationReport, beyondDowntime } from '../vm/migration-meter.js';
import { median } from '../routed/moves.js';
import { Lab } from '../kit/namespace.js';
import { describeFrame } from '../kit/pcap.js';
import { NEIGHBOUR, REMOTE } from '../routed/places.js';
import { bold, dim, green, red } from './timeline.js';
import { accelerator } from '../vm/virtual-machine.js';

/**
 * `sudo ./scripts/lab live-migration`: a small Linux guest under QEMU keeps its address, its pings and its TCP
 * connections while it is migrated between two hypervisors in two subnets. Each way in which the network can hear of it
 * is measured by itself.
 */

const PICTURE = `
  home LAN 10.1.1.0/24 ─ lan0 [ A ]── tap          the guest: ${addressOf(GUEST)}/24, gateway ${GUEST.gateway},
   neighbour ${NEIGHBOUR}       │  ╲                            never reconfigured, its carrier never drops
                              │   [R3] ── remote host ${REMOTE}
                              │  ╱
   10.2.2.0/24 ──────── lan0 [ B ]── tap           A, B: QEMU, marpd and a routing daemon each
`;

interface Row {
  readonly told: Told;
  readonly announces: boolean;
  readonly title: string;
  readonly what: string;
}

const ROWS: readonly Row[] = [
  {
    told: 'script',
    announces: false,
    title: 'ideal',
    what: 'no marpd: a script writes all routes at the instant when the guest resumes. The floor.',
  },
  {
    told: 'hooks',
    announces: true,
    title: 'hooks',
    what: "libvirt's hook (prepare, detach) and events agent (attach, detach), and what QEMU and the guest send",
  },
  {
    told: 'announcements',
    announces: true,
    title: 'RARP + guest',
    what: 'no hook: five RARP frames of QEMU and five gratuitous ARP requests of the guest',
  },
  {
    told: 'announcements',
    announces: false,
    title: 'RARP only',
    what: 'no hook, guest_announce=off: all that is heard of the guest is its MAC',
  },
  {
    told: 'guest',
    announces: true,
    title: 'guest only',
    what: "no hook, QEMU's RARP kept back by a bridge: the guest announces itself once it is awake",
  },
  {
    told: 'nothing',
    announces: false,
    title: 'no signal',
    what: 'no hook, no announcement: nobody says a word, so nobody can know',
  },
];

const QUICK = { patienceMs: 8000 };

/** Outcomes of one row; undefined when the guest was not found within the time. */
interface Result {
  readonly row: Row;
  readonly reports: readonly MigrationReport[];
  readonly lostFor: string | undefined;
  readonly hung: number;
}

export async function liveMigration(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      migrations: { type: 'string', default: '4' },
      engine: { type: 'string', default: 'frr-ospf' },
      only: { type: 'string' },
      bridged: { type: 'boolean' },
      'own-tap-macs': { type: 'boolean' },
      prove: { type: 'string', default: 'before' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const count = Number(values.migrations);
  const engine = ENGINES.find((name) => name === values.engine);
  const rows = ROWS.filter(({ title }) => values.only === undefined || title === values.only);
  const prove = (['before', 'after'] as const).find((policy) => policy === values.prove);
  const known = engine !== undefined && prove !== undefined;
  if (values.help === true || !known || !(count >= 1) || rows.length === 0) {
    console.log(usage());
    return values.help === true ? 0 : 2;
  }
  const options = { bridged: values.bridged === true, ownTapMacs: values['own-tap-macs'] === true, prove };
  console.log(`${bold('marpd: a virtual machine takes its address along')}\n${PICTURE}`);
  console.log(
    dim(`QEMU with ${accelerator().toUpperCase()}, ${engine}, ${count} migrations each, there and back\n`),
  );
  const results: Result[] = [];
  for (const row of rows) results.push(await playRow(row, count, engine, options));
  console.log(`\n${table(results)}`);
  const failed = results.some(({ row, reports }) => row.told !== 'nothing' && reports.length < count);
  console.log(
    failed ? `\n${red('Not all migrations came through.')}` : `\n${green('Every guest came through.')}`,
  );
  return failed ? 1 : 0;
}

function usage(): string {
  return `usage: live-migration [options]

  --migrations N    of each kind, there and back in turn (default 4)
  --engine NAME     ${ENGINES.join(', ')} (default frr-ospf)
  --only KIND       one of ${ROWS.map(({ title }) => `"${title}"`).join(', ')}
  --bridged         A's home LAN is a bridge with the guest's tap in it: it knows its neighbours' own MACs
  --prove POLICY    of the taps: before (default), or after, which believes RARP of a known MAC at once
  --own-tap-macs    every tap has a MAC of its own, not the guest's with fe in front as libvirt gives them`;
}

/** One kind of signal, with a site of its own. A guest that QEMU hangs up is replaced once. */
async function playRow(
  row: Row,
  count: number,
  engine: EngineName,
  options: HypervisorOptions,
): Promise<Result> {
  console.log(`${bold(row.title)}  ${dim(row.what)}`);
  const reports: MigrationReport[] = [];
  let hung = 0;
  let lostFor: string | undefined;
  while (reports.length < count && lostFor === undefined) {
    const lab = new Lab();
    try {
      const hypervisors = new Hypervisors(lab, engine, options);
      if (row.told === 'script') hypervisors.startIdeal();
      else await hypervisors.start();
      await hypervisors.boot({ ...GUEST, announces: row.announces }, row.told);
      const meter = await MigrationMeter.start(hypervisors);
      while (reports.length < count) {
        const report = await meter.migrate(row.told, QUICK.patienceMs);
        if (reports.length === 0) console.log(frames(report));
        reports.push(report);
        console.log(line(report));
      }
    } catch (error) {
      if (error instanceof GuestHung && hung === 0) {
        hung++;
        console.log(red('  the guest hung under QEMU after its migration: once more, with another one'));
        continue;
      }
      lostFor = `not within ${QUICK.patienceMs / 1000} s`;
      const message = error instanceof Error ? error.message : String(error);
      if (row.told === 'nothing') console.log(`  ${lostFor}, as was to be expected`);
      else console.log(`${red(`  ${message}`)}\n${lab.failureReport()}`);
    } finally {
      lab.remove();
    }
  }
  console.log('');
  return { row, reports, lostFor, hung };
}

/** What the guest and QEMU sent on the new tap, and what marpd asked, from the moment when the guest resumed. */
function frames(report: MigrationReport): string {
  const rows = report.frames.map(
    (frame) =>
      `    ${(frame.at - report.resumedAt).toFixed(2).padStart(9)} ms  ${describeFrame(frame).slice(13)}`,
  );
  return dim(
    [`    tcpdump -i ${report.tap.name} arp or rarp, from the moment when the guest resumed:`, ...rows].join(
      '\n',
    ),
  );
}

const NAMES = { r1: 'A', r2: 'B' } as const;

function line(report: MigrationReport): string {
  const { from, to, downtimeMs, remote, neighbour, remoteTcp, neighbourTcp, steps } = report;
  const at = (ms: number) => `${ms.toFixed(0)} ms`;
  const udp = (seen: typeof remote) => `${seen.lost} lost, silent ${seen.outageMs.toFixed(0)} ms`;
  return (
    `  ${NAMES[from]} to ${NAMES[to]}: guest stopped for ${downtimeMs.toFixed(0)} ms; UDP remote ${udp(remote)}, ` +
    `neighbour ${udp(neighbour)}; TCP silent ${remoteTcp.outageMs.toFixed(0)} and ${neighbourTcp.outageMs.toFixed(0)} ms; ` +
    `after the resume: heard ${at(steps.heard)}, routed ${at(steps.routed)}, R3 re-pointed ${at(steps.converged)}, ` +
    `guest awake ${at(steps.awake)}`
  );
}

const HEAD = [
  'ms, median (worst)',
  'downtime',
  'network: remote',
  'neighbour',
  'silence: remote',
  'R3 re-pointed',
  'guest awake',
  'TCP',
  'n',
];

function table(results: readonly Result[]): string {
  const rows = results.map(({ row, reports, lostFor, hung }) => {
    const figures = (pick: (report: MigrationReport) => number) => {
      const values = reports.map(pick);
      return values.length === 0
        ? (lostFor ?? '')
        : `${median(values).toFixed(0)} (${Math.max(...values).toFixed(0)})`;
    };
    return [
      row.title,
      figures((report) => report.downtimeMs),
      figures((report) => beyondDowntime(report, report.remote)),
      figures((report) => beyondDowntime(report, report.neighbour)),
      figures((report) => report.remote.outageMs - report.downtimeMs),
      figures((report) => report.steps.converged),
      figures((report) => report.steps.awake),
      figures((report) => Math.max(report.remoteTcp.outageMs, report.neighbourTcp.outageMs)),
      `${reports.length}${hung > 0 ? `, ${hung} hung` : ''}`,
    ];
  });
  const all = [HEAD, ...rows];
  const widths = HEAD.map((_, column) => Math.max(...all.map((cells) => (cells[column] as string).length)));
  const format = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join('  ');
  return [
    bold(format(HEAD)),
    ...rows.map(format),
    '',
    dim('downtime   from the stop on the old hypervisor to the resume on the new one: QEMU alone'),
    dim(
      'network    time for which datagrams (one every 5 ms) were lost, beyond the downtime: what marpd answers for',
    ),
    dim('silence    time without an echo, beyond the downtime: and the guest has to wake up, too'),
    dim('R3 ...     from the resume until the remote router sends to the new hypervisor'),
    dim(
      'guest ...  from the resume to the first ARP frame of the guest itself: before, it can prove nothing',
    ),
    dim(
      'TCP        time without an echo on a connection, as it is: its retransmission timer starts at 200 ms',
    ),
  ].join('\n');
}
