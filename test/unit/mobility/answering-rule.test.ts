import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { TrackerContext } from '../../../src/mobility/context.js';
import { arpDriver } from '../../../src/mobility/arp/driver.js';
import { parseConfig } from '../../../src/config/config.js';
import type { Host } from '../../../src/mobility/host/host.js';
import { ANSWERING_RULE, answeringRow } from '../../../src/mobility/neighbour/answering-rule.js';
import { FamilyDrivers } from '../../../src/mobility/neighbour/driver.js';
import { type Mac, type Prefix, parsePrefix } from '../../../src/wire/addresses.js';
import { LAN0, LAN1, ip, link } from './small-router.js';

/** The answering rule of design.md 3.2, row by row: on the page, and in what it decides. */

const PAGE = join(import.meta.dirname, '../../../docs/design.md');
const WAN = 2;
const NOW = 1_000_000;
const HOST_MAC = 0x020000000005 as Mac;
const VISITOR = '10.1.1.5';
const HOME = '10.2.2.5';
const TARGET = '10.1.1.9';

type Cells = readonly [target: string, known: string, asker: string, answer: string];

/** The rows of the first table of the page with these columns. */
function tableOfPage(): Cells[] {
  const lines = readFileSync(PAGE, 'utf8').split('\n');
  const start = lines.indexOf('| target | what we know of it | who asks | answer |');
  assert.ok(start > 0, 'the page has the table');
  const end = lines.findIndex((line, at) => at > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map((line) => {
    const cells = line.slice(1, -1).split('|');
    assert.equal(cells.length, 4, line);
    return cells.map((cell) => cell.trim().replaceAll('**', '')) as unknown as Cells;
  });
}

/** lan0 is the home of 10.1.1.0/24, lan1 of 10.2.2.0/24; 192.0.2.0/24 and the default route lead elsewhere. */
function makeContext(): TrackerContext {
  const config =
    '[[interface]]\nname = "lan*"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.254"\n[[subnet]]\nprefix = "10.2.2.0/24"\ngateway = "10.2.2.1"\n';
  const ctx = new TrackerContext(parseConfig(config).policy, new FamilyDrivers([arpDriver]));
  ctx.now = NOW;
  ctx.topology.setLink(link(WAN, 'wan', ['192.0.2.1/24']));
  ctx.topology.setLink(link(LAN0, 'lan0', ['10.1.1.1/24']));
  ctx.topology.setLink(link(LAN1, 'lan1', ['10.2.2.1/24']));
  route(ctx, '0.0.0.0/0', WAN);
  route(ctx, '10.1.1.0/24', LAN0);
  return ctx;
}

function route(ctx: TrackerContext, to: string, iface: number, protocol = 3, via?: string): void {
  const prefix = parsePrefix(to) as Prefix;
  const next = via === undefined ? undefined : ip(via);
  const what = { prefix, table: 254, protocol, metric: 20, type: 'unicast', iface, via: next } as const;
  ctx.fib.apply('add', what, NOW);
}

function place(ctx: TrackerContext, address: string, iface: number): Host {
  const host = ctx.create(ip(address));
  ctx.table.place(host, { iface, mac: HOST_MAC }, `lan${iface - LAN0}`);
  return host;
}

function claim(ctx: TrackerContext, address: string, iface: number): void {
  place(ctx, address, iface).stepClaim({ input: 'adopt', ageAt: NOW, homecoming: false }, NOW);
}

function atHome(ctx: TrackerContext, address: string, iface: number, heardAt: number): void {
  const host = place(ctx, address, iface);
  host.stepClaim({ input: 'found-at-home', cause: 'proven' }, NOW);
  host.heard(heardAt);
}

function askedLan(ctx: TrackerContext, target: string, outcome: 'taken' | 'free'): void {
  const query = ctx.lanQueries.open(LAN1, ip(target), NOW - 100);
  query?.step({ input: 'wanted' }, NOW - 100);
  if (outcome === 'taken') query?.step({ input: 'heard' }, NOW - 50);
  for (const at of [NOW - 50, NOW]) query?.step({ input: 'due', listening: true }, at);
}

/** For each row of the rule, who asks for what on lan1, and what is known: then that row decides. */
const EXAMPLES: readonly { asker: string; target: string; known?: (ctx: TrackerContext) => void }[] = [
  { asker: '0.0.0.0', target: TARGET },
  { asker: VISITOR, target: VISITOR },
  { asker: '192.0.2.1', target: TARGET },
  { asker: VISITOR, target: '10.1.1.254', known: (ctx) => ctx.topology.setSilent(LAN1, true) },
  { asker: VISITOR, target: '10.1.1.254', known: (ctx) => ctx.topology.setDeferring(LAN1, true) },
  {
    asker: VISITOR,
    target: '10.1.1.254',
    known: (ctx) => {
      const other = ctx.otherRouters.add(LAN1, HOST_MAC, ip('10.1.1.254'));
      other?.step({ input: 'claimed' }, NOW - 10);
      other?.step({ input: 'due', listening: true, missed: false }, NOW - 10);
      other?.step({ input: 'answered' }, NOW);
    },
  },
  { asker: HOME, target: '10.2.2.1' },
  { asker: VISITOR, target: '10.2.2.1' },
  { asker: VISITOR, target: '169.254.7.7' },
  { asker: VISITOR, target: '192.0.2.1' },
  { asker: HOME, target: '10.1.1.254' },
  { asker: VISITOR, target: '10.1.1.254' },
  { asker: VISITOR, target: TARGET, known: (ctx) => claim(ctx, TARGET, LAN1) },
  { asker: HOME, target: '10.2.2.9', known: (ctx) => claim(ctx, '10.2.2.9', LAN0) },
  { asker: HOME, target: '10.2.2.9', known: (ctx) => route(ctx, '10.2.2.9/32', WAN, 188, '192.0.2.2') },
  { asker: HOME, target: '10.2.2.9', known: (ctx) => atHome(ctx, '10.2.2.9', LAN0, NOW) },
  { asker: HOME, target: '198.51.100.7' },
  { asker: VISITOR, target: '10.9.9.9', known: (ctx) => claim(ctx, '10.9.9.9', LAN0) },
  { asker: VISITOR, target: TARGET, known: (ctx) => atHome(ctx, TARGET, LAN0, NOW - 59_000) },
  { asker: VISITOR, target: '10.9.9.9', known: (ctx) => route(ctx, '10.9.9.0/24', LAN1) },
  { asker: VISITOR, target: TARGET, known: (ctx) => route(ctx, `${TARGET}/32`, WAN, 188) },
  { asker: VISITOR, target: TARGET, known: (ctx) => askedLan(ctx, TARGET, 'free') },
  { asker: VISITOR, target: TARGET, known: (ctx) => askedLan(ctx, TARGET, 'taken') },
  { asker: VISITOR, target: TARGET, known: (ctx) => atHome(ctx, TARGET, LAN0, NOW - 61_000) },
];

describe('the answering rule (design.md 3.2)', () => {
  it('is the table of the page', () => {
    const rows = ANSWERING_RULE.map(({ target, known, asker, answer }) => [target, known, asker, answer]);
    assert.deepEqual(tableOfPage(), rows);
    assert.equal(EXAMPLES.length, rows.length, 'each row has its example');
  });

  for (const [number, [target, known, asker, answer]] of tableOfPage().entries())
    it(`${target}${known === '' ? '' : `, ${known}`}; ${asker}: ${answer}`, () => {
      const example = EXAMPLES[number];
      assert.ok(example !== undefined);
      const ctx = makeContext();
      example.known?.(ctx);
      const row = answeringRow(ctx, LAN1, ip(example.asker), ip(example.target));
      assert.equal(ANSWERING_RULE.indexOf(row), number, `${row.target}, ${row.known}; ${row.asker}`);
      assert.equal(row.answer, answer);
    });

  it('design.md 3.5: a host that a standby announces is answered by it', () => {
    const ctx = makeContext();
    ctx.topology.setSilent(LAN1, true);
    claim(ctx, VISITOR, LAN1);
    assert.equal(answeringRow(ctx, LAN1, ip(VISITOR), ip('10.1.1.254')).answer, 'answer');
  });

  it('our address on this interface, with rp_filter loose or off: the kernel answers a visitor that it can reach', () => {
    for (const rpFilter of [0, 2] as const) {
      const ctx = makeContext();
      ctx.topology.setLink(link(LAN1, 'lan1', ['10.2.2.1/24'], { rpFilter }));
      assert.equal(answeringRow(ctx, LAN1, ip(VISITOR), ip('10.2.2.1')).answer, 'silence');
    }
  });
});
