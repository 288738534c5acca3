/** A bar: what a measured value has to keep. */
export interface Target {
  readonly below?: number;
  readonly atLeast?: number;
}

export interface Measure {
  /** What was measured, unique within a run: results of two runs are compared by it. */
  readonly name: string;
  readonly value: number;
  /** `ms`, `MB`, `/s`, `%`; `x` and `x batch` are ratios to what was measured beside it in the same run. */
  readonly unit: string;
  readonly targets?: readonly Target[];
  readonly note?: string;
}

/** One part of the bench. */
export interface Part {
  readonly name: string;
  readonly about: string;
  run(context: Context): Promise<void>;
}

export interface Context {
  readonly quick: boolean;
  /** Tells a waiting person what is measured now. */
  say(text: string): void;
  /** Takes results; what was found before a failure is not lost. */
  found(...measures: readonly Measure[]): void;
  /** Takes a point of the growth curve: cost of so many hosts. */
  plot(point: CostPoint): void;
}

/** What `hosts` hosts cost. */
export interface CostPoint {
  readonly hosts: number;
  readonly rssMb: number;
  readonly pssMb: number;
  /** Percent of one core, with keepalive 30 s. */
  readonly cpuPercent: number;
  /** Frame to route of one more newcomer, p50. */
  readonly newcomerMs: number;
  /** One page of `GET /v1/hosts`. */
  readonly pageMs: number;
  /** Seconds from the start of a daemon that adopts so many routes until it knows them. */
  readonly adoptS: number;
}

export const below = (limit: number): Target => ({ below: limit });
export const atLeast = (limit: number): Target => ({ atLeast: limit });

export function isMet(value: number, target: Target): boolean {
  if (Number.isNaN(value)) return false;
  return value < (target.below ?? Number.POSITIVE_INFINITY) && value >= (target.atLeast ?? -Infinity);
}

export function missed(measure: Measure): boolean {
  return (measure.targets ?? []).some((target) => !isMet(measure.value, target));
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The smallest value that at least this share of the values does not exceed. NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
