import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Observers } from '../../src/observe/observers.js';
import pino from 'pino';
import { SimWorld } from '../scenario/sim/sim-world.js';
import { claimOf, transitionsOf, untilClaimed } from '../scenario/scenario.js';
import { Siege } from './attack.js';
import { Driver, frameOf, IPS, LAN0, LAN1, MACS, testPolicy } from './driver.js';

/** One attack of each kind, and what it comes to (design.md 3.3). */

const GARP = 'gratuitous-request';
const forger = { announce: GARP, answers: true, delayMs: 0.1, replaces: true, restMs: 0 } as const;

for (const [owner, known] of [
  ['h', true],
  ['h', false],
  ['v', true],
] as const)
  it(`an owner that answers after 200 ms objects to a forger that answers at once: ${owner}, ${known ? 'known' : 'unknown'}`, async () => {
    const siege = new Siege(owner, 200, 1);
    const { world } = siege;
    await world.plug(owner, 'a', { announce: known ? GARP : 'silent' });
    await world.advance(4000);
    siege.watch('a', 30_000);
    await siege.attack({ ...forger, lan: 'b', mac: 'own' });
    await siege.advance(1000);
    // Nobody knows the MAC of an unknown one, so it is asked twice.
    assert.ok(siege.result.longestMs <= (known ? 250 : 450), `${siege.result.longestMs} ms`);
    const alarms = await world.alarms('r1');
    assert.ok(
      alarms.some(({ alarm }) => alarm === 'duplicate'),
      world.report(),
    );
    await siege.advance(20_000);
    assert.ok(await siege.isServed('a'), world.report());
  });

it('a clone of MAC and address on another LAN is a contest: damped, counted, with an alarm', async () => {
  const siege = new Siege('v', 0.1, 1);
  await siege.settle();
  siege.watch('a', 60_000);
  const before = (await transitionsOf(siege.world, 'r1', 'v')).length;
  for (let i = 0; i < 1000; i++) {
    await siege.attack({ ...forger, lan: 'b', mac: 'clone' });
    await siege.advance(5);
  }
  const moves = (await transitionsOf(siege.world, 'r1', 'v')).length - before;
  assert.ok(moves < 12, `${moves} moves\n${siege.world.report()}`);
  const alarms = (await siege.world.alarms('r1')).map(({ alarm }) => alarm);
  assert.deepEqual([alarms.includes('duplicate'), alarms.includes('frozen')], [true, true]);
  assert.ok(siege.result.worstMinuteMs < 100, `${siege.result.worstMinuteMs} ms`);
});

async function frozenAtA(world: SimWorld): Promise<void> {
  await world.plug('v', 'a');
  await world.advance(3000);
  for (let i = 0; i < 6; i++) {
    const other = await world.forge('b', { of: 'v', announce: GARP, answers: true });
    await world.advance(700);
    await world.unplug(other);
  }
  const alarms = (await world.alarms('r1')).map(({ alarm }) => alarm);
  assert.ok(alarms.includes('frozen'), world.report());
}

it('a frozen address is free as soon as its place is silent, and its claim is no fresher than others', async () => {
  const world = new SimWorld('one', { seed: 1 });
  await frozenAtA(world);
  await world.advance(3000);
  assert.equal(await claimOf(world, 'r1', 'v'), 'a settled');
  await world.plug('v', 'b');
  await untilClaimed(world, 'r1', 'v', 'b', 'fresh', 2000);
});

it('what another router claims is not frozen here, nor kept fresh by one that moves to and fro', async () => {
  const siege = new Siege('v', 0.1, 1);
  await siege.settle();
  siege.watch('a', 60_000);
  const frozen: string[] = [];
  for (let i = 0; i < 40; i++) {
    await siege.attack({ ...forger, lan: 'c', mac: i % 2 === 0 ? 'own' : 'clone', replaces: i % 3 === 0 });
    await siege.advance(i % 4 === 0 ? 900 : 200);
  }
  for (const { alarm } of await siege.world.alarms('r2')) if (alarm === 'frozen') frozen.push(alarm);
  assert.deepEqual(frozen, []);
  assert.ok(siege.result.worstMinuteMs <= 2000, `${siege.result.worstMinuteMs} ms`);
});

for (const [where, lan, withinMs] of [
  ['another LAN', 'b', 100],
  ['the LAN where it comes', 'c', 2000],
] as const)
  for (const mac of ['own', 'invented', 'clone'] as const)
    it(`2,800 forged frames a second on ${where} that name its address, ${mac} MAC, starve no mover`, async () => {
      const siege = new Siege('v', 0.2, 1);
      const { world } = siege;
      await siege.settle();
      const shout = { ...forger, lan, mac, answers: false } as const;
      let shouting = true;
      const next = (): void => {
        if (!shouting) return;
        void siege.attack(shout);
        world.clock.after(1000 / 2800, next);
      };
      next();
      await world.advance(500);
      await world.plug('v', 'c', { carrierDrop: false });
      const routed = await world.until('routed', withinMs, () => siege.isServed('c'));
      shouting = false;
      assert.ok(routed <= withinMs);
    });

it('frames that name the MAC of a host with invented addresses use up none of its addresses', () => {
  const driver = new Driver(testPolicy());
  driver.boot();
  const [ip, mac] = [IPS[4] as never, MACS[0] as never];
  driver.setAnswering(ip, mac, LAN0, true);
  driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
  driver.advance(3000);
  for (let i = 0; i < 200; i++)
    driver.handle({
      kind: 'frame',
      iface: LAN1,
      bytes: frameOf('gratuitous', mac, (0x0a090900 + 20 + i) as never),
    });
  driver.setAnswering(ip, mac, LAN0, false);
  driver.setAnswering(ip, mac, LAN1, true);
  driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', mac, ip) });
  driver.advance(5);
  assert.equal(driver.router.host(ip)?.attachment?.iface, LAN1, driver.trace.slice(-20).join('\n'));
});

it('RFC 5944 section 4.6: ACD probes of an invented MAC hold no announcement of a departure back', async () => {
  const world = new SimWorld('two', { seed: 1 });
  await world.plug('h', 'a');
  await world.advance(3000);
  let probing = true;
  const probe = (): void => {
    if (!probing) return;
    const mac = (0x02_66_00_00_00_00 + Math.floor(world.now())) as never;
    void world.forge('a', { of: 'h', announce: 'probe', answers: false, mac });
    world.clock.after(1000, probe);
  };
  probe();
  await world.advance(1500);
  await world.until('its neighbour reaches it', 100, () => world.echo('neighbourA', 'h'));
  await world.plug('h', 'b');
  await world.until('its neighbour sends to r1', 1500, () => world.echo('neighbourA', 'h'));
  probing = false;
});

it('the latency of a claim counts from the frame that led to it', () => {
  const driver = new Driver(testPolicy());
  driver.boot();
  const observers = new Observers(pino({ level: 'silent' }), {
    nameOf: () => 'lan',
    gauges: () => ({}) as never,
    timeOf: String,
    version: '',
  });
  const latencies: (number | undefined)[] = [];
  observers.subscribe({
    saw: () => undefined,
    sawInstalled: (_ip, _age, _dev, latencyMs) => latencies.push(latencyMs),
  });
  const [ip, mac, other] = [IPS[4] as never, MACS[0] as never, MACS[1] as never];
  const handle = driver.router.handle.bind(driver.router);
  driver.router.handle = (event, now) => {
    const actions = handle(event, now);
    for (const action of actions) observers.record(action);
    for (const action of actions)
      if (action.kind === 'claim') observers.installed(action.ip, action.age, action.dev, now + 1);
    return actions;
  };
  driver.setAnswering(ip, mac, LAN0, true);
  driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
  driver.advance(3000);
  driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', other, ip) });
  driver.advance(20_000);
  driver.setAnswering(ip, mac, LAN0, false);
  driver.setAnswering(ip, mac, LAN1, true);
  driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', mac, ip) });
  driver.advance(50);
  observers.stop();
  const last = latencies.filter((one) => one !== undefined).at(-1) ?? Number.NaN;
  assert.ok(last < 10, `${last} ms`);
});
