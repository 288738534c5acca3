import { test } from 'node:test';
import type { EngineName } from './engines.js';
import { monotonicNs } from './gauges.js';
import { MoveMeter } from './moves.js';
import { Lab } from '../kit/namespace.js';
import { waitFor } from '../kit/program.js';
import { type FirstHop, HOST } from './places.js';
import { RoutedSite, type RoutedSiteOptions } from './routed-site.js';
import { SOAK } from '../kit/lab-test.js';

/**
 * Many short scenarios on one site of several routers, since starting one takes longer than most scenarios. Every step
 * begins with the host at home and everything at rest; what it left behind is the failure of the step itself.
 */

export interface Suite {
  readonly site: RoutedSite;
  readonly meter: MoveMeter;
  step(title: string, run: () => Promise<void>): Promise<void>;
}

const STEP_MS = SOAK ? 900_000 : 120_000;

/** `MARPD_STEP='random|TCP'`: only those steps, for whoever looks for a fault. */
const WANTED = process.env.MARPD_STEP === undefined ? undefined : new RegExp(process.env.MARPD_STEP);

export function suite(
  engine: EngineName,
  title: string,
  options: RoutedSiteOptions,
  run: (suite: Suite) => Promise<void>,
  timeoutMs = SOAK ? 3_600_000 : 600_000,
): void {
  test(`${engine}: ${title}`, { timeout: timeoutMs }, async (context) => {
    const lab = new Lab();
    let now: Situation | undefined;
    const explained = async <T>(action: () => Promise<T>): Promise<T> => {
      try {
        return await action();
      } catch (error) {
        if (error instanceof Error) {
          error.message += `\n\n${lab.failureReport()}`;
          if (now !== undefined) error.message += `\n\n${await now.describe()}`;
        }
        throw error;
      }
    };
    try {
      const site = await explained(() => new RoutedSite(lab, engine, options).start());
      const meter = await explained(() => MoveMeter.start(site));
      now = new Situation(site, meter);
      const step = async (name: string, scenario: () => Promise<void>): Promise<void> => {
        if (WANTED !== undefined && !WANTED.test(name)) return;
        let whole = false;
        await context.test(`${engine}: ${name}`, { timeout: STEP_MS + 80_000 }, () =>
          explained(async () => {
            await withinTime(scenario(), STEP_MS);
            await withinTime(home(site, meter), 60_000);
            whole = true;
          }),
        );
        // One fault is one failure: the next step shall not inherit it.
        if (!whole) await explained(() => recover(site, meter));
      };
      await run({ site, meter, step });
    } finally {
      lab.remove();
    }
  });
}

/** What a failed step tells of the host: what every daemon believes of it, and how its routes came about. */
class Situation {
  constructor(
    readonly site: RoutedSite,
    readonly meter: MoveMeter,
  ) {}

  async describe(): Promise<string> {
    const { site, meter } = this;
    const lines = [`  the host is at ${meter.at}, as far as the test knows; now is ${monotonicNs() / 1e6}`];
    for (const ip of meter.ips) lines.push(...(await this.#about(ip)));
    lines.push(meter.host.namespace.exec('ip', 'neigh'));
    lines.push('  what the tables would have to lose, if it was at home:', ...site.stuckRoutes(new Map()));
    return lines.join('\n');
  }

  async #about(ip: string): Promise<string[]> {
    const { site, meter } = this;
    const lines: string[] = [];
    for (const role of site.firstHops) {
      const { ctl } = site.marpd(role);
      try {
        lines.push(`  ${role}: ${JSON.stringify(await ctl.host(ip))}`);
        const why = await ctl.why(ip);
        for (const line of JSON.stringify(why, undefined, 1).split('\n{').slice(-1))
          lines.push(line.slice(-6000));
      } catch (error) {
        lines.push(`  ${role}: ${String(error)}`);
      }
    }
    for (const { at, role, added, via, protocol, metric } of meter.watch.of(ip).slice(-150)) {
      lines.push(
        `  ${(at / 1e6).toFixed(1)} ${role} ${added ? '+' : '-'} ${via ?? 'lan0'} proto ${protocol} metric ${metric}`,
      );
    }
    lines.push(site.engine('r3').explain(ip));
    return lines;
  }
}

/** Brings the host home and waits until nobody holds anything for it. */
export async function home(site: RoutedSite, meter: MoveMeter): Promise<void> {
  if (meter.at !== 'r1') {
    await site.move(meter.host, 'r1');
    meter.at = 'r1';
  }
  await meter.atRest('r1');
  await site.clean(new Map(), 10_000);
  await meter.steady(100, 15_000);
}

/** Starts what is dead, ends all disputes, and brings the host home. */
export async function recover(site: RoutedSite, meter: MoveMeter): Promise<void> {
  for (const marpd of site.marpds.values()) if (marpd.program?.running !== true) await marpd.start('lan0');
  await site.move(meter.host, 'r1');
  meter.at = 'r1';
  // A claim that is cleared in the middle of a move gives the host back to whoever has not withdrawn yet.
  await waitFor(
    async () => {
      for (const ip of meter.ips) {
        const state = (await site.marpd('r1').ctl.host(ip))?.state;
        if (state !== 'settled' && state !== 'home') return false;
        if (site.firstHops.some((role) => role !== 'r1' && site.marpd(role).routesOf(ip).length > 0))
          return false;
      }
      return true;
    },
    20_000,
    'the host to be held at home only',
    100,
  );
  await waitFor(
    async () => {
      for (const ip of meter.ips) {
        for (const { ctl } of site.marpds.values()) await ctl.post('/v1/clear', { ip });
        if ((await site.marpd('r1').ctl.host(ip))?.contest != null) return false;
      }
      return true;
    },
    10_000,
    'the end of all disputes',
    1000,
  );
  await home(site, meter);
}

/** Waits until the router holds the host for good: settled, or recorded at home. */
export async function atRest(site: RoutedSite, at: FirstHop, ip = HOST, timeoutMs = 20_000): Promise<void> {
  const wanted = at === 'r1' ? 'home' : 'settled';
  await waitFor(
    async () => (await site.marpd(at).ctl.host(ip))?.state === wanted,
    timeoutMs,
    `${ip} to be ${wanted} at ${at}`,
    20,
  );
}

async function withinTime(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
