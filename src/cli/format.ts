import { formatProtocol } from '../config/route-protocols.js';
import type {
  AlarmView,
  DropView,
  ForeignRouteView,
  HostView,
  InterfaceView,
  StatusView,
  WhyView,
} from '../control/schemas.js';
import type { EventRecord } from '../control/records.js';
import type { Finding } from '../doctor/finding.js';

/** The answers of the API as text for people: aligned tables, short times. */

/** Columns as wide as their widest cell; the last one is not padded. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
    .concat('\n');
}

function formatFields(fields: readonly (readonly [string, string | undefined])[]): string {
  const said = fields.filter((field): field is readonly [string, string] => field[1] !== undefined);
  const width = Math.max(...said.map(([name]) => name.length)) + 1;
  return said.map(([name, value]) => `${`${name}:`.padEnd(width)} ${value}\n`).join('');
}

/** `250ms`, `1.2s`, `1m01s`, `2h03m`, `3d04h` */
export function formatAge(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const two = (value: number) => String(value).padStart(2, '0');
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

const dash = (text: string | null) => text ?? '-';
const age = (ms: number | null) => (ms === null ? '-' : formatAge(ms));
const ago = (ms: number | null) => (ms === null ? undefined : `${formatAge(ms)} ago`);
const rtt = (ms: number | null) => (ms === null ? '-' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
const mib = (bytes: number | null) => (bytes === null ? '?' : `${(bytes / (1 << 20)).toFixed(0)} MiB`);

export function formatStatus(status: StatusView): string {
  const { capture, kernel, interfaces, lastReload } = status;
  const hosts = Object.entries(status.hosts).filter(([, count]) => count > 0);
  const tables =
    status.freshTable === status.settledTable
      ? `table ${status.freshTable}`
      : `tables ${status.freshTable} (fresh), ${status.settledTable} (settled)`;
  const fields = formatFields([
    ['marpd', `${status.version}, pid ${status.pid}, up ${formatAge(status.uptimeMs)}`],
    ['config', status.configPath ?? 'arguments (--interface)'],
    [
      'last reload',
      lastReload === null
        ? undefined
        : `${formatAge(lastReload.agoMs)} ago, ${lastReload.ok ? 'ok' : 'REFUSED'}: ${lastReload.message}`,
    ],
    ['hosts', hosts.length === 0 ? 'none' : hosts.map(([state, count]) => `${count} ${state}`).join(', ')],
    ['interfaces', `${interfaces.present} present, ${interfaces.capturing} captured`],
    [
      'capture',
      `${capture.frames} frames, ${capture.restarts} restarts, processes: ${capture.children.map(describeChild).join(', ') || 'none'}`,
    ],
    [
      'kernel',
      `${kernel.commands} commands, ${kernel.pending} pending, ${kernel.refused} refused, ${kernel.restarts} restarts`,
    ],
    [
      'routes',
      `protocol ${status.protocol}, ${tables}, metric ${status.freshMetric} fresh, ${status.settledMetric} settled, watching ${status.watchTables.join(', ')}`,
    ],
    ['process', `${mib(status.rssBytes)} resident, event loop ${status.eventLoopLagMs.toFixed(1)} ms late`],
    ['alarms', status.alarms.length === 0 ? 'none' : String(status.alarms.length)],
  ]);
  return fields + (status.alarms.length === 0 ? '' : `\n${formatAlarms(status.alarms)}`);
}

function describeChild(child: StatusView['capture']['children'][number]): string {
  return `${child.pid} (${child.interfaces} interfaces, ${mib(child.rssBytes)})`;
}

function formatAlarms(alarms: readonly AlarmView[]): string {
  return formatTable(
    ['AGO', 'TIMES', 'ALARM', 'IP', 'WHO', 'AGAINST', 'MESSAGE'],
    alarms.map((alarm) => [
      formatAge(alarm.agoMs),
      String(alarm.count),
      alarm.alarm,
      dash(alarm.ip),
      party(alarm.mac, alarm.interface),
      party(alarm.otherMac, alarm.otherInterface),
      alarm.message,
    ]),
  );
}

function party(mac: string | null, place: string | null): string {
  if (mac === null) return dash(place);
  return place === null ? mac : `${mac} on ${place}`;
}

/** What is special about a host, in a few words. */
function noteOf(host: HostView): string {
  const notes: string[] = [];
  if (host.contest !== null) {
    const { frozenForMs, count, otherMac, otherInterface } = host.contest;
    const frozen = frozenForMs === null ? '' : `FROZEN for ${formatAge(frozenForMs)}, `;
    notes.push(`${frozen}contested ${count}x by ${party(otherMac, otherInterface)}`);
  }
  if (host.remote !== null) notes.push(`remote claim via ${host.remote.via ?? host.remote.interface ?? '?'}`);
  return notes.join('; ');
}

export function formatHosts(hosts: readonly HostView[], total: number): string {
  if (hosts.length === 0) return 'no hosts\n';
  const table = formatTable(
    ['IP', 'STATE', 'INTERFACE', 'MAC', 'SINCE', 'HEARD', 'RTT', 'CAUSE', 'NOTE'],
    hosts.map((host) => [
      host.ip,
      host.state,
      dash(host.interface),
      dash(host.mac),
      formatAge(host.sinceMs),
      age(host.lastHeardMs),
      rtt(host.rttMs),
      dash(host.cause),
      noteOf(host),
    ]),
  );
  return hosts.length < total ? `${table}${hosts.length} of ${total} hosts\n` : table;
}

export function formatHost(host: HostView): string {
  const { remote, contest } = host;
  return formatFields([
    ['ip', host.ip],
    [
      'state',
      `${host.state} for ${formatAge(host.sinceMs)}${host.cause === null ? '' : `, cause: ${host.cause}`}`,
    ],
    ['interface', dash(host.interface)],
    ['mac', dash(host.mac)],
    ['last heard', ago(host.lastHeardMs) ?? 'never'],
    ['round trip', rtt(host.rttMs)],
    ['state ends', host.deadlineMs === null ? undefined : `in ${formatAge(host.deadlineMs)}`],
    ['asked again', host.nextProbeMs === null ? undefined : `in ${formatAge(host.nextProbeMs)}`],
    [
      'remote claim',
      remote === null
        ? undefined
        : `via ${remote.via ?? '-'} dev ${dash(remote.interface)} proto ${remote.protocol} metric ${remote.metric} table ${remote.table}, for ${formatAge(remote.sinceMs)}`,
    ],
    ['foreign route', host.foreignRoute === null ? undefined : formatForeignRoute(host.foreignRoute)],
    ['contested', contest === null ? undefined : `${contest.count} times within 180 s`],
    ['held by', contest === null ? undefined : party(contest.mac, contest.interface)],
    ['against', contest === null ? undefined : party(contest.otherMac, contest.otherInterface)],
    [
      'frozen for',
      contest === null || contest.frozenForMs === null ? undefined : formatAge(contest.frozenForMs),
    ],
  ]);
}

function formatForeignRoute(route: ForeignRouteView): string {
  const { via, interface: name, protocol, metric, table } = route;
  const hop = via === null ? '' : `via ${via} `;
  return `${hop}dev ${dash(name)} ${formatProtocol(protocol)} metric ${metric} table ${table}: no other router's claim`;
}

export function formatInterfaces(views: readonly InterfaceView[]): string {
  if (views.length === 0) return 'no interfaces\n';
  return formatTable(
    ['NAME', 'STATE', 'MAC', 'ADDRESSES', 'LEARN', 'PROVE', 'KEEPALIVE', 'HOLD', 'HOSTS', 'FRAMES', 'RULE'],
    views.map((view) => [
      view.name,
      stateOf(view),
      dash(view.mac),
      view.addresses.join(',') || '-',
      view.learn,
      view.prove,
      formatAge(view.keepaliveMs),
      formatAge(view.holdMs),
      String(view.hosts),
      String(view.frames),
      view.pattern,
    ]),
  );
}

function stateOf(view: InterfaceView): string {
  if (!view.present) return 'absent';
  if (view.master !== null) return `port of ${view.master}`;
  if (!view.up) return 'down';
  if (!view.carrier) return 'no carrier';
  return view.capturing ? 'captured' : `NOT CAPTURED: ${view.reason ?? '?'}`;
}

export function formatWhy(why: WhyView): string {
  const lines = [`${why.ip}: ${why.conclusion}\n`];
  if (why.records.length > 0) {
    const rows = why.records.map(({ agoMs, times, text }) => [
      `${formatAge(agoMs)} ago`,
      times > 1 ? `${times}x` : '',
      text,
    ]);
    lines.push('\n', formatTable(['WHEN', '', 'WHAT'], rows));
  }
  if (why.host !== null) lines.push('\n', formatHost(why.host));
  else if (why.foreignRoute !== null)
    lines.push('\n', formatFields([['foreign route', formatForeignRoute(why.foreignRoute)]]));
  return lines.join('');
}

export function formatDrops(drops: readonly DropView[]): string {
  if (drops.length === 0) return 'no frames ignored\n';
  return formatTable(
    ['COUNT', 'REASON', 'LAST', 'IP', 'MAC', 'INTERFACE', 'MEANING'],
    drops.map((drop) => [
      String(drop.count),
      drop.reason,
      ago(drop.agoMs) ?? '-',
      dash(drop.ip),
      dash(drop.mac),
      dash(drop.interface),
      drop.meaning,
    ]),
  );
}

export function formatFindings({ findings }: { readonly findings: readonly Finding[] }): string {
  const marks = { ok: 'ok', warning: 'WARN', error: 'ERROR' } as const;
  const rows = findings.flatMap(({ level, check, message, fix }) => [
    [marks[level], check, message],
    ...(fix === undefined ? [] : [['', '', `fix: ${fix}`]]),
  ]);
  return formatTable(['', 'CHECK', 'FINDING'], rows);
}

/** One line per record of /v1/events; the time is local, to be laid beside tcpdump's. */
export function formatRecord(record: EventRecord): string {
  const text = (key: string) => (typeof record[key] === 'string' ? (record[key] as string) : '');
  const where = text('interface') === '' ? '' : ` on ${text('interface')}`;
  const mac = text('mac') === '' ? '' : ` ${text('mac')}`;
  const time = record.time === undefined ? '' : `${localTime(record.time)} `;
  const ip = (record.ip ?? '-').padEnd(15);
  switch (record.event) {
    case 'transition':
      return `${time}${ip} ${text('from')} -> ${text('to')}${where}${mac} (${text('cause')})`;
    case 'alarm': {
      const other = party(text('otherMac') || null, text('otherInterface') || null);
      return `${time}${ip} ALARM ${text('alarm')}: ${text('message')}${where}${mac}${other === '-' ? '' : ` against ${other}`}`;
    }
    case 'answered':
      return `${time}${ip} asked for ${text('target')}${where}: answered`;
    case 'evidence': {
      const took = typeof record.rttMs === 'number' ? ` after ${rtt(record.rttMs)}` : '';
      return `${time}${ip} ${text('evidence')}${where}${mac}${took}`;
    }
    case 'drop':
      return `${time}${ip} ignored${where}${mac}: ${text('reason')}`;
    case 'installed': {
      const took =
        typeof record.latencyMs === 'number'
          ? ` ${record.latencyMs.toFixed(2)} ms after the frame or command that caused it`
          : '';
      return `${time}${ip} ${text('age')} route installed${where}${took}`;
    }
    case 'lost':
      return `... ${String(record.lost)} records lost: output too slow`;
  }
}

function localTime(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const two = (value: number) => String(value).padStart(2, '0');
  const fraction = /\.(\d+)Z$/.exec(iso)?.[1] ?? '';
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}`;
}
