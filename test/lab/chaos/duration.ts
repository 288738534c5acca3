import { SOAK } from '../kit/lab-test.js';

/** How long there is chaos. */
export const SECONDS = Number(process.env.MARPD_SOAK_SECONDS ?? (SOAK ? 600 : 20));
export const IS_SHORT = SECONDS < 120;
export const CHECKPOINT_MS = IS_SHORT ? 10_000 : 60_000;
/** The rest of a storm, of a restarted child or of an idle connection is over by then. */
export const CALM_MS = IS_SHORT ? 30_000 : 90_000;
