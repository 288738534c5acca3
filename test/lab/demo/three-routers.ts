import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CTL } from '../kit/ctl.js';
import type { EngineName } from '../routed/engines.js';
import { Chronicle } from './chronicle.js';
import type { Family } from '../../../src/wire/addresses.js';
import { type FamilyReport, MoveMeter, type MoveReport, median, sinceFrame } from '../routed/moves.js';
import { Lab, type Namespace } from '../kit/namespace.js';
import { Capture } from '../kit/pcap.js';
import {
  type FirstHop,
  HOST,
  HOST_IPV6,
  NEIGHBOUR,
  NEIGHBOUR_IPV6,
  PLACES,
  REMOTE,
  REMOTE_IPV6,
} from '../routed/places.js';
import { RoutedSite } from '../routed/routed-site.js';
import { bold, dim, green, red } from './timeline.js';

/**
 * `sudo ./scripts/lab three-routers`: a host moves between two first-hop routers, and the whole network follows.
 * Everything that is printed was seen from outside, in captures and in the kernels' route announcements.
 */

const LAB_ENGINES: readonly EngineName[] = ['frr-ospf', 'frr-bgp', 'bird-bgp', 'bird-ospf'];

const PICTURE = `
  net1 10.1.1.0/24 ── lan0 [R1] core0 ── 192.0.2.0/30 ── core0 [R3] srv0 ── remote host ${REMOTE}
   neighbour ${NEIGHBOUR}        │ core1
                            │ 192.0.2.8/30
                            │ core1
  net2 10.2.2.0/24 ── lan0 [R2] core0 ── 192.0.2.4/30 ── core1 [R3]

  the mobile host: ${HOST}/24, gateway 10.1.1.1, at home on net1, never reconfigured
  R1, R2: marpd and a routing daemon; R3: a routing daemon only
`;

const PICTURE_IPV6 = `  IPv6: 2001:db8:N::/64 is netN, with fe80::1 as its gateway everywhere; the host has ${HOST_IPV6}, the remote host
  ${REMOTE_IPV6}, the neighbour ${NEIGHBOUR_IPV6}
`;

const USAGE = `usage: lab three-routers [options]

  --engine NAME   ${LAB_ENGINES.join(', ')} (default frr-ospf)
  --moves N       how often the host moves, to net2 and back (default 6)
  --family WHICH  4, 6 or both: the addresses that the host keeps (default 4)
  --live          as a live-migrated guest moves: its card never loses the carrier
  --out DIR       captures and timeline (default ${join(tmpdir(), 'marpd-three-routers-ENGINE')})
  --keep          stay up afterwards, until Ctrl-C
`;

/** One capture per segment; the echo streams would bury everything else. */
const SEGMENTS: readonly (readonly [name: string, role: 'r1' | 'r2' | 'r3', iface: string])[] = [
  ['net1', 'r1', 'lan0'],
  ['net2', 'r2', 'lan0'],
  ['r1-r3', 'r3', 'core0'],
  ['r2-r3', 'r3', 'core1'],
  ['r1-r2', 'r1', 'core1'],
  ['server', 'r3', 'srv0'],
];
const FILTER =
  'arp or rarp or icmp or icmp6 or (ip6 and ip6[6] = 0) or proto ospf or ip6 proto 89 or tcp port 179';

const FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  4: ['ipv4'],
  6: ['ipv6'],
  both: ['ipv4', 'ipv6'],
};

export async function threeRouters(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      engine: { type: 'string', default: 'frr-ospf' },
      moves: { type: 'string', default: '6' },
      family: { type: 'string', default: '4' },
      live: { type: 'boolean', default: false },
      out: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const engine = LAB_ENGINES.find((name) => name === values.engine);
  const moves = Number(values.moves);
  const families = Object.hasOwn(FAMILIES, values.family) ? FAMILIES[values.family] : undefined;
  if (
    values.help ||
    engine === undefined ||
    families === undefined ||
    !Number.isInteger(moves) ||
    moves < 0
  ) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const out = values.out ?? join(tmpdir(), `marpd-three-routers-${engine}`);
  mkdirSync(out, { recursive: true });

  const lab = new Lab();
  console.log(families.includes('ipv6') ? `${PICTURE}${PICTURE_IPV6}` : PICTURE);
  console.log(dim(`starting ${engine} on three routers and marpd on two ...`));
  const site = new RoutedSite(lab, engine, { families });
  let problems: readonly string[];
  try {
    await site.start();
    const captures = new Map<string, Capture>();
    for (const [name, role, iface] of SEGMENTS) {
      captures.set(name, await Capture.start(site.router(role), iface, FILTER));
    }
    const meter = await MoveMeter.start(site);
    const chronicle = new Chronicle(meter.ips, meter.offset);
    for (const [role, marpd] of site.marpds) await chronicle.watchDaemon(role, marpd);
    const reports: MoveReport[] = [];
    console.log(`\n${bold(HEADER)}\n${dim(LEGEND)}`);
    for (let i = 0; i < moves; i++) {
      const to: FirstHop = meter.at === 'r1' ? 'r2' : 'r1';
      const report = await meter.move(to, { carrierDrop: !values.live });
      reports.push(report);
      chronicle.act(
        report.cable.plugged,
        `move ${i + 1}: the cable of ${meter.ips.join(' and ')} is in ${PLACES[to].segment}`,
      );
      for (const family of families) console.log(row(i + 1, report, family));
    }
    if (reports.length > 0) for (const family of families) console.log(summary(reports, family));
    problems = site.stuckRoutes(meter.truth);
    console.log(verdict(meter.at, problems));
    writeFileSync(
      join(out, 'timeline.txt'),
      chronicle.text(
        meter.watch.events,
        [...captures].map(([name, capture]) => [name, capture.frames()]),
      ),
    );
    for (const [name, capture] of captures) copyFileSync(capture.path, join(out, `${name}.pcap`));
    console.log(dim(`\n  ${join(out, 'timeline.txt')}   everything merged, in one column of time`));
    console.log(
      dim(`  tcpdump -nr ${join(out, 'net2.pcap')}   and so on: ${SEGMENTS.map(([n]) => n).join(', ')}`),
    );
    if (values.keep) await stay(site, meter);
  } catch (error) {
    console.error(`${String(error)}\n${lab.failureReport()}`);
    return 1;
  } finally {
    lab.remove();
  }
  return problems.length === 0 ? 0 : 1;
}

const COLUMNS = ['move', 'proof', 'claim', 'R3', 'old', 'withdrew', 'remote', 'lost', 'neighbour', 'lost'];
const WIDTHS = [14, 8, 8, 8, 8, 10, 10, 6, 11, 6];
const cells = (texts: readonly string[]) =>
  texts.map((text, i) => text.padStart(WIDTHS[i] as number)).join('');
const HEADER = cells(COLUMNS);
const LEGEND = `  ms since the host's first frame on its new LAN: it answered the proof, its new router has the claim, R3 and its
  old router send there, the old router withdrew its claim; then the longest silence of a 1 ms echo stream`;

const ms = (value: number | undefined) => (value === undefined ? '-' : value.toFixed(1));

/** What one family saw of a move, with the move itself. */
const seenBy = (report: MoveReport, family: Family): FamilyReport & Pick<MoveReport, 'cable'> => ({
  ...(report.of.get(family) as FamilyReport),
  cable: report.cable,
});
const MARK: Readonly<Record<Family, string>> = { ipv4: '', ipv6: ' v6' };

function row(number: number, report: MoveReport, family: Family): string {
  const seen = seenBy(report, family);
  const since = (at: number | undefined) => ms(sinceFrame(seen, at));
  const { remote, neighbour } = seen;
  return cells([
    `${number}  ${report.from} -> ${report.to}${MARK[family]}`,
    ...[seen.proof, seen.claim, seen.core, seen.old, seen.withdrawn].map(since),
    ms(remote.outageMs),
    String(remote.lost),
    ms(neighbour.outageMs),
    String(neighbour.lost),
  ]);
}

function summary(reports: readonly MoveReport[], family: Family): string {
  const lines = [
    ['median', median],
    ['maximum', (values: readonly number[]) => Math.max(...values)],
  ] as const;
  const seen = reports.map((report) => seenBy(report, family));
  const moments = ['proof', 'claim', 'core', 'old', 'withdrawn'] as const;
  return lines
    .map(([title, fold]) => {
      const over = (pick: (one: (typeof seen)[number]) => number | undefined) => {
        const values = seen.map(pick).filter((value) => value !== undefined);
        return values.length === 0 ? '-' : ms(fold(values));
      };
      return bold(
        cells([
          `${title}${MARK[family]}`,
          ...moments.map((moment) => over((one) => sinceFrame(one, one[moment]))),
          over(({ remote }) => remote.outageMs),
          '',
          over(({ neighbour }) => neighbour.outageMs),
          '',
        ]),
      );
    })
    .join('\n');
}

function verdict(at: FirstHop, problems: readonly string[]): string {
  if (problems.length > 0) return red(['\n  stuck routes:', ...problems].join('\n    '));
  const who = at === 'r1' ? 'the host is at home and nobody announces it' : `only ${at} announces the host`;
  return green(`\n  every kernel and every table of the routing daemons agrees: ${who}`);
}

async function stay(site: RoutedSite, meter: MoveMeter): Promise<void> {
  const inside = (namespace: Namespace, command: string) => `ip netns exec ${namespace.name} ${command}`;
  const { r1, r2, r3 } = site.routers;
  const plug = (to: FirstHop) =>
    `ip -n ${site.network.namespace.name} link set ${meter.host.cable.port} master ${PLACES[to].segment}`;
  // MLD reports are behind hop-by-hop options, which the word icmp6 does not match.
  const frames = meter.ips.some((ip) => ip.includes(':')) ? '"arp or icmp6 or ip6[6] = 0"' : 'arp';
  console.log(`
  It stays up until Ctrl-C. Look for yourself (as root):

    move the host    ${plug('r2')}
                     ${inside(meter.host.namespace, `arping -U -c 1 -I eth0 ${HOST}`)}
    and home         ${plug('r1')}
    frames           ${inside(r2, `tcpdump -eni lan0 ${frames}`)}
    routes           ${inside(r3, `ip -ts monitor route`)}
    the daemons      ${[r1, r2].map((router) => inside(router, `node ${CTL} --socket ${site.marpd(router.role as FirstHop).socket} why ${meter.ips[0]}`)).join('\n                     ')}
    the engine       ${site.engine('r3').commands.join('\n                     ')}
    from the remote  ${inside(site.remote, `ping ${meter.ips[0]}`)}
`);
  await new Promise(() => setInterval(() => {}, 60_000));
}
