import { recordOf } from '../control/records.js';
import { AnnotatedFile } from './annotated-file.js';
import { type Decision, describeDecision, isChangeOfKernel } from './decisions.js';
import { describeFrame, isNeighbourFrame } from './frame-text.js';
import type { Chapter, NameOf } from './story.js';
import { formatIp } from '../wire/addresses.js';

/** The chapters of a replay as text, as JSON lines, and as a pcapng file. */

/** As tcpdump prints it: local time with µs. */
export function formatClock(timeNs: bigint): string {
  const date = new Date(Number(timeNs / 1_000_000n));
  const micros = (timeNs / 1000n) % 1_000_000n;
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${clock}.${String(micros).padStart(6, '0')}`;
}

const INDENT = ' '.repeat(16);
const NO_INTERFACE = '-';

/** Packets of other protocols that lead to nothing are not told. */
function isTold({ packet, actions, note, differences }: Chapter): boolean {
  if (packet === undefined || actions.length > 0 || note !== undefined || differences.length > 0) return true;
  return isNeighbourFrame(packet.bytes);
}

export function chapterText(chapter: Chapter, nameOf: NameOf): string {
  if (!isTold(chapter)) return '';
  const { timeNs, interface: name, packet, note, actions, differences } = chapter;
  const what = packet === undefined ? (note ?? 'deadline') : describeFrame(packet.bytes, packet.length);
  const arrow = packet?.direction === 'out' ? '> ' : '';
  let text = `${formatClock(timeNs)} ${(name ?? NO_INTERFACE).padEnd(8)} ${arrow}${what}\n`;
  if (packet !== undefined && note !== undefined) text += `${INDENT}${note}\n`;
  for (const action of actions) {
    const line =
      action.kind === 'send'
        ? `${action.purpose} on ${nameOf(action.iface) ?? '?'}: ${describeFrame(action.bytes, action.bytes.length)}`
        : describeDecision(action, nameOf);
    text += `${INDENT}${line}\n`;
  }
  for (const difference of differences) text += `${INDENT}DIFFERENCE ${difference}\n`;
  return text;
}

/** One JSON object per line: the records of /v1/events, and `frame`, `send`, `route`, `note` and `difference`. */
export function chapterJson(chapter: Chapter, nameOf: NameOf, originMs: number): string {
  if (!isTold(chapter)) return '';
  const { packet, note, actions, differences } = chapter;
  const time = isoTime(chapter.timeNs);
  const place = chapter.interface ?? null;
  const records: object[] = [];
  if (packet === undefined) records.push({ event: 'note', time, note: note ?? 'deadline' });
  else {
    const direction = packet.direction ?? null;
    const frame = describeFrame(packet.bytes, packet.length);
    records.push({ event: 'frame', time, interface: place, direction, frame, note: note ?? null });
  }
  for (const action of actions) {
    const record = recordOf(action, originMs, nameOf);
    if (record !== undefined) records.push(record);
    else if (action.kind === 'send') {
      const frame = describeFrame(action.bytes, action.bytes.length);
      const { purpose } = action;
      records.push({ event: 'send', time, interface: nameOf(action.iface) ?? null, purpose, frame });
    } else if (action.kind === 'claim') {
      const { dev, age } = action;
      records.push({ event: 'route', time, ip: formatIp(action.ip), change: 'add', interface: dev, age });
    } else if (action.kind === 'release')
      records.push({
        event: 'route',
        time,
        ip: formatIp(action.ip),
        change: 'delete',
        interface: null,
        age: null,
      });
  }
  for (const difference of differences) records.push({ event: 'difference', time, difference });
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

function isoTime(timeNs: bigint): string {
  const whole = new Date(Number(timeNs / 1_000_000n)).toISOString().slice(0, -1);
  return `${whole}${String((timeNs / 1000n) % 1000n).padStart(3, '0')}Z`;
}

/** The packets of the captures, each with what was decided as comments; what is no packet as journal entries. */
export class CommentedFile {
  private readonly file: AnnotatedFile;

  constructor(version: string) {
    this.file = new AnnotatedFile(`marpctl ${version} explain`);
  }

  header(): Uint8Array[] {
    return this.file.header(
      [],
      'Comments and journal entries say what marpd decides; stamps are those of the captures.',
    );
  }

  chapter(
    { timeNs, interface: name, packet, note, actions, differences }: Chapter,
    nameOf: NameOf,
  ): Uint8Array[] {
    const lines = actions.map((action) =>
      action.kind === 'send'
        ? `${action.purpose} on ${nameOf(action.iface) ?? '?'}: ${describeFrame(action.bytes, action.bytes.length)}`
        : describeDecision(action, nameOf),
    );
    lines.push(...differences.map((difference) => `difference: ${difference}`));
    const isAssumed = note === ASSUMED;
    if (packet === undefined || name === undefined || isAssumed) {
      const what = packet === undefined ? note : `${note}: ${describeFrame(packet.bytes, packet.length)}`;
      return [this.file.entry(timeNs, [what ?? 'deadline', ...lines].join('; '))];
    }
    const comments = note === undefined ? lines : [note, ...lines];
    const blocks = this.file.packet({ name }, { ...packet, timeNs, comments });
    for (const action of actions)
      if (isChangeOfKernel(action))
        blocks.push(this.file.entry(timeNs, describeDecision(action as Decision, nameOf)));
    return blocks;
  }
}

/** A frame that is in no capture (--assume-alive). */
const ASSUMED = 'assumed answer';
