import { test } from 'node:test';
import { Lab } from './namespace.js';
import { pause } from './program.js';

/**
 * A test with a laboratory of its own. Whatever happens, the lab is gone afterwards; when the test fails, its error
 * carries the output of every program and the place where the captures were kept.
 */
export function labTest(title: string, run: (lab: Lab) => Promise<void>, timeoutMs = 60_000): void {
  test(title, { timeout: timeoutMs + 15_000 }, async () => {
    const lab = new Lab();
    try {
      await explained(lab, timeoutMs, () => run(lab));
    } finally {
      lab.remove();
    }
  });
}

/** Steps that share a laboratory, since starting one takes longer than most of them. They must not depend on each other. */
export function labSuite<Site>(
  title: string,
  prepare: (lab: Lab) => Promise<Site>,
  steps: (site: Site) => readonly (readonly [title: string, run: () => Promise<void>])[],
  timeoutMs = 30_000,
): void {
  test(title, { timeout: Math.max(600_000, 2 * timeoutMs) }, async (context) => {
    const lab = new Lab();
    try {
      const site = await explained(lab, timeoutMs, () => prepare(lab));
      for (const [name, run] of steps(site)) await context.test(name, () => explained(lab, timeoutMs, run));
    } finally {
      lab.remove();
    }
  });
}

async function explained<T>(lab: Lab, timeoutMs: number, run: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  // Our own time limit: the runner's would end the test without the report.
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the test took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([run(), late]);
  } catch (error) {
    await pause(100); // synchronous commands kept us from reading what the programs printed last
    const report = lab.failureReport();
    if (error instanceof Error && report !== '') error.message += `\n\n${report}`;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** True when the long versions of the scenarios shall run. */
export const SOAK = process.env.MARPD_SOAK === '1';
