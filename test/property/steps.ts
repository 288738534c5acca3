import assert from 'node:assert/strict';
import type { Ipv4, Mac } from '../../src/wire/addresses.js';
import type { Command } from '../../src/mobility/commands.js';
import type { IfIndex } from '../../src/mobility/events.js';
import { type Driver, type FrameKind, frameOf, hostRoute, LAN0, LAN1, link } from './driver.js';

/** One thing that may happen to a tracker. */
export type Step =
  | {
      readonly do: 'frame';
      readonly kind: FrameKind;
      readonly iface: IfIndex;
      readonly ip: Ipv4;
      readonly mac: Mac;
    }
  | {
      readonly do: 'live';
      readonly iface: IfIndex;
      readonly ip: Ipv4;
      readonly mac: Mac;
      readonly alive: boolean;
    }
  | { readonly do: 'plug'; readonly iface: IfIndex; readonly ip: Ipv4; readonly mac: Mac }
  | { readonly do: 'remote'; readonly ip: Ipv4; readonly present: boolean }
  | { readonly do: 'link'; readonly iface: IfIndex; readonly up: boolean; readonly carrier: boolean }
  | { readonly do: 'gone'; readonly iface: IfIndex }
  | { readonly do: 'capture'; readonly iface: IfIndex; readonly open: boolean }
  | { readonly do: 'advance'; readonly ms: number }
  | {
      readonly do: 'command';
      readonly name: Command['name'];
      readonly iface: IfIndex;
      readonly ip: Ipv4;
      readonly mac: Mac;
    }
  | { readonly do: 'neighbour'; readonly iface: IfIndex; readonly ip: Ipv4; readonly mac: Mac | undefined }
  | { readonly do: 'refused'; readonly ip: Ipv4 }
  | { readonly do: 'dump'; readonly ips: readonly Ipv4[] };

export function runStep(driver: Driver, step: Step): void {
  switch (step.do) {
    case 'frame':
      driver.handle({ kind: 'frame', iface: step.iface, bytes: frameOf(step.kind, step.mac, step.ip) });
      return;
    case 'live':
      driver.setAnswering(step.ip, step.mac, step.iface, step.alive);
      return;
    case 'plug':
      for (const iface of [LAN0, LAN1]) driver.setAnswering(step.ip, step.mac, iface, iface === step.iface);
      driver.handle({ kind: 'frame', iface: step.iface, bytes: frameOf('gratuitous', step.mac, step.ip) });
      return;
    case 'remote':
      driver.handle({
        kind: 'route',
        change: step.present ? 'add' : 'delete',
        route: hostRoute(step.ip),
        initial: false,
      });
      return;
    case 'link':
      driver.handle({ kind: 'link', link: link(step.iface, { up: step.up, carrier: step.carrier }) });
      return;
    case 'gone':
      driver.handle({ kind: 'capture', iface: step.iface, open: false });
      driver.handle({ kind: 'link-gone', iface: step.iface });
      return;
    case 'capture':
      driver.handle({ kind: 'capture', iface: step.iface, open: step.open });
      return;
    case 'advance':
      driver.advance(step.ms);
      return;
    case 'command': {
      const { name, ip, mac, iface } = step;
      const command: Command =
        name === 'role'
          ? { name, interface: iface === LAN0 ? 'lan0' : 'lan1', state: mac % 2 === 0 ? 'active' : 'standby' }
          : name === 'discover'
            ? { name, prefix: { ip, length: 24 } }
            : name === 'probe' || name === 'clear'
              ? { name, ip }
              : { name, ips: [ip], mac, interface: iface === LAN0 ? 'lan0' : 'lan1' };
      const actions = driver.handle({ kind: 'command', token: 7, command });
      assert.equal(actions.filter((action) => action.kind === 'reply').length, 1, 'one verdict per command');
      return;
    }
    case 'neighbour':
      driver.handle({ kind: 'neighbour', iface: step.iface, ip: step.ip, mac: step.mac });
      return;
    case 'refused':
      driver.handle({ kind: 'refused', ip: step.ip, message: 'RTNETLINK answers: No space left on device' });
      return;
    case 'dump':
      driver.handle({ kind: 'routes-begin' });
      for (const ip of step.ips)
        driver.handle({ kind: 'route', change: 'add', route: hostRoute(ip), initial: true });
      driver.handle({ kind: 'routes-end' });
      return;
  }
}

/** Runs a life and, when it breaks, shows it. */
export function runSteps(driver: Driver, steps: readonly Step[], end: (driver: Driver) => void): void {
  try {
    driver.boot();
    for (const step of steps) runStep(driver, step);
    end(driver);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${driver.trace.slice(-80).join('\n')}`, { cause: error });
  }
}

export function assertCounts({ router }: Driver): void {
  const counts: Record<string, number> = {
    unknown: 0,
    proving: 0,
    home: 0,
    fresh: 0,
    settled: 0,
    beneath: 0,
    away: 0,
    remembered: 0,
  };
  for (const [, { state }] of router.hosts()) counts[state] = (counts[state] ?? 0) + 1;
  assert.deepEqual(router.counts, counts);
}

export function allHostsGone(driver: Driver): void {
  driver.alive.clear();
  driver.advance(60_000);
  // A challenger may just be trying again, which with prove = after holds a claim for a moment.
  for (let i = 0; i < 20 && driver.claims() > 0; i++) driver.advance(100);
  assertCounts(driver);
  assert.equal(driver.claims(), 0, 'every installed route is withdrawn when evidence stops');
  assert.equal(driver.invariants.claimCount, 0);
}
