/** Of this run: `MARPD_SEED=N`, a random one with `MARPD_SOAK=1`, else always the same, as of the properties. */
export const SEED = Number(
  process.env.MARPD_SEED ?? (process.env.MARPD_SOAK === '1' ? Math.floor(Math.random() * 2 ** 31) : 20_826),
);

/** The numbers of a run, whose seed it prints. */
export function seeded(): () => number {
  console.log(`MARPD_SEED=${SEED}`);
  return mulberry32(SEED);
}

/**
 * mulberry32: numbers in [0, 1), the same sequence for the same seed. The only source of chance in the
 * tests.
 */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
