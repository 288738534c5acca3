import type { ControlClient } from '../control/client.js';
import type { EventRecord } from '../control/records.js';
import type { InterfaceView, StatusView } from '../control/schemas.js';
import type { HostState } from '../mobility/events.js';
import { EXIT, type Invocation, Usage, isJson, pause } from './arguments/command.js';
import { formatRecord } from './format.js';
import { type View, formatAge, formatTable, paint } from './table.js';

/** `marpctl top`: one screen, drawn again and again: the router, its interfaces, what has just happened. */

const DEFAULT_MS = 1000;
const KEPT_RECORDS = 200;
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const ESCAPE = '\x1b[';
const HOME = '\x1b[H';
const TO_END_OF_LINE = '\x1b[K';
const TO_END_OF_SCREEN = '\x1b[J';

export interface Sample {
  /** ms on any clock. */
  readonly at: number;
  readonly status: StatusView;
  readonly interfaces: readonly InterfaceView[];
  /** Counters of events since the start. */
  readonly counts: Counts;
}

export interface Counts {
  readonly claims: number;
  readonly moves: number;
  readonly latenciesMs: readonly number[];
}

const STATES: readonly HostState[] = ['proving', 'home', 'fresh', 'settled', 'beneath', 'away', 'remembered'];

/** What changed between two samples, per second. */
function rate(now: number, before: number | undefined, ms: number): string {
  if (before === undefined || ms <= 0) return '-';
  const perSecond = (Math.max(0, now - before) * 1000) / ms;
  return perSecond === 0 ? '0' : perSecond < 10 ? perSecond.toFixed(1) : String(Math.round(perSecond));
}

const millis = (value: number | undefined) => (value === undefined ? '-' : `${value.toFixed(1)} ms`);

/** The whole screen, no line longer than `columns`, no more than `rows` lines. */
export function formatTop(
  now: Sample,
  before: Sample | undefined,
  records: readonly EventRecord[],
  screen: { readonly rows: number; readonly columns: number },
  view: View,
): string {
  const { status, interfaces, counts } = now;
  const ms = before === undefined ? 0 : now.at - before.at;
  const { kernel, capture, alarms } = status;
  const states = STATES.filter((state) => status.hosts[state] > 0).map(
    (state) => `${status.hosts[state]} ${state}`,
  );
  const sorted = [...counts.latenciesMs].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  const lines = [
    `${paint(view, 'bold', status.hostname)}  marpd ${status.version}, up ${formatAge(status.uptimeMs)}, event loop ${status.eventLoopLagMs.toFixed(1)} ms late`,
    `hosts    ${states.join(', ') || 'none'}`,
    `frames   ${rate(capture.frames, before?.status.capture.frames, ms)}/s received; kernel ${rate(kernel.commands, before?.status.kernel.commands, ms)}/s commands, ${kernel.pending} pending, ${kernel.refused} refused`,
    `claims   ${counts.claims} new, ${counts.moves} of them moves between its interfaces; first frame to route p50 ${millis(at(0.5))}, p99 ${millis(at(0.99))}`,
    `alarms   ${alarms.length === 0 ? 'none' : paint(view, 'red', String(alarms.length))}`,
    ...alarms.slice(0, 3).map((alarm) => `  ${formatRecord({ event: 'alarm', ...alarm }, view)}`),
    '',
  ];
  const shown = [...interfaces]
    .sort((a, b) => b.hosts - a.hosts)
    .slice(0, Math.max(1, Math.floor(screen.rows / 3)));
  const table = formatTable(
    ['INTERFACE', 'HOSTS', 'FRAMES/S', 'STATE'],
    shown.map((each) => {
      const earlier = before?.interfaces.find(({ name }) => name === each.name);
      const state = each.capturing ? 'captured' : paint(view, 'red', each.reason ?? 'not captured');
      return [each.name, String(each.hosts), rate(each.frames, earlier?.frames, ms), state];
    }),
    view,
  );
  lines.push(...table.trimEnd().split('\n'));
  if (shown.length < interfaces.length) lines.push(`${interfaces.length - shown.length} more interfaces`);
  lines.push('');
  const left = Math.max(0, screen.rows - lines.length);
  lines.push(
    ...records
      .slice(-left)
      .toReversed()
      .map((record) => formatRecord(record, view)),
  );
  return lines
    .slice(0, screen.rows)
    .map((line) => cut(line, screen.columns))
    .join('\n');
}

/** To the width of the screen; colours take none. */
function cut(line: string, columns: number): string {
  const [first = '', ...coloured] = line.split(ESCAPE);
  let text = first.slice(0, columns);
  let width = text.length;
  for (const part of coloured) {
    const end = part.indexOf('m') + 1;
    const visible = part.slice(end, end + columns - width);
    text += ESCAPE + part.slice(0, end) + visible;
    width += visible.length;
  }
  return text;
}

/** Counts what the event stream tells. */
export class EventCounter {
  readonly records: EventRecord[] = [];
  #claims = 0;
  #moves = 0;
  readonly #latenciesMs: number[] = [];

  take(record: EventRecord): void {
    if (record.event === 'installed') {
      if (typeof record.latencyMs === 'number') this.#latenciesMs.push(record.latencyMs);
      if (this.#latenciesMs.length > KEPT_RECORDS) this.#latenciesMs.shift();
      return;
    }
    if (record.event === 'transition' && record.to === 'fresh') {
      this.#claims++;
      if (record.cause === 'moved') this.#moves++;
    }
    this.records.push(record);
    if (this.records.length > KEPT_RECORDS) this.records.shift();
  }

  get counts(): Counts {
    return { claims: this.#claims, moves: this.#moves, latenciesMs: this.#latenciesMs };
  }
}

async function sample(client: ControlClient, counts: Counts): Promise<Sample> {
  const [status, interfaces] = await Promise.all([client.status(), client.interfaces()]);
  return { at: performance.now(), status, interfaces, counts };
}

export async function top(call: Invocation): Promise<number> {
  const { client, options, terminal, view } = call;
  if (isJson(options)) throw new Usage('top is for people; marpctl status --json --watch is for programs');
  if (terminal.isTTY !== true) throw new Usage('top needs a terminal (marpctl status --watch does not)');
  const counter = new EventCounter();
  const end = new AbortController();
  const stop = () => end.abort();
  terminal.signal?.addEventListener('abort', stop);
  const leave = terminal.keys?.((key) => {
    if (key === 'q' || key === '\x03') stop();
  });
  const kinds = ['transition', 'alarm', 'installed', 'lost'] as const;
  try {
    let now = await sample(client, counter.counts);
    const following = client.events((record) => counter.take(record), { kinds, signal: end.signal });
    // Its error is that of the next sample too.
    following.catch(() => undefined);
    terminal.out(ENTER);
    for (let before: Sample | undefined; ; ) {
      const screen = terminal.size?.() ?? { rows: 24, columns: 80 };
      const text = formatTop(now, before, counter.records, screen, view);
      terminal.out(
        `${HOME}${text.replaceAll('\n', `${TO_END_OF_LINE}\r\n`)}${TO_END_OF_LINE}${TO_END_OF_SCREEN}`,
      );
      await pause(options.watch ?? DEFAULT_MS, end.signal);
      if (end.signal.aborted) break;
      before = now;
      now = await sample(client, counter.counts);
    }
    return EXIT.ok;
  } finally {
    stop();
    leave?.();
    terminal.out(LEAVE);
  }
}
