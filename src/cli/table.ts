import { stripVTControlCharacters } from 'node:util';

/** What all text output is made of: aligned tables, colours, times. */

export const TIME_STYLES = ['clock', 'utc', 'ago'] as const;

/** How a person wants to see an answer. */
export interface View {
  readonly time: (typeof TIME_STYLES)[number];
  readonly color: boolean;
  /** Tables begin with the names of their columns. */
  readonly header: boolean;
  /** All columns. */
  readonly wide: boolean;
}

export const PLAIN: View = { time: 'clock', color: false, header: true, wide: false };

const COLORS = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;
export type Color = keyof typeof COLORS;

export function paint(view: View, color: Color | undefined, text: string): string {
  return view.color && color !== undefined && text !== '' ? `\x1b[${COLORS[color]}m${text}\x1b[0m` : text;
}

const widthOf = (cell: string | undefined) =>
  cell === undefined ? 0 : stripVTControlCharacters(cell).length;

/** Columns as wide as their widest cell; the last one is not padded. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  view: View = PLAIN,
): string {
  const lines = view.header ? [header.map((name) => paint(view, 'bold', name)), ...rows] : rows;
  const widths = header.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column]))));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

export function formatFields(fields: readonly (readonly [string, string | undefined])[]): string {
  const said = fields.filter((field): field is readonly [string, string] => field[1] !== undefined);
  const width = Math.max(...said.map(([name]) => name.length)) + 1;
  return said.map(([name, value]) => `${`${name}:`.padEnd(width)} ${value}\n`).join('');
}

const two = (value: number) => String(value).padStart(2, '0');

/** `250ms`, `1.2s`, `1m01s`, `2h03m`, `3d04h` */
export function formatAge(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (hours === 0) return `${minutes}m${two(seconds % 60)}s`;
  if (days === 0) return `${hours}h${two(minutes % 60)}m`;
  return `${days}d${two(hours % 24)}h`;
}

const DAY_MS = 86_400_000;

/** When it was: the time of day to lay beside tcpdump's, with the date if that is more than a day ago. */
export function formatWhen(view: View, time: string, agoMs: number): string {
  if (view.time === 'utc') return time;
  if (view.time === 'ago') return `${formatAge(agoMs)} ago`;
  return agoMs < DAY_MS ? localTime(time) : `${localDate(time)} ${localTime(time)}`;
}

/** `14:03:07.123456` of ISO 8601 with microseconds. */
export function localTime(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const fraction = /\.(\d+)Z$/.exec(iso)?.[1] ?? '';
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}`;
}

function localDate(iso: string): string {
  const date = new Date(iso);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
