import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { TrackerContext } from '../../../src/mobility/context.js';
import { arpDriver } from '../../../src/mobility/arp/driver.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import type { Subnet } from '../../../src/mobility/policy.js';
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
const VISITOR6 = '2001:db8:1::5';

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

/**
 * lan0 is the home of 10.1.1.0/24 and 2001:db8:1::/64, lan1 of 10.2.2.0/24 and 2001:db8:2::/64; 192.0.2.0/24 and the
 * default routes lead elsewhere.
 */
function makeContext(): TrackerContext {
  const config =
    '[[interface]]\nname = "lan*"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.254"\n[[subnet]]\nprefix = "10.2.2.0/24"\ngateway = "10.2.2.1"\n';
  const { policy } = parseConfig(config);
  const subnets = [...policy.subnets, subnet6('2001:db8:1::/64'), subnet6('2001:db8:2::/64')];
  const ctx = new TrackerContext({ ...policy, subnets }, new FamilyDrivers([arpDriver, ndDriver]));
  ctx.now = NOW;
  ctx.topology.setLink(link(WAN, 'wan', ['192.0.2.1/24']));
  ctx.topology.setLink(link(LAN0, 'lan0', ['10.1.1.1/24', '2001:db8:1::1/64', 'fe80::1/64']));
  ctx.topology.setLink(link(LAN1, 'lan1', ['10.2.2.1/24', '2001:db8:2::1/64', 'fe80::1/64']));
  route(ctx, '0.0.0.0/0', WAN);
  route(ctx, '::/0', WAN);
  route(ctx, '10.1.1.0/24', LAN0);
  return ctx;
}

/** Its routers share one link-local address; the one of old is left to whoever moves away. */
function subnet6(text: string): Subnet {
  const gateways = [ip('fe80::1'), ip('fe80::a1')];
  return { prefix: parsePrefix(text) as Prefix, gateways };
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

/** The gateway of lan1 belongs to a virtual router (RFC 9568), and another router is the active one. */
function standby(ctx: TrackerContext): void {
  const interfaces = ctx.policy.interfaces.map((rule) => ({ ...rule, role: 'gateway' as const }));
  ctx.topology.setPolicy({ ...ctx.policy, interfaces });
  ctx.topology.roles.setSilent(LAN1, 'ipv4', true);
}

/** For each row of the rule, who asks for what on lan1, and what is known: then that row decides. */
const EXAMPLES: readonly {
  asker: string;
  target: string;
  known?: (ctx: TrackerContext) => void;
  isAstray?: true;
}[] = [
  { asker: '0.0.0.0', target: TARGET },
  { asker: VISITOR, target: VISITOR },
  { asker: '192.0.2.1', target: TARGET },
  { asker: 'fe80::5', target: '2001:db8:9::9' },
  { asker: HOME, target: '10.2.2.1', known: standby },
  { asker: VISITOR, target: '10.1.1.254', known: (ctx) => ctx.topology.roles.setSilent(LAN1, 'ipv4', true) },
  {
    asker: VISITOR,
    target: '10.1.1.254',
    known: (ctx) => ctx.topology.roles.setDeferring(LAN1, 'ipv4', true),
  },
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
  { asker: VISITOR6, target: 'fe80::1', isAstray: true },
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
      const row = answeringRow(ctx, LAN1, ip(example.asker), ip(example.target), example.isAstray);
      assert.equal(ANSWERING_RULE.indexOf(row), number, `${row.target}, ${row.known}; ${row.asker}`);
      assert.equal(row.answer, answer);
    });

  it('design.md 3.5: a host that a standby announces is answered by it', () => {
    const ctx = makeContext();
    ctx.topology.roles.setSilent(LAN1, 'ipv4', true);
    claim(ctx, VISITOR, LAN1);
    assert.equal(answeringRow(ctx, LAN1, ip(VISITOR), ip('10.1.1.254')).answer, 'answer');
    standby(ctx);
    assert.equal(answeringRow(ctx, LAN1, ip(VISITOR), ip('10.1.1.254')).answer, 'answer', 'of another LAN');
    assert.equal(answeringRow(ctx, LAN1, ip(VISITOR), ip('10.2.2.1')).answer, 'silence', 'VRRP has it');
  });

  it('RFC 4861: IPv6, row by row as IPv4, but for what it has of its own', () => {
    const decided = (
      asker: string,
      target: string,
      known: (ctx: TrackerContext) => void = () => undefined,
    ) => {
      const ctx = makeContext();
      known(ctx);
      return answeringRow(ctx, LAN1, ip(asker), ip(target)).answer;
    };
    const home6 = '2001:db8:2::5';
    assert.equal(decided('::', VISITOR6), 'silence', 'duplicate address detection (RFC 4862 section 5.4)');
    assert.equal(decided(VISITOR6, VISITOR6), 'silence');
    assert.equal(decided(VISITOR6, 'fe80::1'), 'silence', 'the kernel has it, and knows no rp_filter');
    assert.equal(decided(VISITOR6, '2001:db8:2::1'), 'silence');
    assert.equal(decided(VISITOR6, 'fe80::a1'), 'answer', 'a gateway that the kernel does not have');
    assert.equal(decided('fe80::5', 'fe80::a1'), 'answer', 'whoever asks for it');
    assert.equal(decided(VISITOR6, 'fe80::9'), 'silence', 'link-local, and no gateway');
    assert.equal(
      decided(VISITOR6, '2001:db8:9::'),
      'ask first',
      'a prefix that nobody knows has no anycast address',
    );
    assert.equal(decided(VISITOR6, '2001:db8:1::'), 'silence', 'RFC 4291 section 2.6.1');
    assert.equal(decided(VISITOR6, '2001:db8:1::1'), 'answer', 'our address on another interface');
    assert.equal(decided('fe80::1', 'fe80::a1'), 'silence', 'in the name of a gateway');
    assert.equal(decided(VISITOR6, '2001:db8:9::9'), 'ask first');
    assert.equal(decided(home6, '2001:db8:9::9'), 'silence');
    assert.equal(decided(home6, '2001:db8:2::9'), 'silence', 'it is beside the asker');
    assert.equal(
      decided(home6, '2001:db8:2::9', (ctx) => claim(ctx, '2001:db8:2::9', LAN0)),
      'answer',
    );
    const elsewhere = (ctx: TrackerContext) => route(ctx, '2001:db8:9::9/128', WAN, 188, 'fe80::2');
    assert.equal(decided(VISITOR6, '2001:db8:9::9', elsewhere), 'answer');
  });

  it('our address on this interface, with rp_filter loose or off: the kernel answers a visitor that it can reach', () => {
    for (const rpFilter of [0, 2] as const) {
      const ctx = makeContext();
      ctx.topology.setLink(link(LAN1, 'lan1', ['10.2.2.1/24'], { rpFilter }));
      assert.equal(answeringRow(ctx, LAN1, ip(VISITOR), ip('10.2.2.1')).answer, 'silence');
    }
  });
});
