import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config/config.js';
import type { Action, Event, Link } from '../../src/mobility/events.js';
import { ndDriver } from '../../src/mobility/nd/driver.js';
import { HostTracker } from '../../src/mobility/tracker.js';
import { parseLink } from '../../src/replay/foreign/assumptions.js';
import {
  type Ipv6,
  type Mac,
  groupMac,
  parseIp,
  parseMac,
  solicitedNodeGroup,
} from '../../src/wire/addresses.js';
import { ALL_MLDV2_ROUTERS, encodeMldReport } from '../../src/wire/mld.js';
import { mulberry32 } from '../random.js';
import { record, replay } from './recorded.js';

/** A recording of a router of both families gives the same decisions again, whatever its hosts did. */

const LINKS = [
  parseLink(1, 'lan0,02:aa:00:00:00:00,10.1.1.1/24,2001:db8:1::1/64,fe80::1/64'),
  parseLink(2, 'lan1,02:aa:00:00:00:01,10.2.2.1/24,2001:db8:2::1/64,fe80::1/64'),
] as const;
const CONFIG = `
[router]
families = ["ipv4", "ipv6"]
[[interface]]
name = "lan*"
[[subnet]]
prefix = "2001:db8:1::/64"
gateway = ["fe80::1", "2001:db8:1::1"]
`;

interface Guest {
  readonly mac: Mac;
  readonly ip: Ipv6;
  iface: number;
  answers: boolean;
}

/** Hosts that announce, ask, report groups, move, fall silent; they answer what they are asked. */
class Lan {
  now = 0;
  claims = 0;
  readonly #due: { readonly at: number; readonly event: Event }[] = [];

  constructor(
    readonly tracker: HostTracker,
    readonly guests: readonly Guest[],
  ) {}

  run(until: number): void {
    for (;;) {
      const deadline = this.tracker.nextDeadline() ?? Number.POSITIVE_INFINITY;
      const first = this.#due[0]?.at ?? Number.POSITIVE_INFINITY;
      const at = Math.min(deadline, first);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      this.#act(first <= deadline ? (this.#due.shift()?.event as Event) : { kind: 'tick' });
    }
    this.now = until;
  }

  frame(iface: number, bytes: Uint8Array, afterMs = 0): void {
    this.#due.push({ at: this.now + afterMs, event: { kind: 'frame', iface, bytes, queuedMs: 0 } });
    this.#due.sort((a, b) => a.at - b.at);
  }

  #act(event: Event): void {
    for (const action of this.tracker.handle(event, this.now)) this.#carryOut(action);
  }

  #carryOut(action: Action): void {
    if (action.kind === 'claim') {
      this.claims++;
      const { ip, age } = action;
      this.#due.push({ at: this.now + 1, event: { kind: 'installed', ip, age } });
      this.#due.sort((a, b) => a.at - b.at);
    }
    if (action.kind !== 'send') return;
    const question = ndDriver.decode(action.bytes);
    if (typeof question === 'string' || question.target === undefined || question.ip === undefined) return;
    const guest = this.guests.find(({ ip }) => ip === question.target);
    if (guest === undefined || !guest.answers || guest.iface !== action.iface) return;
    const manner = { linkLocal: undefined, isRouter: false, isOverride: false };
    const answer = ndDriver.answer(guest.mac, guest.ip, question.source, question.ip, manner);
    this.frame(action.iface, answer, 0.2);
  }
}

function report({ mac }: Guest, groups: readonly Ipv6[]): Uint8Array {
  return encodeMldReport({
    source: mac,
    destination: groupMac(ALL_MLDV2_ROUTERS),
    sourceIp: parseIp('fe80::5') as Ipv6,
    destinationIp: ALL_MLDV2_ROUTERS,
    groups: groups.map(solicitedNodeGroup),
  });
}

function started(): HostTracker {
  const tracker = new HostTracker(parseConfig(CONFIG).policy);
  return tracker;
}

function openLinks(tracker: HostTracker): void {
  for (const link of LINKS) tracker.handle({ kind: 'link', link: link as Link }, 0);
  tracker.handle({ kind: 'routes-begin' }, 0);
  tracker.handle({ kind: 'routes-end' }, 0);
  for (const iface of [1, 2]) tracker.handle({ kind: 'capture', iface, open: true }, 0);
}

/** Random life until `until`, with a step each 40 ms. */
function live(lan: Lan, until: number, random: () => number): void {
  while (lan.now < until) {
    const guest = lan.guests[Math.floor(random() * lan.guests.length)] as Guest;
    const step = Math.floor(random() * 6);
    if (step === 0) guest.iface = 3 - guest.iface;
    if (step === 1) guest.answers = random() < 0.8;
    if (step === 2) lan.frame(guest.iface, report(guest, [guest.ip]));
    if (step === 3)
      lan.frame(
        guest.iface,
        ndDriver.probe(
          guest.mac,
          groupMac(solicitedNodeGroup(guest.ip)),
          guest.ip,
          parseIp('fe80::1') as Ipv6,
        ),
      );
    if (step < 2 || step > 3) lan.frame(guest.iface, ndDriver.announce(guest.mac, guest.ip, undefined));
    lan.run(lan.now + 40);
  }
}

describe('a recording of a router of both families', () => {
  for (const seed of [1, 2, 3]) {
    const guests = () =>
      [5, 6, 7, 8].map((n): Guest => {
        const mac = parseMac(`02:00:00:00:0a:0${n}`) as Mac;
        // Bytes that are no text: of UTF-8, of JSON, of a journal entry.
        return {
          mac,
          ip: parseIp(`2001:db8:1::ff80:22${n}a:${n}`) as Ipv6,
          iface: 1 + (n % 2),
          answers: true,
        };
      });

    it(`leads to the same decisions from its beginning (seed ${seed})`, () => {
      const tracker = started();
      const file = record(tracker, parseConfig(CONFIG).policy);
      openLinks(tracker);
      const lan = new Lan(tracker, guests());
      live(lan, 20_000, mulberry32(seed));
      const { differences, inputs } = replay(file());
      assert.deepEqual(differences, []);
      assert.ok(inputs > 500, `${inputs} inputs`);
      assert.ok(lan.claims > 10, `${lan.claims} claims`);
    });

    it(`leads to the same decisions from the middle (seed ${seed})`, () => {
      const tracker = started();
      openLinks(tracker);
      const lan = new Lan(tracker, guests());
      const random = mulberry32(seed);
      live(lan, 10_000, random);
      const before = lan.claims;
      const file = record(tracker, parseConfig(CONFIG).policy, false, lan.now);
      live(lan, 20_000, random);
      assert.deepEqual(replay(file()).differences, []);
      assert.ok(lan.claims > before, 'claims meanwhile');
    });
  }
});
