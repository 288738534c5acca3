import assert from 'node:assert/strict';
import type { AddressLine, LinkLine } from '../../../../src/kernel/ip/parse-link.js';
import {
  type FdbLine,
  type NeighbourLine,
  parseBridgeFdb,
  parseNeighbour,
} from '../../../../src/kernel/ip/parse-neighbour.js';
import { type RouteLine, parseRoute, routeKey } from '../../../../src/kernel/ip/parse-route.js';
import { parseRules } from '../../../../src/kernel/ip/rules.js';
import { type Ip, MAC_BROADCAST, type Mac, type Prefix, hostLength } from '../../../../src/wire/addresses.js';
import { type Target, textOf } from '../../engine/target.js';

/** What `ip` and `bridge` print of the kernel's tables: a line is a value with all its parts in range, or nothing. */

export function isNumber(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}

const isIp = (ip: Ip): boolean => (typeof ip === 'number' ? isNumber(ip, 0, 2 ** 32 - 1) : ip.length === 16);
const isMac = (mac: Mac): boolean => isNumber(mac, 0, MAC_BROADCAST);
const isName = (name: string): boolean => name.length > 0 && !name.includes(' ');
const isPrefix = ({ ip, length }: Prefix): boolean => isIp(ip) && isNumber(length, 0, hostLength(ip));

export function checkLink(line: LinkLine): void {
  assert.ok(isNumber(line.index, 1, 2 ** 31 - 1), `index ${line.index}`);
  assert.ok(isName(line.name) && isMac(line.mac));
  assert.ok(line.master === undefined || isName(line.master), 'a master has a name');
}

export function checkAddress(line: AddressLine): void {
  assert.ok(isNumber(line.index, 1, 2 ** 31 - 1), `index ${line.index}`);
  assert.ok(isPrefix(line.prefix));
}

export function checkRoute(line: RouteLine): void {
  assert.ok(isPrefix(line.prefix));
  assert.ok(isNumber(line.table, 0, 2 ** 32 - 1), `table ${line.table}`);
  assert.ok(isNumber(line.metric, 0, 2 ** 32 - 1), `metric ${line.metric}`);
  assert.ok(isNumber(line.protocol, 0, 255), `protocol ${line.protocol}`);
  assert.ok(line.via === undefined || isIp(line.via));
  assert.ok(line.dev === undefined || isName(line.dev), 'a device has a name');
  assert.equal(routeKey(line), routeKey({ ...line }));
}

export function checkNeighbour(line: NeighbourLine): void {
  assert.ok(isIp(line.ip) && isName(line.dev));
  assert.ok(line.mac === undefined || isMac(line.mac));
  assert.ok(isNumber(line.protocol, 0, 255), `protocol ${line.protocol}`);
  assert.match(line.state, /^[A-Z]+$/);
}

export function checkFdb(line: FdbLine): void {
  assert.ok(isMac(line.mac) && isName(line.dev));
  assert.ok(line.bridge === undefined || isName(line.bridge), 'a bridge has a name');
}

const RULES_OF = 44;

function checkRules(json: string): void {
  let rules: ReturnType<typeof parseRules>;
  try {
    rules = parseRules(json, RULES_OF);
  } catch (error) {
    if (error instanceof SyntaxError) return;
    throw error;
  }
  for (const { priority, table } of rules)
    assert.ok(isNumber(priority, 0, 2 ** 32 - 1) && isNumber(table, 0, 2 ** 32 - 1));
}

export const target: Target = {
  covers: ['src/kernel/ip/parse-neighbour.ts', 'src/kernel/ip/parse-route.ts', 'src/kernel/ip/rules.ts'],
  maxBytes: 600,
  words: [
    ' ',
    '\\',
    '\t',
    'dev ',
    'via ',
    'via inet6 ',
    'lladdr ',
    'proto ',
    'table ',
    'metric ',
    'nexthop',
    'master ',
    'permanent',
    '{"priority":',
    '"protocol":44',
    '[',
    ']',
  ],
  run(input) {
    const text = textOf(input);
    for (const implied of [{}, { table: 254 }, { protocol: 44 }]) {
      const route = parseRoute(text, false, implied);
      if (route !== undefined) checkRoute(route);
    }
    const neighbour = parseNeighbour(text, false);
    if (neighbour !== undefined) checkNeighbour(neighbour);
    const fdb = parseBridgeFdb(text);
    if (fdb !== undefined) checkFdb(fdb);
    checkRules(text);
  },
};
