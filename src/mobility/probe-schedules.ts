import type { ProbePurpose } from './host/host.js';

/** Offsets of the tries and of the verdict, ms (design.md 3.2). */
export interface ProbeSchedule {
  readonly tries: readonly number[];
  readonly timeoutMs: number;
}

const PROBE_SCHEDULES: Readonly<Partial<Record<ProbePurpose, ProbeSchedule>>> = {
  prove: { tries: [0, 50, 150], timeoutMs: 500 },
  keepalive: { tries: [0, 250, 500], timeoutMs: 750 },
  displaced: { tries: [0, 200, 400], timeoutMs: 600 },
};

/** How a question is asked. Whether a host is still at its old place is told within `v` ms (design.md 3.3). */
export function scheduleOf(purpose: ProbePurpose, v: number): ProbeSchedule {
  return PROBE_SCHEDULES[purpose] ?? { tries: [0, v / 3, (2 * v) / 3], timeoutMs: v };
}
