import { Lab } from '../lab/namespace.js';

/** Runs `work` in a laboratory of its own, which is gone afterwards. A failure carries what its programs said. */
export async function inLab<T>(work: (lab: Lab) => Promise<T>): Promise<T> {
  const lab = new Lab();
  try {
    return await work(lab);
  } catch (error) {
    const report = lab.failureReport();
    if (error instanceof Error && report !== '') error.message += `\n\n${report}`;
    throw error;
  } finally {
    lab.remove();
  }
}
