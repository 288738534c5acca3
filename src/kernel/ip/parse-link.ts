import { type Mac, MAC_ZERO, type Prefix, parseIp, parseMac, parsePrefix } from '../../wire/addresses.js';

/** A line of `ip -o -d -N link|address show` or of the monitor; names are as the writing process knows them. */
export interface LinkLine {
  readonly kind: 'link';
  readonly deleted: boolean;
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly master: string | undefined;
  readonly mac: Mac;
  readonly type: string | undefined;
}

export interface AddressLine {
  readonly kind: 'address';
  readonly deleted: boolean;
  readonly index: number;
  readonly prefix: Prefix;
}

/** Words that begin a segment of a link line and are no `info_kind`. */
const NOT_A_KIND = new Set(['alias', 'altname', 'vf', 'prog/xdp', 'RX:', 'TX:', 'numtxqueues', 'link-netns']);

/**
 * `2: lan0@if2: <BROADCAST,UP> mtu 1500 qdisc noqueue master br0 ...\    link/[1] 02:.. brd ..\    veth ...` or
 * `2: lan0    inet 10.1.1.1/24 scope 0 lan0\       valid_lft ...`, without `Deleted `.
 *
 * 'ignored' for what a bridge reports about its ports in the same format: those lines lack a qdisc, and their `Deleted`
 * means that the port left its bridge, not that it is gone. undefined for what is neither.
 */
export function parseLinkOrAddress(
  text: string,
  deleted: boolean,
): LinkLine | AddressLine | 'ignored' | undefined {
  const colon = text.indexOf(': ');
  const index = numeral(text.slice(0, colon), 0x7fff_ffff);
  if (colon < 1 || !(index > 0)) return undefined;
  const nameStart = colon + 2;
  const nameEnd = endOfWord(text, nameStart);
  const word = text.slice(nameStart, nameEnd);
  return word.endsWith(':')
    ? parseLink(text, deleted, index, word.slice(0, -1))
    : parseAddress(text.slice(nameEnd), deleted, index);
}

function endOfWord(text: string, from: number): number {
  const space = text.indexOf(' ', from);
  return space < 0 ? text.length : space;
}

function parseLink(
  text: string,
  deleted: boolean,
  index: number,
  word: string,
): LinkLine | 'ignored' | undefined {
  const segments = text.split('\\    ');
  const head = segments[0] as string;
  const flags = head.slice(head.indexOf('<') + 1, head.indexOf('>')).split(',');
  const words = head.slice(head.indexOf('>') + 2).split(' ');
  if (!words.includes('qdisc')) return words.includes('mtu') ? 'ignored' : undefined;
  const at = word.indexOf('@');
  const name = at < 0 ? word : word.slice(0, at);
  if (name === '') return undefined;
  const link = (segments[1] ?? '').split(' ');
  return {
    kind: 'link',
    deleted,
    index,
    name,
    up: flags.includes('UP'),
    carrier: flags.includes('LOWER_UP'),
    master: wordBehind(words, 'master'),
    // link/[65534] of a tun device has no address, that of InfiniBand is none of Ethernet's.
    mac: (link[0]?.startsWith('link/') === true ? parseMac(link[1] ?? '') : undefined) ?? MAC_ZERO,
    type: infoKind(segments),
  };
}

function infoKind(segments: readonly string[]): string | undefined {
  for (const segment of segments.slice(2)) {
    const word = segment.slice(0, endOfWord(segment, 0));
    if (word !== '' && !word.endsWith('_slave') && !NOT_A_KIND.has(word)) return word;
  }
  return undefined;
}

/** `    inet 10.1.1.1/24 scope 0 ...` or `    inet 10.9.9.1 peer 10.9.9.2/32 scope 0 ...` */
function parseAddress(text: string, deleted: boolean, index: number): AddressLine | 'ignored' | undefined {
  const words = text.trimStart().split(' ');
  if (words[0] !== 'inet' && words[0] !== 'inet6') return words[0] === 'link/' ? 'ignored' : undefined;
  const text1 = words[1] ?? '';
  const alone = words[2] === 'peer' ? parseIp(text1) : undefined;
  const prefix =
    alone === undefined ? parsePrefix(text1) : { ip: alone, length: words[0] === 'inet' ? 32 : 128 };
  return prefix === undefined ? undefined : { kind: 'address', deleted, index, prefix };
}

/** The word that follows `key`; undefined when there is none. */
export function wordBehind(words: readonly string[], key: string): string | undefined {
  const at = words.indexOf(key);
  return at < 0 ? undefined : words[at + 1] || undefined;
}

/** A decimal number up to `most`; NaN for anything else, such as a number that is cut off or has a sign. */
export function numeral(word: string | undefined, most = 0xffff_ffff): number {
  const value = word !== undefined && /^\d{1,10}$/.test(word) ? Number(word) : Number.NaN;
  return value <= most ? value : Number.NaN;
}
