import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Ipv4, Mac } from '../../src/wire/addresses.js';
import { untilClaimed } from '../scenario/scenario.js';
import { SimWorld } from '../scenario/sim/sim-world.js';
import { FIXTURES } from '../scenario/world.js';
import { type Attack, Siege } from './attack.js';
import { Driver, frameOf, hostRoute, IPS, LAN0, MACS, testPolicy } from './driver.js';

/** A router that took an address from another one stays its challenger, whatever its host does (design.md 3.3). */

const MINUTE_MS = 60_000;
const on = { lan: 'c', announce: 'gratuitous-request', answers: true, replaces: true } as const;

for (const [what, answerMs, attacks] of [
  [
    'plays dead before its claim has aged',
    100,
    [{ ...on, mac: 'clone', announce: 'probe', delayMs: 300, restMs: 1362 }],
  ],
  [
    'is silent when it is asked, and answers a moment later',
    300,
    [
      { ...on, mac: 'clone', delayMs: 1, restMs: 181 },
      { ...on, mac: 'clone', announce: 'gratuitous-reply', delayMs: 950, restMs: 60 },
    ],
  ],
] as const)
  it(`a challenger behind another router gains no more when it ${what}`, async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const siege = new Siege('v', answerMs, seed);
      await siege.settle();
      siege.watch('a', MINUTE_MS);
      const end = siege.world.now() + MINUTE_MS;
      for (let i = 0; siege.world.now() < end; i++) {
        const one = attacks[i % attacks.length] as unknown as Attack;
        await siege.attack(one);
        await siege.advance(one.restMs);
      }
      const { longestMs, worstMinuteMs } = siege.result;
      const text = `${longestMs} ms at a time, ${worstMinuteMs} ms in a minute\n${siege.world.report()}`;
      assert.ok(longestMs <= 1000 && worstMinuteMs <= 2000, text);
    }
  });

it('a challenger that speaks after each question, and answers none, is not fresh for ever', () => {
  const driver = new Driver(testPolicy());
  driver.boot();
  const [ip, mac] = [IPS[4] as Ipv4, MACS[0] as Mac];
  driver.handle({ kind: 'route', change: 'add', route: hostRoute(ip), initial: false });
  driver.setAnswering(ip, mac, LAN0, true);
  driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
  driver.advance(10);
  driver.setAnswering(ip, mac, LAN0, false);
  let freshMs = 0;
  for (; driver.router.host(ip)?.state === 'fresh' && freshMs < 10_000; freshMs += 270) {
    driver.advance(270);
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
  }
  assert.ok(freshMs <= 2300, `fresh for ${freshMs} ms\n${driver.trace.slice(-20).join('\n')}`);
});

it('a mover whose only frame comes just after a forged one was asked about in vain is learned', async () => {
  for (const afterMs of [20, 100, 160, 300, 450]) {
    const world = new SimWorld('one', { seed: 1 });
    world.host('v').answerDelayMs = [20, 20];
    await world.plug('v', 'b');
    await world.advance(4000);
    await world.unplug('v');
    await world.forge('a', {
      of: 'v',
      announce: 'gratuitous-request',
      answers: false,
      mac: FIXTURES.v.mac,
    });
    await world.advance(afterMs);
    await world.plug('v', 'a', { announce: 'arp-gateway' });
    await untilClaimed(world, 'r1', 'v', 'a', 'fresh', 2000);
  }
});
