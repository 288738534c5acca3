import type { QuestionPurpose } from './host.js';

/** Offsets of the tries and of the verdict, ms (DESIGN 3.2). */
export interface Pace {
  readonly tries: readonly number[];
  readonly verdictMs: number;
}

const PACES: Readonly<Partial<Record<QuestionPurpose, Pace>>> = {
  prove: { tries: [0, 50, 150], verdictMs: 500 },
  keepalive: { tries: [0, 250, 500], verdictMs: 750 },
  displaced: { tries: [0, 200, 400], verdictMs: 600 },
};

/** How a question is asked. Whether a host is still at its old place is told within `v` ms (DESIGN 3.3). */
export function paceOf(purpose: QuestionPurpose, v: number): Pace {
  return PACES[purpose] ?? { tries: [0, v / 3, (2 * v) / 3], verdictMs: v };
}
