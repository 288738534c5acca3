import { test } from 'node:test';
import { Lab } from './namespace.js';
import { pause } from './program.js';

/**
 * A test with a laboratory of its own. Whatever happens, the lab is gone afterwards; when the scenario fails, its error
 * carries the output of every program and the place where the captures were kept.
 */
export function labTest(title: string, run: (lab: Lab) => Promise<void>, timeoutMs = 60_000): void {
  test(title, { timeout: timeoutMs + 15_000 }, async () => {
    const lab = new Lab();
    let timer: NodeJS.Timeout | undefined;
    // Our own time limit: the runner's would end the test without the report.
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the scenario took longer than ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      await Promise.race([run(lab), late]);
    } catch (error) {
      await pause(100); // synchronous commands kept us from reading what the programs said last
      const report = lab.failureReport();
      if (error instanceof Error && report !== '') error.message += `\n\n${report}`;
      throw error;
    } finally {
      clearTimeout(timer);
      lab.remove();
    }
  });
}

/** True when the long versions of the scenarios shall run. */
export const SOAK = process.env.MARPD_SOAK === '1';
