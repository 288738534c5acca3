import assert from 'node:assert/strict';
import { mulberry32 } from '../../random.js';
import type { Family } from '../../../src/wire/addresses.js';
import { SOAK } from '../kit/lab-test.js';
import { pause } from '../kit/program.js';
import type { EngineName } from './engines.js';
import { type MoveReport, median } from './moves.js';
import { type FirstHop, THREE } from './places.js';
import { recover, suite } from './suite.js';
import { Transfer } from './transfer.js';

/** Moves of a host with both families: the one may not be worse than the other. */

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/**
 * Medians of outages, ms. Other tests run beside the short one, and the machine is a small one: `npm run bench:move --
 * --family both` measures, beside ideal routes. FRR's BGP waits before it tells others (docs/routing.md).
 */
const OUTAGE_MS = SOAK ? 150 : 500;
const APART_MS = SOAK ? 5 : 250;
/** Shortest stay at one place; a host that is gone before it was announced everywhere looks like two. */
const RESTLESS_MS = 30;

export function dualStackMoves(engine: EngineName): void {
  suite(
    engine,
    'moves of a dual-stack host',
    { firstHops: THREE, families: FAMILIES },
    async ({ site, meter, step }) => {
      await step('both families follow a move alike (RFC 826, RFC 4861)', async () => {
        const reports: MoveReport[] = [];
        for (let i = 0; i < (SOAK ? 20 : 6); i++) {
          reports.push(await meter.move(meter.at === 'r1' ? 'r2' : 'r1'));
          await site.clean(meter.truth);
        }
        const [ipv4, ipv6] = FAMILIES.map((family) => medianOutage(reports, family)) as [number, number];
        console.log(`# ${engine}: median outage IPv4 ${ipv4.toFixed(1)} ms, IPv6 ${ipv6.toFixed(1)} ms`);
        for (const outage of [ipv4, ipv6]) assert.ok(outage < OUTAGE_MS, `median outage ${outage} ms`);
        assert.ok(Math.abs(ipv4 - ipv6) < APART_MS, `IPv4 ${ipv4} ms, IPv6 ${ipv6} ms`);
      });

      // The other engines do the rest in the long run.
      if (!SOAK && engine !== 'frr-ospf') return;

      await step(
        'random moves (seed 20260715) leave no stuck route of either family in any table',
        async () => {
          const random = mulberry32(20260715);
          for (let i = 0; i < (SOAK ? 200 : 10); i++) {
            const others = site.firstHops.filter((role) => role !== meter.at);
            meter.at = others[Math.floor(random() * others.length)] as FirstHop;
            await site.move(meter.host, meter.at, { carrierDrop: random() < 0.5 });
            await pause(RESTLESS_MS + random() ** 3 * 2500);
            if (i % 20 === 19) await settled();
          }
          await settled();
          await recover(site, meter);
        },
      );

      await step('TCP over IPv6 survives moves with its data intact', async () => {
        const [ip] = meter.host.ipv6;
        const transfer = await Transfer.start(meter.host, site.remote, ip);
        for (let i = 0; i < (SOAK ? 20 : 4); i++)
          await meter.move((['r2', 'r4', 'r1'] as const)[i % 3] as FirstHop);
        const { sent, read } = await transfer.finish();
        assert.equal(read, sent);
        assert.ok(Number.parseInt(sent, 10) > 1e6, `only ${sent} bytes passed`);
      });

      // A host that is back within a verdict is in dispute: its home keeps a claim of it.
      async function settled(): Promise<void> {
        if (meter.at === 'r1') await recover(site, meter);
        else await meter.atRest(meter.at);
        await site.clean(meter.truth, 10_000);
      }
    },
  );
}

function medianOutage(reports: readonly MoveReport[], family: Family): number {
  return median(reports.map(({ of }) => of.get(family)?.remote.outageMs ?? Number.NaN));
}
