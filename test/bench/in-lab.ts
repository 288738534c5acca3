import { Lab } from '../lab/kit/namespace.js';

const SAID_LINES = 8;
const SAID_COLUMNS = 200;

/** Runs `work` in a laboratory of its own, which is gone afterwards. A failure carries what its programs said. */
export async function inLab<T>(work: (lab: Lab) => Promise<T>): Promise<T> {
  const lab = new Lab();
  try {
    return await work(lab);
  } catch (error) {
    const lines = lab.failureReport().split('\n').slice(-SAID_LINES);
    const report = lines.map((line) => line.slice(0, SAID_COLUMNS)).join('\n');
    if (error instanceof Error && report !== '') error.message += `\n\n${report}`;
    throw error;
  } finally {
    lab.remove();
  }
}
