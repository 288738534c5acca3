import assert from 'node:assert/strict';
import type { Host } from '../kit/host.js';
import { labTest, SOAK } from '../kit/lab-test.js';
import { neighborSolicitation, type SeenNd } from '../kit/nd.js';
import { Capture } from '../kit/pcap.js';
import { waitFor } from '../kit/program.js';
import { AWAY, type Failover, FailoverMeter, VISITOR } from '../routed/failovers.js';
import { type FirstHop, PAIR, SHARED_GATEWAY, twinOf } from '../routed/places.js';
import type { Fault } from '../routed/redundant-site.js';
import { VIRTUAL_MAC_IPV6, type Vrrp } from '../routed/virtual-router.js';

/**
 * Two routers on one LAN with hosts of both families: each family has a virtual router of its own (RFC 9568), decided by
 * keepalived or by FRR's vrrpd with the files for IPv6 of docs/redundant-routers.md. redundant-routers.test.ts has IPv4.
 */

const ADVERT_MS = 60;
/** One failover on a busy box. */
const LIMIT_MS = SOAK ? 1500 : 3000;
/** What is sent in half a second. */
const SWITCH_LOST = 50;
/** A small machine has enough to do with two routing daemons. */
const PERIOD_MS = 10;
/** As in redundant-routers.test.ts: a busy box holds up bfdd, and more so the scripts that keepalived starts. */
const PATIENCE = SOAK ? {} : { bfdPackets: 8, scripts: false };

/** Lives at R4's LAN as far as anybody knows, and is none: the visitor takes it for its neighbour. */
const FAR = '2001:db8:2::77';
const GATEWAY = '2001:db8:1::1';

const CASES: readonly (readonly [vrrp: Vrrp, faults: readonly Fault[]])[] = [
  ['keepalived', SOAK ? ['power', 'silent-power', 'lan', 'uplink'] : ['power']],
  ['frr', SOAK ? ['power', 'silent-power', 'lan'] : ['power']],
];

for (const [vrrp, faults] of CASES)
  labTest(
    `${vrrp}, IPv6: one router answers solicitations, and the other one after its failure (RFC 9568, RFC 4861)`,
    async (lab) => {
      const options = { vrrp, advertMs: ADVERT_MS, preemptDelayS: 3, ...PATIENCE };
      const families = ['ipv4', 'ipv6'] as const;
      const meter = await FailoverMeter.open(lab, 'frr-ospf', { families, ...options }, PERIOD_MS);
      const { site } = meter;
      const captures = new Map<FirstHop, Capture>();
      for (const role of PAIR) captures.set(role, await Capture.start(site.router(role), 'lan0', 'icmp6'));
      await oneClaim(meter, 'r1');
      await answersAlone(meter, captures, 'r1');
      for (const role of PAIR) healthy(meter, role);
      for (const fault of faults) {
        const there = await meter.fail(fault);
        inTime(there, `${fault} of ${there.from}`);
        await answersAlone(meter, captures, there.to);
        await peace(meter);
        const back = await meter.recover(there.from, fault);
        for (const [name, { lost }] of back.windows)
          assert.ok(lost <= SWITCH_LOST, `${lost} lost of ${name} when ${back.to} returned`);
        await oneClaim(meter, back.to);
        await answersAlone(meter, captures, back.to);
        await peace(meter);
      }
      if (vrrp === 'frr') await advertisesAlone(captures.get('r2') as Capture);
    },
    SOAK ? 400_000 : 120_000,
  );

function inTime({ windows }: Failover, what: string): void {
  const outages = [...windows].map(([name, { outageMs }]) => `${name} ${outageMs.toFixed(0)} ms`);
  console.log(`# ${what}: ${outages.join(', ')}`);
  for (const [name, { outageMs }] of windows)
    assert.ok(outageMs < LIMIT_MS, `${what}: ${outageMs.toFixed(0)} ms without ${name}`);
}

/** Every solicitation for a gateway or for a host that is elsewhere has one answer, from the active router's virtual MAC. */
async function answersAlone(
  meter: FailoverMeter,
  captures: ReadonlyMap<FirstHop, Capture>,
  active: FirstHop,
): Promise<void> {
  const { home, visitor, site } = meter;
  const asked: readonly (readonly [Host, string])[] = [
    [home, SHARED_GATEWAY],
    [home, GATEWAY],
    [home, twinOf(AWAY)],
    [visitor, SHARED_GATEWAY],
    [visitor, FAR],
  ];
  const [capture, other] = [active, site.otherOf(active)].map((role) => captures.get(role)) as [
    Capture,
    Capture,
  ];
  for (const [host, target] of asked) {
    const since = Date.now();
    const ip = host.ipv6[0] as string;
    (await host.frames()).send(neighborSolicitation(ip, host.mac, target));
    const wanted: Partial<SeenNd> = { kind: 'na', target, toIp: ip, isSolicited: true };
    const answer = await capture.nd(wanted, 3000, since);
    const what = `${target}, asked for by ${ip} with ${active} active`;
    assert.equal(answer.source, VIRTUAL_MAC_IPV6, what);
    assert.equal(answer.lla, VIRTUAL_MAC_IPV6, what);
    assert.equal(answer.isRouter, target === SHARED_GATEWAY || target === GATEWAY, what);
    assert.deepEqual(other.nds(wanted, since), [], `${what}: the standby has answered`);
  }
}

/**
 * vrrpd has zebra advertise the gateway, every 16 s (RFC 9568 section 8.2.3). The capture has what both routers send to all
 * nodes.
 */
async function advertisesAlone(capture: Capture): Promise<void> {
  await capture.nd({ kind: 'ra' }, 20_000);
  for (const { source, lla, fromIp } of capture.nds({ kind: 'ra' }))
    assert.deepEqual([source, lla, fromIp], [VIRTUAL_MAC_IPV6, VIRTUAL_MAC_IPV6, SHARED_GATEWAY]);
}

/** The visitor's /128 is the active router's. The standby has it beneath, and what the daemons believe is in the kernels. */
async function oneClaim({ site }: FailoverMeter, active: FirstHop): Promise<void> {
  const ip = twinOf(VISITOR);
  const standby = site.otherOf(active);
  await site.routed.marpd(active).state(ip, 'settled', 10_000);
  await site.routed.marpd(standby).state(ip, 'beneath', 10_000);
  await waitFor(
    async () => {
      const found = await Promise.all(PAIR.map((role) => site.routed.marpd(role).disagreements()));
      return found.flat().length === 0;
    },
    5000,
    'daemons and kernels to agree',
  );
  assert.deepEqual(site.routed.announcers('r3').get(ip), [active]);
}

/** What `marpctl doctor` says of the files that we ship. It takes a question of the other marpd for that of a querier. */
function healthy({ site }: FailoverMeter, role: FirstHop): void {
  const { stdout } = site.routed.marpd(role).ctl.run('doctor', '--json');
  const { findings } = JSON.parse(stdout) as { findings: { level: string; check: string }[] };
  const bad = findings.filter(({ level, check }) => level !== 'ok' && check !== 'snooping');
  assert.deepEqual(bad, [], role);
}

/** Who has which address is what every table says, and nobody has raised an alarm. */
async function peace(meter: FailoverMeter): Promise<void> {
  await meter.site.agrees(meter.here, meter.elsewhere);
  assert.deepEqual(await meter.site.alarms(), []);
}
