/** Durations as people write them. */

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of `"250ms"`, `"5s"`, `"10m"`, `"1h"` or `"0"`; a fraction such as `"1.5s"` is fine. */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (match === null) return undefined;
  const ms = Number(match[1]) * (DURATION_UNITS_MS[match[2] as string] as number);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest text that `parseDurationMs` reads back. */
export function formatDurationMs(ms: number): string {
  if (ms === 0) return '0';
  for (const unit of ['h', 'm', 's']) {
    const unitMs = DURATION_UNITS_MS[unit] as number;
    if (ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}
