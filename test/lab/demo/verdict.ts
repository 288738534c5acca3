import type { Lab } from '../kit/namespace.js';
import { green, red } from './timeline.js';

/**
 * Runs a demonstration, says what was wrong in the end, or `fine` if nothing was, and removes the lab. `show` gives a
 * sentence for each problem, and what is to be done before the end. Returns the exit status.
 */
export async function concluded(
  lab: Lab,
  fine: string,
  show: () => Promise<{
    readonly problems: readonly string[];
    readonly stay?: (() => Promise<void>) | undefined;
  }>,
): Promise<number> {
  try {
    const { problems, stay } = await show();
    console.log(problems.length === 0 ? green(`\n  ${fine}`) : red(['', ...problems].join('\n  ')));
    await stay?.();
    return problems.length === 0 ? 0 : 1;
  } catch (error) {
    console.error(`${String(error)}\n${lab.failureReport()}`);
    return 1;
  } finally {
    lab.remove();
  }
}
