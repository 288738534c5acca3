import type { ControlClient, HostFilter } from '../control/client.js';
import { Unreachable } from '../control/client.js';
import type { DropView, HostView, WhyView } from '../control/schemas.js';
import type { HostState } from '../mobility/events.js';
import { type Ip, formatIp, hostLength, parseIp, parseMac, parsePrefix } from '../wire/addresses.js';
import { compareIps } from '../control/paging.js';
import { readHostMac, readHostPrefix, readIp } from '../wire/host-address.js';
import { EXIT, type Invocation, Usage, isJson, pause, print, show } from './arguments/command.js';
import {
  formatDrops,
  formatHost,
  formatHosts,
  formatMacs,
  formatStatus,
  formatWhy,
  stateOf,
} from './format.js';
import type { Options } from './arguments/options.js';
import { formatTable } from './table.js';

/** What the commands do that only look. */

export type Target = { readonly ip: Ip } | { readonly mac: string } | { readonly name: string };

/** An address, a MAC or the name of an interface, told apart by its form. @throws Usage */
export function targetOf(text: string): Target {
  // What looks like an address is one, or a mistake in one.
  if (parseIp(text) !== undefined || /^[\d.]+$|::|^[\da-f]{1,4}(?::[\da-f]{0,4}){6,}$/i.test(text))
    return { ip: addressOf(text) };
  if (parseMac(text) !== undefined) {
    const reading = readHostMac(text);
    if ('problem' in reading) throw new Usage(reading.problem);
    return { mac: text };
  }
  if (/^[^\s/:]{1,15}$/.test(text)) return { name: text };
  throw new Usage(`"${text}" is no IP address, no MAC and no interface name`);
}

/** @throws Usage */
export function addressOf(text: string): Ip {
  const reading = readIp(text);
  if ('problem' in reading) throw new Usage(reading.problem);
  return reading.value;
}

// --- hosts -----------------------------------------------------------------------------------------------------------

type HostSort = NonNullable<Options['sort']>;

const byIp = (a: HostView, b: HostView) => compareIps(parseIp(a.ip) as Ip, parseIp(b.ip) as Ip);
const byText = (key: (host: HostView) => string | null) => (a: HostView, b: HostView) =>
  (key(a) ?? '~').localeCompare(key(b) ?? '~');
const byTime = (key: (host: HostView) => number | null) => (a: HostView, b: HostView) =>
  (key(a) ?? Number.MAX_VALUE) - (key(b) ?? Number.MAX_VALUE);

const SORTS: Readonly<Record<HostSort, (a: HostView, b: HostView) => number>> = {
  ip: byIp,
  state: byText((host) => host.state),
  interface: byText((host) => host.interface),
  mac: byText((host) => host.mac),
  since: byTime((host) => host.sinceMs),
  heard: byTime((host) => host.lastHeardMs),
  rtt: byTime((host) => host.rttMs),
};

/** A filter of `hosts`: a prefix, an address, a MAC or an interface. @throws Usage */
export function hostFilterOf(text: string): { prefix?: string; mac?: string; interface?: string } {
  if (parsePrefix(text) !== undefined || text.includes('/')) {
    const reading = readHostPrefix(text);
    if ('problem' in reading) throw new Usage(reading.problem);
    return { prefix: text };
  }
  const target = targetOf(text);
  if ('ip' in target) return { prefix: `${text}/${hostLength(target.ip)}` };
  return 'mac' in target ? target : { interface: target.name };
}

function filterOf({ args, options }: Invocation): HostFilter {
  const { state, interface: place, mac, prefix } = options;
  const filter = { state: state?.join(','), interface: place, mac, prefix };
  const [text] = args;
  return text === undefined ? filter : { ...filter, ...hostFilterOf(text) };
}

export function hosts(call: Invocation): Promise<number> {
  if (call.options.byMac === true) return machines(call);
  const { limit, after, sort } = call.options;
  const query = { ...filterOf(call), limit, after };
  return show(
    call,
    async () => {
      const page = await call.client.hosts(query);
      return sort === undefined ? page : { ...page, hosts: page.hosts.sort(SORTS[sort]) };
    },
    (page, view) => {
      const more = page.next === null ? '' : `next page: --after ${page.next}\n`;
      return formatHosts(page.hosts, page.total, view) + more;
    },
  );
}

/** `hosts --by-mac`: without --limit all pages, as they are when each is asked for. */
function machines(call: Invocation): Promise<number> {
  const { limit, after } = call.options;
  const filter = filterOf(call);
  return show(
    call,
    async () => {
      let page = await call.client.macs({ ...filter, limit, after });
      const macs = [...page.macs];
      while (limit === undefined && page.next !== null) {
        page = await call.client.macs({ ...filter, after: page.next });
        macs.push(...page.macs);
      }
      return { ...page, macs };
    },
    (page, view) => {
      const more = page.next === null ? '' : `next page: --after ${page.next}\n`;
      return formatMacs(page.macs, page.total, view) + more;
    },
  );
}

export async function host(call: Invocation): Promise<number> {
  const [text] = call.args as [string];
  const found = await call.client.host(addressOf(text));
  if (found !== undefined) return print(call, found, formatHost);
  call.terminal.err(`marpctl: no such host: ${text} (try: marpctl why ${text})\n`);
  return EXIT.negative;
}

// --- why, drops ------------------------------------------------------------------------------------------------------

const MAX_STORIES = 200;

export async function why(call: Invocation): Promise<number> {
  const { client, options } = call;
  const target = targetOf(call.args[0] as string);
  const { since = Number.POSITIVE_INFINITY } = options;
  const storyOf = async (ip: Ip): Promise<WhyView> => {
    const story = await client.why(ip);
    return { ...story, records: story.records.filter(({ agoMs }) => agoMs <= since) };
  };
  if ('ip' in target) return show(call, () => storyOf(target.ip), formatWhy);
  return show(
    call,
    async () => {
      const filter = 'mac' in target ? target : { interface: target.name };
      const { hosts: found } = await client.hosts({ ...filter, limit: MAX_STORIES });
      const stories: WhyView[] = [];
      for (const { ip } of found) stories.push(await storyOf(addressOf(ip)));
      return { about: await placeOf(client, target), stories };
    },
    ({ about, stories }, view) => {
      const rows = stories.map(({ ip, conclusion }) => [ip, conclusion]);
      const none = 'no hosts there (marpctl drops says which frames are ignored)\n';
      return `${about}\n\n${rows.length === 0 ? none : formatTable(['IP', 'WHY'], rows, view)}`;
    },
  );
}

async function placeOf(client: ControlClient, target: Exclude<Target, { readonly ip: Ip }>): Promise<string> {
  if ('mac' in target) return target.mac;
  const found = (await client.interfaces()).find((each) => each.name === target.name);
  return `${target.name}: ${found === undefined ? 'no mobility interface (no [[interface]] matches it)' : stateOf(found)}`;
}

export function drops(call: Invocation): Promise<number> {
  const { client, options } = call;
  const target = call.args[0] === undefined ? undefined : targetOf(call.args[0]);
  const { since = Number.POSITIVE_INFINITY } = options;
  const place = target !== undefined && 'name' in target ? target.name : undefined;
  const concerns = (drop: DropView) =>
    (drop.agoMs ?? Number.POSITIVE_INFINITY) <= since &&
    (target === undefined ||
      'name' in target ||
      ('ip' in target ? drop.ip === formatIp(target.ip) : drop.mac === target.mac.toLowerCase()));
  /** With --watch: how many there were when it began. */
  let first: ReadonlyMap<string, number> | undefined;
  return show(
    call,
    async () => (await client.drops(place)).filter(concerns),
    (list, view) => {
      first ??= new Map(list.map(({ reason, count }) => [reason, count]));
      const begin = first;
      const news = list
        .filter(({ reason, count }) => count > (begin.get(reason) ?? 0))
        .map(({ reason, count }) => `+${count - (begin.get(reason) ?? 0)} ${reason}`);
      return formatDrops(list, view) + (news.length === 0 ? '' : `since the start: ${news.join(', ')}\n`);
    },
  );
}

// --- waiting ---------------------------------------------------------------------------------------------------------

const POLL_MS = 100;

/** Until marpd answers; with --wait it may still be starting. */
export async function status(call: Invocation): Promise<number> {
  const { client, options, terminal } = call;
  const end = performance.now() + (options.wait ?? 0);
  for (;;) {
    try {
      await client.status();
      break;
    } catch (error) {
      if (!(error instanceof Unreachable) || performance.now() >= end || terminal.signal?.aborted)
        throw error;
      await pause(POLL_MS, terminal.signal);
    }
  }
  return show(call, () => client.status(), formatStatus);
}

const HERE: readonly HostState[] = ['home', 'fresh', 'settled', 'beneath'];
const WAIT_MS = 10_000;

/** Until the host is in one of these states. */
export async function wait(call: Invocation): Promise<number> {
  const { args, client, options, terminal } = call;
  const ip = addressOf(args[0] as string);
  const wanted = options.state ?? HERE;
  const timeoutMs = options.timeout ?? WAIT_MS;
  const end = performance.now() + timeoutMs;
  let now: HostState = 'unknown';
  while (terminal.signal?.aborted !== true) {
    const found = await client.host(ip);
    now = found?.state ?? 'unknown';
    if (wanted.includes(now)) {
      if (found !== undefined) return print(call, found, formatHost);
      if (!isJson(options)) terminal.out(`${args[0]} is not known\n`);
      return EXIT.ok;
    }
    if (performance.now() >= end) break;
    await pause(Math.min(POLL_MS, Math.max(1, end - performance.now())), terminal.signal);
  }
  terminal.err(`marpctl: ${args[0]} is ${now}, not ${wanted.join(' or ')}, after ${timeoutMs / 1000} s\n`);
  return EXIT.negative;
}
