import assert from 'node:assert/strict';
import type { Command } from '../../../../src/mobility/commands.js';
import type { Ipv4 } from '../../../../src/wire/addresses.js';
import {
  Driver,
  type FrameKind,
  GATEWAY,
  IPS,
  LAN0,
  LAN1,
  MACS,
  OUR_MAC,
  WAN,
  testPolicy,
} from '../../../property/driver.js';
import { type Step, assertCounts, runStep } from '../../../property/steps.js';
import { Choices, type Target } from '../../engine/target.js';

/**
 * A life of the whole tracker, frames of any bytes included: each byte chooses what happens next, to whom and where.
 * What must hold at every step is in test/scenario/invariants.ts.
 */

const KINDS: readonly FrameKind[] = ['gratuitous', 'gratuitous-reply', 'request', 'reply', 'probe', 'rarp'];
const COMMANDS: readonly Command['name'][] = ['probe', 'clear', 'prepare', 'attach', 'detach'];
const WAITS_MS = [0, 0.5, 1, 19, 25, 60, 200, 500, 1000, 1100, 2500, 6000, 15_000, 200_000];
const ALL_IPS: readonly Ipv4[] = [...IPS, GATEWAY, 0 as Ipv4];
const ALL_MACS = [...MACS, ...Object.values(OUR_MAC)];
const MOBILITY = [LAN0, LAN1];
const STEPS = 60;

function nextStep(from: Choices, driver: Driver): Step | undefined {
  const iface = from.pick(MOBILITY);
  const ip = from.pick(IPS);
  const mac = from.pick(MACS);
  switch (from.byte() % 15) {
    case 0:
    case 1:
      return { do: 'frame', kind: from.pick(KINDS), iface, ip: from.pick(ALL_IPS), mac: from.pick(ALL_MACS) };
    case 2:
      return { do: 'plug', iface, ip, mac };
    case 3:
      return { do: 'live', iface, ip, mac, alive: from.byte() % 2 === 1 };
    case 4:
      return { do: 'remote', ip, present: from.byte() % 2 === 1 };
    case 5:
      return { do: 'link', iface, up: from.byte() % 4 !== 0, carrier: from.byte() % 4 !== 0 };
    case 6:
      return { do: 'gone', iface };
    case 7:
      return { do: 'capture', iface, open: from.byte() % 2 === 1 };
    case 8:
    case 9:
      return { do: 'advance', ms: from.pick(WAITS_MS) };
    case 10:
      return { do: 'command', name: from.pick(COMMANDS), iface, ip, mac };
    case 11:
      return { do: 'neighbour', iface, ip, mac: from.byte() % 2 === 1 ? mac : undefined };
    case 12:
      driver.handle({
        kind: 'frame',
        iface: from.pick([LAN0, LAN1, WAN, 99]),
        bytes: from.take(from.byte() % 80),
      });
      return undefined;
    case 13:
      driver.handle({ kind: 'missed', iface: from.pick([LAN0, LAN1, undefined]) });
      return undefined;
    default:
      driver.handle({ kind: 'misdirected-packet', iface, bytes: from.take(from.byte() % 80) });
      return undefined;
  }
}

export const target: Target = {
  covers: ['src/mobility/'],
  maxBytes: 600,
  slowMs: 1000,
  seeds: () => [
    // Plugged in, proven, moved, gone: the bytes are those that nextStep() takes.
    Uint8Array.of(0, 0, 4, 0, 2, 0, 0, 0, 8, 10, 1, 4, 0, 2, 0, 0, 0, 8, 13),
    Uint8Array.of(
      0,
      0,
      4,
      0,
      2,
      0,
      0,
      0,
      8,
      10,
      0,
      4,
      0,
      4,
      1,
      0,
      0,
      0,
      8,
      11,
      0,
      4,
      0,
      4,
      0,
      0,
      0,
      0,
      8,
      13,
    ),
    Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0, 8, 8, 0, 0, 1, 0, 2, 0, 0, 4, 4, 0, 0, 0, 8, 8),
  ],
  run(input) {
    const from = new Choices(input);
    const rule = from.byte();
    const driver = new Driver(
      testPolicy({
        prove: (['before', 'before', 'after', 'never'] as const)[rule & 3] ?? 'before',
        learn: (rule & 4) === 0 ? 'foreign' : 'all',
      }),
    );
    driver.boot();
    for (let steps = 0; from.left > 0 && steps < STEPS; steps++) {
      const step = nextStep(from, driver);
      if (step !== undefined) runStep(driver, step);
    }
    driver.advance(20_000);
    assertCounts(driver);
    let hosts = 0;
    for (const _ of driver.router.hosts()) hosts++;
    assert.ok(hosts <= 200, `${hosts} hosts from ${input.length} bytes`);
  },
};
