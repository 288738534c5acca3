/**
 * How hard a property is tried: always the same examples in the test suite, so that a red run can be repeated; new ones,
 * and ten times as many, with MARPD_SOAK=1.
 */
export function effort(numRuns: number): { readonly numRuns: number; readonly seed?: number } {
  return process.env.MARPD_SOAK === '1' ? { numRuns: 10 * numRuns } : { numRuns, seed: 20_826 };
}
