import assert from 'node:assert/strict';
import { parseBridgeFdb, parseNeighbour } from '../../../../src/kernel/ip/parse-neighbour.js';
import { parseRoute } from '../../../../src/kernel/ip/parse-route.js';
import { parseRules } from '../../../../src/kernel/ip/rules.js';
import { type Ip, MAC_BROADCAST, type Prefix, hostLength } from '../../../../src/wire/addresses.js';
import { type Target, textOf } from '../../engine/target.js';

/** What `ip` and `bridge` print of the kernel's tables: a line is a value with all its parts in range, or nothing. */

/** The range of every number that a line may hold, by the name of its field. */
const RANGES: Readonly<Record<string, readonly [least: number, most: number]>> = {
  index: [1, 2 ** 31 - 1],
  table: [0, 2 ** 32 - 1],
  metric: [0, 2 ** 32 - 1],
  priority: [0, 2 ** 32 - 1],
  protocol: [0, 255],
  mac: [0, MAC_BROADCAST],
};
const NAMES = new Set(['name', 'dev', 'bridge', 'master']);

const isNumber = (value: unknown, least: number, most: number): boolean =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
const isIp = (ip: unknown): boolean =>
  typeof ip === 'string' ? ip.length === 16 : isNumber(ip, 0, 2 ** 32 - 1);
const isPrefix = ({ ip, length }: Prefix): boolean => isIp(ip) && isNumber(length, 0, hostLength(ip));

/** Each field that is there has a value that the kernel could have given it. */
export function checkLine(line: object): void {
  for (const [field, value] of Object.entries(line)) {
    if (value === undefined) continue;
    const range = RANGES[field];
    if (range !== undefined) assert.ok(isNumber(value, ...range), `${field} ${value}`);
    else if (NAMES.has(field)) assert.ok(typeof value === 'string' && value !== '', `${field} has a name`);
    else if (field === 'prefix') assert.ok(isPrefix(value as Prefix), field);
    else if (field === 'ip' || field === 'via') assert.ok(isIp(value as Ip), field);
    else if (field === 'state') assert.match(value, /^[A-Z]+$/);
  }
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
  for (const rule of rules) checkLine(rule);
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
    const lines = [
      ...[{}, { table: 254 }, { protocol: 44 }].map((implied) => parseRoute(text, false, implied)),
      parseNeighbour(text, false),
      parseBridgeFdb(text),
    ];
    for (const line of lines) if (line !== undefined) checkLine(line);
    checkRules(text);
  },
};
