import type { DropView, HostsPage, InterfaceView, StatusView, WhyView } from '../control/schemas.js';
import { ask, follow, get, getText, type Line } from './client.js';
import { byId, clock, h, setText } from './dom.js';
import { type Host, Picture, type RoutedRecord, timeOf } from './picture.js';
import { Replay, readRecords } from './replay.js';
import { Rows } from './rows.js';
import * as side from './side.js';

/** The page of `marpctl ui`: one picture, drawn at most ten times a second, live or from a file. */

const DRAW_MS = 100;
const POLL_MS = 5000;
const RECONNECT_MS = 2000;
/** Changes within this time of another are one step of the replay. */
const STEP_MS = 0.001;

interface Setup {
  readonly routers: readonly string[];
  /** Name of a recorded file. */
  readonly replay: string | null;
}

const STATES = ['proving', 'home', 'fresh', 'settled', 'beneath', 'away', 'remembered'];

const live = new Picture();
let replay: Replay | undefined;
let shown = live;
let routers: readonly string[] = [];
/** Records of routers whose table is on its way. */
const waiting = new Map<string, Line[]>();
/** Routers that have answered once, if only with an error. */
const loaded = new Set<string>();
let dirty = true;
let heard = false;

const rows = new Rows(byId('routers'), byId('flights'), (ip) => void explain(ip));
const search = byId<HTMLInputElement>('search');
const slider = byId<HTMLInputElement>('slider');
const all = byId<HTMLInputElement>('all');

// --- live ------------------------------------------------------------------------------------------------------------

function take(line: Line): void {
  if (line.event === 'connected') void load(line.router);
  else if (line.event === 'disconnected') {
    live.router(line.router).problem = String(line.message);
    loaded.add(line.router);
  } else {
    const queue = waiting.get(line.router);
    if (queue === undefined) live.apply(line as RoutedRecord);
    else queue.push(line);
  }
  dirty = true;
}

/** The whole table; the events that come meanwhile are applied to it. */
async function load(router: string): Promise<void> {
  waiting.set(router, []);
  try {
    await refresh(router);
    const { hosts } = await ask<HostsPage>(router, '/v1/hosts');
    live.setHosts(router, hosts);
    live.router(router).problem = undefined;
  } catch (error) {
    live.router(router).problem = (error as Error).message;
  }
  const queue = waiting.get(router) ?? [];
  waiting.delete(router);
  queue.forEach(take);
  dirty = true;
  loaded.add(router);
}

async function refresh(router: string): Promise<void> {
  const [status, { interfaces }] = await Promise.all([
    ask<StatusView>(router, '/v1/status'),
    ask<{ interfaces: InterfaceView[] }>(router, '/v1/interfaces'),
  ]);
  live.setInterfaces(router, interfaces);
  live.setStatus(router, status);
  dirty = true;
}

async function poll(): Promise<void> {
  if (!document.hidden && replay === undefined) {
    const connected = routers.filter((name) => live.router(name).problem === undefined);
    await Promise.allSettled(connected.map(refresh));
    if (byId<HTMLDetailsElement>('drops').open) await pollDrops(connected);
  }
  setTimeout(() => void poll(), POLL_MS);
}

async function pollDrops(connected: readonly string[]): Promise<void> {
  const lists = await Promise.all(
    connected.map(async (router) => {
      const { drops } = await ask<{ drops: DropView[] }>(router, '/v1/drops');
      return drops.map((drop) => ({ ...drop, router }));
    }),
  );
  side.drawDrops(lists.flat().sort((a, b) => b.count - a.count));
}

async function listen(): Promise<void> {
  for (;;) {
    try {
      await follow((lines) => {
        if (!heard) setMode('live', 'live');
        heard = true;
        lines.forEach(take);
      });
      throw new Error('marpctl ui has ended');
    } catch (error) {
      heard = false;
      if (replay === undefined) setMode('problem', (error as Error).message);
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

function setMode(kind: 'live' | 'problem' | 'replay', text: string): void {
  const mode = byId('mode');
  mode.className = kind;
  setText(mode, text);
}

// --- why -------------------------------------------------------------------------------------------------------------

async function explain(ip: string): Promise<void> {
  if (replay !== undefined) {
    side.showWhy(ip, [side.recordedSection(shown, ip)]);
    return;
  }
  const sections = await Promise.all(
    routers.map(async (router) => {
      try {
        return side.whySection(router, await ask<WhyView>(router, `/v1/why/${ip}`));
      } catch (error) {
        return h('section', {}, h('h3', {}, router), h('p', { class: 'problem' }, (error as Error).message));
      }
    }),
  );
  side.showWhy(ip, sections);
}

// --- replay ----------------------------------------------------------------------------------------------------------

let playing = false;
let playedAt = 0;

interface Recording {
  readonly name: string;
  readonly text: string;
}

/** One file per router, named by it. */
function open(files: readonly Recording[]): void {
  const records: RoutedRecord[] = [];
  for (const { name, text } of files) {
    try {
      records.push(...readRecords(text, name.replace(/\.[^.]*$/, '')));
    } catch (error) {
      setMode('problem', `${name}: ${(error as Error).message}`);
      return;
    }
  }
  replay = new Replay(records);
  slider.max = String(replay.end - replay.start);
  byId('replay').hidden = false;
  byId('live').hidden = routers.length === 0;
  setMode('replay', `replay of ${files.map(({ name }) => name).join(', ')}`);
  goTo(replay.start);
}

function goTo(at: number): void {
  if (replay === undefined) return;
  const { start, end } = replay;
  const to = Math.min(Math.max(at, start), end);
  replay.goTo(to);
  slider.value = String(to - start);
  setText(byId('clock'), clock(to));
  show(replay.picture);
}

function show(picture: Picture): void {
  if (shown !== picture) rows.reset();
  shown = picture;
  dirty = true;
}

function at(): number {
  return (replay?.start ?? 0) + Number(slider.value);
}

/** To the next or the previous change of a host. */
function step(direction: 1 | -1): void {
  setPlaying(false);
  const times = (replay?.records ?? [])
    .filter(({ event }) => event === 'transition')
    .map(({ time }) => timeOf(time));
  const now = at();
  const next =
    direction > 0
      ? times.find((time) => time > now + STEP_MS)
      : times.findLast((time) => time < now - STEP_MS);
  goTo(next ?? (direction > 0 ? (replay?.end ?? 0) : (replay?.start ?? 0)));
}

function setPlaying(on: boolean): void {
  playing = on;
  playedAt = performance.now();
  setText(byId('play'), on ? '⏸' : '▶');
  if (on) requestAnimationFrame(play);
}

function play(now: number): void {
  if (!playing || replay === undefined) return;
  const speed = Number(byId<HTMLSelectElement>('speed').value);
  goTo(at() + Math.max(0, now - playedAt) * speed);
  playedAt = now;
  if (at() >= replay.end) setPlaying(false);
  else requestAnimationFrame(play);
}

// --- drawing and input -----------------------------------------------------------------------------------------------

function matcher(): ((host: Host) => boolean) | undefined {
  const text = search.value.trim().toLowerCase();
  if (text === '') return undefined;
  return ({ ip, mac }) => ip.startsWith(text) || (mac?.startsWith(text) ?? false);
}

function searched(): void {
  const matches = matcher();
  rows.highlight(matches);
  const found = [...shown.routers.values()]
    .flatMap((router) => [...router.hosts.values()])
    .filter(matches ?? (() => false));
  side.setFound(matches === undefined ? '' : `${new Set(found.map((host) => host.ip)).size} found`);
  dirty = true;
}

function draw(): void {
  const began = performance.now();
  if (dirty && !document.hidden) {
    dirty = false;
    const onHost = (ip: string) => void explain(ip);
    rows.draw(shown);
    side.drawAlarms(shown, onHost);
    side.drawLatencies(shown);
    // Milliseconds from the request for the page to its first complete picture.
    if (replay !== undefined || (loaded.size > 0 && loaded.size === routers.length))
      document.body.dataset.picture ??= String(Math.round(performance.now()));
    side.drawTimeline(shown, { everything: all.checked, search: search.value.trim() }, onHost);
  }
  // Most of the time is left to the animations and to the reader.
  const took = performance.now() - began;
  setTimeout(() => requestAnimationFrame(draw), Math.max(DRAW_MS, 4 * took));
}

byId('legend').append(...STATES.map((state) => h('span', {}, h('i', { class: `key ${state}` }), state)));
search.addEventListener('input', searched);
search.addEventListener('keydown', ({ key }) => {
  if (key === 'Enter' && search.value.trim() !== '') void explain(search.value.trim());
});
all.addEventListener('change', () => {
  dirty = true;
});
byId<HTMLInputElement>('file').addEventListener('change', async ({ target }) => {
  const files = [...((target as HTMLInputElement).files ?? [])];
  if (files.length > 0)
    open(await Promise.all(files.map(async (file) => ({ name: file.name, text: await file.text() }))));
});
slider.addEventListener('input', () => {
  setPlaying(false);
  goTo(at());
});
byId('play').addEventListener('click', () => setPlaying(!playing));
byId('back').addEventListener('click', () => step(-1));
byId('forward').addEventListener('click', () => step(1));
byId('live').addEventListener('click', () => {
  setPlaying(false);
  replay = undefined;
  byId('replay').hidden = true;
  setMode(heard ? 'live' : 'problem', heard ? 'live' : 'connecting …');
  show(live);
});

async function start(): Promise<void> {
  requestAnimationFrame(draw);
  try {
    const setup = await get<Setup>('/api/setup');
    ({ routers } = setup);
    for (const name of routers) live.router(name).problem = 'connecting …';
    if (setup.replay !== null) open([{ name: setup.replay, text: await getText('/api/replay') }]);
  } catch (error) {
    setMode('problem', (error as Error).message);
    return;
  }
  if (routers.length === 0) return;
  void poll();
  await listen();
}

void start();
