import { formatProtocol } from '../config/route-protocols.js';
import type {
  AlarmsAnswer,
  AlarmView,
  DropView,
  ForeignRouteView,
  HostView,
  InterfaceView,
  MacView,
  RoleView,
  StatusView,
  WhyView,
} from '../control/schemas.js';
import type { EventRecord } from '../control/records.js';
import type { Finding } from '../doctor/finding.js';
import type { HostState } from '../mobility/events.js';
import {
  type Color,
  PLAIN,
  type View,
  formatAge,
  formatFields,
  formatTable,
  formatWhen,
  localTime,
  paint,
} from './table.js';

/** The answers of the API as text for people: aligned tables, short times. */

const dash = (text: string | null) => text ?? '-';
const age = (ms: number | null) => (ms === null ? '-' : formatAge(ms));
const ago = (ms: number | null) => (ms === null ? undefined : `${formatAge(ms)} ago`);
const rtt = (ms: number | null) => (ms === null ? '-' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
const mib = (bytes: number | null) => (bytes === null ? '?' : `${(bytes / (1 << 20)).toFixed(0)} MiB`);

const STATE_COLORS: Readonly<Partial<Record<HostState, Color>>> = {
  proving: 'yellow',
  home: 'green',
  fresh: 'green',
  settled: 'green',
  away: 'cyan',
  remembered: 'dim',
};
const formatState = (view: View, state: HostState) => paint(view, STATE_COLORS[state], state);

export function formatStatus(status: StatusView, view: View): string {
  const { capture, kernel, interfaces, lastReload } = status;
  const hosts = Object.entries(status.hosts).filter(([, count]) => count > 0);
  const tables =
    status.freshTable === status.settledTable
      ? `table ${status.freshTable}`
      : `tables ${status.freshTable} (fresh), ${status.settledTable} (settled)`;
  const fields = formatFields([
    ['router', status.hostname],
    ['marpd', `${status.version}, pid ${status.pid}, up ${formatAge(status.uptimeMs)}`],
    ['config', status.configPath ?? 'arguments (--interface)'],
    [
      'last reload',
      lastReload === null
        ? undefined
        : `${formatAge(lastReload.agoMs)} ago, ${lastReload.ok ? 'ok' : paint(view, 'red', 'REFUSED')}: ${lastReload.message}`,
    ],
    ['families', status.families.join(', ')],
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
    ...status.roles
      .filter(isOneOfSeveral)
      .map((role) => [`role on ${role.interface}`, formatRole(role, view)] satisfies [string, string]),
    [
      'alarms',
      status.alarms.length === 0
        ? 'none'
        : `${paint(view, 'yellow', String(status.alarms.length))} (marpctl alarms says what to do)`,
    ],
  ]);
  return fields + (status.alarms.length === 0 ? '' : `\n${formatAlarmTable(status.alarms, view)}`);
}

/** With `role = "alone"`: another machine has the gateway of the LAN, and visitors are left to it. */
function isOneOfSeveral({ role, contests }: RoleView): boolean {
  return role !== 'alone' || !contests;
}

/** `gateway: standby for 3m, ...` */
function formatRole({ role, state, sinceMs, contests, why }: RoleView, view: View): string {
  const yields = state === 'active' && !contests ? ', leaves contests to another router' : '';
  return `${role}: ${paint(view, state === 'active' ? 'green' : 'dim', state)} for ${formatAge(sinceMs)}${yields}: ${why}`;
}

function describeChild(child: StatusView['capture']['children'][number]): string {
  return `${child.pid} (${child.interfaces} interfaces, ${mib(child.rssBytes)})`;
}

function formatAlarmTable(alarms: readonly AlarmView[], view: View): string {
  return formatTable(
    ['LAST', 'TIMES', 'ALARM', 'IP', 'WHO', 'AGAINST', 'MESSAGE'],
    alarms.map((alarm) => [
      formatWhen(view, alarm.time, alarm.agoMs),
      String(alarm.count),
      paint(view, 'yellow', alarm.alarm),
      dash(alarm.ip),
      party(alarm.mac, alarm.interface),
      party(alarm.otherMac, alarm.otherInterface),
      alarm.message,
    ]),
    view,
  );
}

/** Each alarm, and once for each kind what it means and what to do. */
export function formatAlarms({ alarms, kinds }: AlarmsAnswer, view: View): string {
  if (alarms.length === 0) return 'no alarms\n';
  const raised = kinds.filter(({ alarm }) => alarms.some((each) => each.alarm === alarm));
  const notes = raised.map(
    ({ alarm, meaning, remedy }) => `\n${paint(view, 'bold', alarm)}: ${meaning}\n  What to do: ${remedy}\n`,
  );
  return formatAlarmTable(alarms, view) + notes.join('');
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

export function formatHosts(hosts: readonly HostView[], total: number, view: View): string {
  if (hosts.length === 0) return 'no hosts\n';
  const table = formatTable(
    ['IP', 'STATE', 'INTERFACE', 'MAC', ...timeColumns(view)],
    hosts.map((host) => [
      host.ip,
      formatState(view, host.state),
      dash(host.interface),
      dash(host.mac),
      ...timeCells(host, view),
    ]),
    view,
  );
  return hosts.length < total ? `${table}${hosts.length} of ${total} hosts\n` : table;
}

function timeColumns(view: View): string[] {
  return ['SINCE', 'HEARD', 'RTT', 'CAUSE', ...(view.wide ? ['STATE ENDS', 'ASKED AGAIN'] : []), 'NOTE'];
}

function timeCells(host: HostView, view: View): string[] {
  const inMs = (ms: number | null) => (ms === null ? '-' : `in ${formatAge(ms)}`);
  return [
    formatAge(host.sinceMs),
    age(host.lastHeardMs),
    rtt(host.rttMs),
    dash(host.cause),
    ...(view.wide ? [inMs(host.deadlineMs), inMs(host.nextProbeMs)] : []),
    paint(view, host.contest === null ? undefined : 'yellow', noteOf(host)),
  ];
}

/** One machine after the other: its MAC stands beside the first of its addresses. */
export function formatMacs(macs: readonly MacView[], total: number, view: View): string {
  if (macs.length === 0) return 'no hosts whose MAC is known\n';
  const table = formatTable(
    ['MAC', 'IP', 'STATE', 'INTERFACE', ...timeColumns(view)],
    macs.flatMap(({ mac, hosts }) =>
      hosts.map((host, index) => [
        index === 0 ? mac : '',
        host.ip,
        formatState(view, host.state),
        dash(host.interface),
        ...timeCells(host, view),
      ]),
    ),
    view,
  );
  return macs.length < total ? `${table}${macs.length} of ${total} MACs\n` : table;
}

export function formatHost(host: HostView, view: View): string {
  const { remote, contest } = host;
  return formatFields([
    ['ip', host.ip],
    [
      'state',
      `${formatState(view, host.state)} for ${formatAge(host.sinceMs)}${host.cause === null ? '' : `, cause: ${host.cause}`}`,
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

export function formatInterfaces(views: readonly InterfaceView[], view: View): string {
  if (views.length === 0) return 'no interfaces\n';
  return formatTable(
    [
      'NAME',
      'STATE',
      'MAC',
      'ADDRESSES',
      'LEARN',
      'PROVE',
      'ROLE',
      'KEEPALIVE',
      'HOLD',
      'HOSTS',
      'FRAMES',
      'RULE',
    ],
    views.map((each) => [
      each.name,
      paint(view, each.capturing ? 'green' : each.present && each.up ? 'red' : 'dim', stateOf(each)),
      dash(each.mac),
      each.addresses.join(',') || '-',
      each.learn,
      each.prove,
      each.roleState === null || each.role === 'alone' ? each.role : `${each.role}: ${each.roleState}`,
      formatAge(each.keepaliveMs),
      formatAge(each.holdMs),
      String(each.hosts),
      String(each.frames),
      each.pattern,
    ]),
    view,
  );
}

/** Why nothing is captured there, or that it is. */
export function stateOf(view: InterfaceView): string {
  if (!view.present) return 'absent';
  if (view.master !== null) return `port of ${view.master}`;
  if (!view.up) return 'down';
  if (!view.carrier) return 'no carrier';
  return view.capturing ? 'captured' : `NOT CAPTURED: ${view.reason ?? '?'}`;
}

const KIND_COLORS: Readonly<Partial<Record<WhyView['records'][number]['kind'], Color>>> = {
  transition: 'bold',
  alarm: 'yellow',
  drop: 'dim',
};

export function formatWhy(why: WhyView, view: View): string {
  const lines = [`${why.ip}: ${why.conclusion}\n`];
  if (why.records.length > 0) {
    const rows = why.records.map(({ time, agoMs, kind, times, text }) => [
      formatWhen(view, time, agoMs),
      times > 1 ? `${times}x` : '',
      paint(view, KIND_COLORS[kind], text),
    ]);
    lines.push('\n', formatTable(['WHEN', '', 'WHAT'], rows, view));
  }
  if (why.role !== null && isOneOfSeveral(why.role))
    lines.push('\n', formatFields([[`role on ${why.role.interface}`, formatRole(why.role, view)]]));
  if (why.host !== null) lines.push('\n', formatHost(why.host, view));
  else if (why.foreignRoute !== null)
    lines.push('\n', formatFields([['foreign route', formatForeignRoute(why.foreignRoute)]]));
  return lines.join('');
}

export function formatDrops(drops: readonly DropView[], view: View): string {
  if (drops.length === 0) return 'no frames ignored\n';
  return formatTable(
    ['COUNT', 'REASON', 'LAST', 'IP', 'MAC', 'INTERFACE', 'MEANING'],
    drops.map((drop) => [
      String(drop.count),
      drop.reason,
      drop.time === null || drop.agoMs === null ? '-' : formatWhen(view, drop.time, drop.agoMs),
      dash(drop.ip),
      dash(drop.mac),
      dash(drop.interface),
      drop.meaning,
    ]),
    view,
  );
}

export function formatFindings({ findings }: { readonly findings: readonly Finding[] }, view: View): string {
  const marks = { ok: 'ok', warning: 'WARN', error: 'ERROR' } as const;
  const colors = { ok: 'green', warning: 'yellow', error: 'red' } as const;
  const rows = findings.flatMap(({ level, check, message, fix }) => [
    [paint(view, colors[level], marks[level]), check, message],
    ...(fix === undefined ? [] : [['', '', `fix: ${fix}`]]),
  ]);
  return formatTable(['', 'CHECK', 'FINDING'], rows, view);
}

/** One line per record of /v1/events; the time is local, to be laid beside tcpdump's. */
export function formatRecord(record: EventRecord, view: View = PLAIN): string {
  const text = (key: string) => (typeof record[key] === 'string' ? (record[key] as string) : '');
  const where = text('interface') === '' ? '' : ` on ${text('interface')}`;
  const mac = text('mac') === '' ? '' : ` ${text('mac')}`;
  const time =
    record.time === undefined ? '' : `${view.time === 'utc' ? record.time : localTime(record.time)} `;
  const state = (key: string) => formatState(view, text(key) as HostState);
  const ip = (record.ip ?? '-').padEnd(15);
  switch (record.event) {
    case 'transition':
      return `${time}${ip} ${state('from')} -> ${state('to')}${where}${mac} (${text('cause')})`;
    case 'alarm': {
      const other = party(text('otherMac') || null, text('otherInterface') || null);
      return `${time}${ip} ${paint(view, 'yellow', `ALARM ${text('alarm')}`)}: ${text('message')}${where}${mac}${other === '-' ? '' : ` against ${other}`}`;
    }
    case 'role':
      return `${time}${ip} ${paint(view, 'bold', text('state'))}${record.family === 'ipv6' ? ' for IPv6' : ''}${where} (${text('reason')})`;
    case 'answered':
      return `${time}${ip} asked for ${text('target')}${where}: answered`;
    case 'evidence': {
      const took = typeof record.rttMs === 'number' ? ` after ${rtt(record.rttMs)}` : '';
      return `${time}${ip} ${text('evidence')}${where}${mac}${took}`;
    }
    case 'drop':
      return paint(view, 'dim', `${time}${ip} ignored${where}${mac}: ${text('reason')}`);
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
