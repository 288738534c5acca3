import type { DropView, WhyView } from '../control/schemas.js';
import { byId, clock, duration, h, setText } from './dom.js';
import {
  BUCKETS_MS,
  countBuckets,
  type Entry,
  type Move,
  type Picture,
  quantile,
  timeOf,
} from './picture.js';

/** What stands beside the routers: alarms, latencies, the timeline, and why a host is where it is. */

const SHOWN_ENTRIES = 150;
/** Said by the transitions that follow from them. */
const ROUTINE: ReadonlySet<string> = new Set(['evidence', 'answered', 'drop', 'frame', 'send', 'note']);

export function drawAlarms(picture: Picture, onHost: (ip: string) => void): void {
  const items = picture.alarms.toReversed().map(({ at, router, ip, text, message }) => {
    const host = ip === '' ? undefined : h('button', { type: 'button', click: () => onHost(ip) }, ip);
    return h('li', {}, `${clock(at).slice(0, 8)} ${router} `, h('b', {}, text), ' ', host, ` ${message}`);
  });
  byId('alarms').replaceChildren(...(items.length > 0 ? items : [h('li', { class: 'none' }, 'none')]));
}

export function drawLatencies({ moves, newcomersMs }: Picture): void {
  const values = (of: (move: Move) => number | undefined) => moves.flatMap((move) => of(move) ?? []);
  const series = [
    ['withdrawn', 'old router withdrew', values((move) => move.withdrawnMs)],
    ['newcomer', 'newcomer to route', newcomersMs],
    ['move', 'move to route', values((move) => move.installMs)],
  ] as const;
  const figures = series.toReversed().map(([name, title, list]) => {
    const cells = [`${list.length}`, duration(quantile(list, 0.5)), duration(quantile(list, 0.99))];
    const first = h('td', {}, h('i', { class: `key ${name}` }), title);
    return h('tr', {}, first, ...cells.map((text) => h('td', {}, text)));
  });
  const head = ['', '', 'p50', 'p99'].map((text) => h('th', {}, text));
  byId('figures').replaceChildren(h('table', {}, h('tr', {}, ...head), ...figures));
  const counts = series.map(([name, title, list]) => [name, title, countBuckets(list)] as const);
  const highest = Math.max(
    1,
    ...BUCKETS_MS.map((_, at) => counts.reduce((sum, [, , list]) => sum + (list[at] ?? 0), 0)),
  );
  const buckets = BUCKETS_MS.map((bound, at) => {
    const label = bound >= 1000 ? `${bound / 1000}s` : `${bound}`;
    const parts = counts.map(([name, title, list]) => {
      const part = h('i', { class: name, title: `${list[at]} × up to ${bound} ms (${title})` });
      part.style.height = `${(85 * (list[at] ?? 0)) / highest}%`;
      return part;
    });
    return h('div', { class: 'bucket' }, ...parts, label);
  });
  byId('histogram').replaceChildren(...buckets);
}

export interface TimelineFilter {
  readonly everything: boolean;
  readonly search: string;
}

export function drawTimeline(picture: Picture, filter: TimelineFilter, onHost: (ip: string) => void): void {
  const shown: Entry[] = [];
  for (let at = picture.entries.length - 1; at >= 0 && shown.length < SHOWN_ENTRIES; at--) {
    const entry = picture.entries[at] as Entry;
    if (!filter.everything && ROUTINE.has(entry.kind)) continue;
    if (entry.ip.startsWith(filter.search)) shown.push(entry);
  }
  byId('timeline').replaceChildren(
    ...shown.map(({ at, router, ip, kind, text }) =>
      h(
        'li',
        { class: kind, click: () => ip !== '' && onHost(ip) },
        h('span', { class: 'at', title: new Date(at).toString() }, clock(at)),
        h('span', {}, router),
        h('span', {}, ip),
        h('span', {}, text),
      ),
    ),
  );
}

export function drawDrops(drops: readonly (DropView & { readonly router: string })[]): void {
  const rows = drops.map(({ router, count, reason, meaning }) =>
    h('tr', {}, h('td', {}, `${count}`), h('td', {}, router), h('td', { title: meaning }, reason)),
  );
  byId('drops')
    .querySelector('table')
    ?.replaceChildren(...rows);
}

/** The answers of all routers about one host; or, of a recorded file, what it says of it. */
export function showWhy(ip: string, sections: readonly HTMLElement[]): void {
  byId('reasons').replaceChildren(h('h2', {}, ip), ...sections);
  const dialog = byId<HTMLDialogElement>('why');
  if (!dialog.open) dialog.showModal();
}

export function whySection(router: string, why: WhyView): HTMLElement {
  const { host, records, conclusion } = why;
  const facts =
    host === null
      ? ''
      : [
          host.state,
          host.interface,
          host.mac,
          host.rttMs === null ? null : `round trip ${duration(host.rttMs)}`,
        ]
          .filter((fact) => fact !== null)
          .join(', ');
  const rows = records.map(({ time, times, text }) =>
    h(
      'tr',
      {},
      h('td', {}, clock(timeOf(time))),
      h('td', {}, times > 1 ? `${times}×` : ''),
      h('td', {}, text),
    ),
  );
  return h(
    'section',
    {},
    h('h3', {}, router),
    h('p', {}, conclusion),
    facts !== '' && h('p', {}, facts),
    h('table', {}, ...rows),
  );
}

export function recordedSection(picture: Picture, ip: string): HTMLElement {
  const rows = picture.entries
    .filter((entry) => entry.ip === ip)
    .map(({ at, router, text }) =>
      h('tr', {}, h('td', {}, clock(at)), h('td', {}, router), h('td', {}, text)),
    );
  return h('section', {}, h('table', {}, ...rows));
}

export function setFound(text: string): void {
  setText(byId('found'), text);
}
