import { parseArgs } from 'node:util';
import { CTL } from '../kit/ctl.js';
import { Lab, type Namespace } from '../kit/namespace.js';
import { pause } from '../kit/program.js';
import type { EngineName } from '../routed/engines.js';
import { AWAY, type Failover, FailoverMeter, HOME, STREAMS, VISITOR } from '../routed/failovers.js';
import { PAIR, REMOTE } from '../routed/places.js';
import type { Fault, RedundantSite } from '../routed/redundant-site.js';
import { VIRTUAL_MAC, type Vrrp } from '../routed/virtual-router.js';
import { bold, dim } from './timeline.js';
import { concluded } from './verdict.js';

/** `sudo ./scripts/lab redundant-routers`: two routers on one LAN, the active one fails and returns (RFC 9568). */

const VRRP: readonly Vrrp[] = ['keepalived', 'frr'];
const LAB_ENGINES: readonly EngineName[] = ['frr-ospf', 'frr-bgp', 'bird-bgp'];
const FAULTS: readonly Fault[] = ['power', 'silent-power', 'lan', 'uplink'];
/** Between one change and the next. */
const REST_MS = 2000;

const PICTURE = `
  net1 10.1.1.0/24 ─┬─ lan0 [R1] core0 ─ 192.0.2.0/30 ─ core0 [R3] srv0 ─ remote host ${REMOTE}
                    │  .2     │ core1 ─ 192.0.2.8/30      │ core2
                    └─ lan0 [R2] core0 ─ 192.0.2.4/30 ────┤ core1
                       .3                                 │
  net4 10.2.2.0/24 ─── lan0 [R4] core0 ─ 192.0.2.12/30 ───┘

  gateway of net1: 10.1.1.1 at ${VIRTUAL_MAC}, on R1 or on R2
  on net1: ${HOME}, at home, and the visitor ${VISITOR}; on net4: ${AWAY}, whose home is net1
  R1, R2, R4: marpd and a routing daemon; R3: a routing daemon only
`;

const USAGE = `usage: lab redundant-routers [options]

  --vrrp NAME       ${VRRP.join(', ')} (default keepalived)
  --engine NAME     ${LAB_ENGINES.join(', ')} (default frr-ospf; the only one with frr)
  --fault NAME      what becomes of the active router: ${FAULTS.join(', ')} (default power)
  --failovers N     how often it fails and returns (default 3)
  --advert MS       interval of VRRP's advertisements (default 100, as shipped)
  --delay S         how long keepalived waits before R1 takes over again (default 10, as shipped)
  --keep            stay up afterwards, until Ctrl-C
`;

export async function redundantRouters(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      vrrp: { type: 'string', default: 'keepalived' },
      engine: { type: 'string', default: 'frr-ospf' },
      fault: { type: 'string', default: 'power' },
      failovers: { type: 'string', default: '3' },
      advert: { type: 'string', default: '100' },
      delay: { type: 'string', default: '10' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const vrrp = VRRP.find((name) => name === values.vrrp);
  const engine = LAB_ENGINES.find((name) => name === values.engine);
  const fault = FAULTS.find((name) => name === values.fault);
  const [failovers, advertMs, preemptDelayS] = [values.failovers, values.advert, values.delay].map(
    Number,
  ) as [number, number, number];
  const numbers = Number.isInteger(failovers) && failovers >= 0 && advertMs >= 10 && preemptDelayS >= 1;
  const fits = vrrp !== 'frr' || (engine === 'frr-ospf' && fault !== 'uplink');
  if (values.help || vrrp === undefined || engine === undefined || fault === undefined || !numbers || !fits) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const lab = new Lab();
  console.log(PICTURE);
  console.log(dim(`starting ${vrrp}, ${engine} and marpd ...`));
  return concluded(lab, 'one announcer for each host, and nobody has raised an alarm', async () => {
    const meter = await FailoverMeter.open(lab, engine, { vrrp, advertMs, preemptDelayS });
    const problems = await show(meter, fault, failovers);
    return { problems, stay: values.keep ? () => stay(meter.site) : undefined };
  });
}

/** Returns what is wrong in the end, one sentence each. */
async function show(meter: FailoverMeter, fault: Fault, failovers: number): Promise<string[]> {
  const lost: Record<string, number[]> = { fails: [], returns: [] };
  console.log(bold(`\n  one echo a millisecond in each of three streams: ${STREAMS.join(', ')}`));
  for (let i = 1; i <= failovers; i++) {
    await pause(REST_MS);
    const there = await meter.fail(fault);
    console.log(`    ${i}  ${there.from} fails (${fault}), ${there.to} takes over   ${text(there)}`);
    lost.fails?.push(outageOf(there));
    await pause(REST_MS);
    const back = await meter.recover(there.from, fault);
    console.log(`    ${i}  ${there.from} returns, and is active again   ${text(back)}`);
    lost.returns?.push(outageOf(back));
  }
  await pause(REST_MS);
  for (const [what, values] of Object.entries(lost))
    if (values.length > 0) console.log(`  ${what}: longest outage ${Math.max(...values).toFixed(0)} ms`);
  return meter.problems();
}

const outageOf = ({ windows }: Failover): number =>
  Math.max(...[...windows.values()].map(({ outageMs }) => outageMs));

function text({ windows }: Failover): string {
  return [...windows]
    .map(([name, { lost, outageMs }]) => `${name} ${lost} lost, ${outageMs.toFixed(1)} ms`)
    .join('   ');
}

async function stay(site: RedundantSite): Promise<void> {
  const inside = (namespace: Namespace, command: string) => `ip netns exec ${namespace.name} ${command}`;
  const ctl = (role: (typeof PAIR)[number], command: string) =>
    inside(site.router(role), `node ${CTL} --socket ${site.routed.marpd(role).socket} ${command}`);
  const both = (command: string) => PAIR.map((role) => ctl(role, command)).join('\n                     ');
  console.log(`
  It stays up until Ctrl-C. Look for yourself (as root):

    roles            ${both('status')}
    who is where     ${both('hosts')}
    VRRP             ${inside(site.router('r2'), 'tcpdump -eni lan0 proto 112')}
    the gateway      ${inside(site.router('r1'), 'ip addr show vrrp7')}
    routes of R3     ${inside(site.router('r3'), 'ip -ts monitor route')}
    from the remote  ${inside(site.remote, `ping ${VISITOR}`)}
`);
  await new Promise(() => setInterval(() => {}, 60_000));
}
