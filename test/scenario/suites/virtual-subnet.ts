import assert from 'node:assert/strict';
import {
  announcedBy,
  LEARN_MS,
  longEnough,
  MOVE_MS,
  neighbourOf,
  noAlarms,
  ROUTER_OF,
  scenario,
  type Scenario,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilRouted,
  untilUnclaimed,
} from '../scenario.js';
import type { HostName, LanName, PlugOptions, World } from '../world.js';

const LAYOUT = 'virtual-subnet';
/** A neighbour, the far host and a neighbour on the other LAN may have nothing of a host that moves for so long. */
const OUTAGE_MS = 50;

/** h at home on lan a, k on lan b, and neighbourA beside h; all of them have talked to each other. */
async function talking(world: World): Promise<void> {
  await world.plug('h', 'a');
  await world.plug('k', 'b');
  await world.announce('neighbourA', 'gratuitous-request');
  await untilClaimed(world, 'r1', 'h', 'a', 'settled', world.settleMs + 100);
  await untilClaimed(world, 'r2', 'k', 'b', 'settled', world.settleMs + 100);
  for (const [from, to] of [
    ['h', 'k'],
    ['neighbourA', 'h'],
    ['neighbourA', 'k'],
    ['far', 'h'],
  ] as const)
    await untilEcho(world, from, to, LEARN_MS);
  await world.advance(2 * world.settleMs);
}

async function movesTo(world: World, lan: LanName, options: PlugOptions, partners: readonly HostName[]) {
  const streams = [];
  for (const partner of partners) {
    streams.push([`${partner} to h`, await world.stream(partner, 'h')] as const);
    // (The far host takes no streams. What a host asks without a cable it asks again a second later.)
    if (partner !== 'far' && options.carrierDrop === false)
      streams.push([`h to ${partner}`, await world.stream('h', partner)] as const);
  }
  await world.advance(20);
  await world.plug('h', lan, options);
  await untilRouted(world, 'core', 'h', `via ${ROUTER_OF[lan]}`, MOVE_MS);
  await world.advance(1000);
  for (const [who, stream] of streams) {
    const { longestOutageMs } = await stream.stop();
    assert.ok(
      longestOutageMs <= world.bound(OUTAGE_MS),
      `${who}: nothing for ${longestOutageMs} ms on ${lan}`,
    );
  }
}

/** One subnet on several LANs, each with a first-hop router of its own and the same gateway (Virtual Subnet, RFC 7814). */
export const VIRTUAL_SUBNET: readonly Scenario[] = [
  scenario(
    LAYOUT,
    'RFC 7814: hosts of one subnet on two LANs reach each other, and visitors',
    async (world) => {
      await world.plug('h', 'a');
      await world.plug('k', 'b');
      await untilClaimed(world, 'r1', 'h', 'a', 'settled', world.settleMs + 100);
      await untilClaimed(world, 'r2', 'k', 'b', 'settled', world.settleMs + 100);
      await world.plug('g', 'a');
      await world.announce('neighbourB', 'gratuitous-request');
      await untilClaimed(world, 'r1', 'g', 'a', 'settled', world.settleMs + 100);
      for (const [from, to] of [
        ['h', 'k'],
        ['far', 'k'],
        ['g', 'h'],
        ['k', 'g'],
        ['g', 'neighbourB'],
      ] as const) {
        await untilEcho(world, from, to, LEARN_MS);
        await untilEcho(world, to, from, LEARN_MS);
      }
      assert.match(
        (await neighbourOf(world, 'h', 'k')) ?? '',
        /^r\d/,
        'a router, maybe with the MAC of all of them',
      );
      assert.match((await neighbourOf(world, 'k', 'h')) ?? '', /^r\d/);
      await noAlarms(world, ['r1', 'r2', 'r3']);
      await untilQuiet(world, 100);
    },
  ),

  scenario(
    LAYOUT,
    'RFC 7814: a host that has never spoken is answered for as soon as it does',
    async (world) => {
      await world.plug('h', 'a');
      await untilClaimed(world, 'r1', 'h', 'a', 'settled', world.settleMs + 100);
      await world.plug('k', 'b', { announce: 'silent' });
      await world.echo('k', 'h');
      await untilEcho(world, 'k', 'h', 2 * LEARN_MS);
      await untilEcho(world, 'h', 'k', LEARN_MS);
    },
  ),

  ...(
    [
      ['gratuitous-request', true],
      ['gratuitous-request', false],
      ['arp-gateway', false],
      ['rarp', false],
    ] as const
  ).map(([announce, carrierDrop]) =>
    scenario(
      LAYOUT,
      `RFC 7814: between the LANs of its subnet and back, ${announce}, carrier drop ${carrierDrop}`,
      async (world) => {
        await talking(world);
        for (const lan of ['b', 'a', 'b', 'a'] as const) {
          await movesTo(world, lan, { announce, carrierDrop }, ['neighbourA', 'k', 'far']);
          const other = lan === 'a' ? 'r2' : 'r1';
          await untilUnclaimed(world, other, 'h', 200);
          await untilClaimed(world, ROUTER_OF[lan], 'h', lan, 'settled', world.settleMs + 100);
          await untilQuiet(world, 500);
          await announcedBy(world, 'h', [ROUTER_OF[lan]]);
          await world.advance(3 * world.settleMs);
        }
        await noAlarms(world, ['r1', 'r2']);
        assert.equal(await world.conflicts('h'), 0, 'RFC 5227');
      },
    ),
  ),

  scenario(
    LAYOUT,
    'RFC 7814: to a LAN of another subnet and back, beside a host of its own',
    async (world) => {
      await talking(world);
      await world.plug('v', 'c');
      for (const lan of ['c', 'b', 'c', 'a'] as const) {
        await movesTo(world, lan, { carrierDrop: false }, ['neighbourA', 'k', 'far']);
        await untilQuiet(world, world.settleMs + 500);
        await announcedBy(world, 'h', [ROUTER_OF[lan]]);
      }
      await world.plug('h', 'c');
      await world.plug('k', 'c');
      await untilEcho(world, 'h', 'k', MOVE_MS);
      await untilEcho(world, 'k', 'h', MOVE_MS);
      await world.advance(longEnough(world));
      await movesTo(world, 'a', { carrierDrop: false }, ['k', 'neighbourA']);
      await noAlarms(world, ['r1', 'r2', 'r3']);
    },
  ),

  scenario(
    LAYOUT,
    'RFC 7814: two living hosts with one address on two LANs: the first one keeps it',
    async (world) => {
      await talking(world);
      await world.duplicate('h', 'b');
      await world.advance(longEnough(world));
      await untilClaimed(world, 'r1', 'h', 'a', 'settled', longEnough(world));
      await untilQuiet(world, longEnough(world));
      await announcedBy(world, 'h', ['r1']);
      // (k is beside the second one, which answers for itself there.)
      for (const from of ['far', 'neighbourA']) await untilEcho(world, from, 'h', LEARN_MS);
      assert.ok((await world.alarms('r2')).some(({ alarm }) => alarm === 'duplicate'));
      for (const router of ['r1', 'r2'] as const)
        assert.ok(!(await world.alarms(router)).some(({ alarm }) => alarm === 'frozen'));
    },
  ),

  scenario(LAYOUT, 'RFC 7814: a router that starts again knows who is elsewhere', async (world) => {
    await talking(world);
    await movesTo(world, 'b', { carrierDrop: false }, ['neighbourA', 'k']);
    await untilQuiet(world, world.settleMs + 500);
    await world.kill('r1');
    await world.advance(500);
    await world.start('r1');
    await world.advance(500);
    await untilEcho(world, 'neighbourA', 'h', LEARN_MS);
    await movesTo(world, 'a', { carrierDrop: false }, ['neighbourA', 'k', 'far']);
    await untilQuiet(world, longEnough(world));
    await announcedBy(world, 'h', ['r1']);
    await noAlarms(world, ['r1', 'r2']);
  }),

  scenario(
    LAYOUT,
    'RFC 7814: a LAN loses its carrier, and its host is found on the other one',
    async (world) => {
      await talking(world);
      await world.carrier('r1', 'a', false);
      await world.plug('h', 'b');
      await untilEcho(world, 'k', 'h', MOVE_MS);
      await world.carrier('r1', 'a', true);
      await world.advance(500);
      await untilEcho(world, 'neighbourA', 'h', 2000);
      await untilQuiet(world, longEnough(world));
      await announcedBy(world, 'h', ['r2']);
      await noAlarms(world, ['r1', 'r2']);
    },
  ),
];
