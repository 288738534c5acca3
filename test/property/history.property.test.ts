import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type HistoryEvent, describe as inWords } from '../../src/observe/descriptions.js';
import { HostHistory } from '../../src/observe/history.js';
import {
  CAUSES,
  DROP_REASONS,
  EVIDENCE_KINDS,
  HOST_STATES,
  type HostState,
} from '../../src/mobility/events.js';
import { type Ip, type Mac, parseIp } from '../../src/wire/addresses.js';
import { effort } from './effort.js';

/**
 * The journal keeps its records in columns and gives the actions back only when asked. Here it is compared with one
 * that keeps the actions themselves: nothing of them may be lost or mixed up, whatever was freed and used again.
 */

const PER_ADDRESS = 4;
const NAMES = ['lan0', 'lan1', 'tap-of-a-guest'];
const ips = fc.constantFrom(
  ...['10.1.1.5', '10.1.1.6', '203.0.113.9', '2001:db8::5'].map((ip) => parseIp(ip) as Ip),
);
const macs = fc.constantFrom(...[1, 0x0200_0a01_0105, 0xfeff_ffff_ffff].map((mac) => mac as Mac));
const ifaces = fc.integer({ min: 1, max: 3 });
const names = fc.constantFrom(...NAMES);
const at = fc.double({ min: 0, max: 1e6, noNaN: true });
const times = fc.option(at, { nil: undefined });

type Made = (ip: Ip) => HistoryEvent;
const made: fc.Arbitrary<Made> = fc.oneof(
  fc
    .record({ from: states(), to: states(), cause: fc.constantFrom(...CAUSES), iface: option(ifaces) })
    .chain((fixed) =>
      fc
        .record({ interface: option(names), mac: option(macs), deadline: times, heardAt: at, at })
        .map((rest) => (ip: Ip) => ({ kind: 'transition' as const, ip, ...fixed, ...rest })),
    ),
  fc
    .record({
      evidence: fc.constantFrom(...EVIDENCE_KINDS),
      mac: macs,
      iface: ifaces,
      interface: names,
      rttMs: times,
      at,
    })
    .map((rest) => (ip: Ip) => ({ kind: 'evidence' as const, ip, ...rest })),
  fc
    .record({ reason: fc.constantFrom(...DROP_REASONS), mac: option(macs), iface: ifaces, at })
    .map((rest) => (ip: Ip) => ({ kind: 'drop' as const, ip, ...rest })),
  fc
    .record({ target: ips, interface: names, at })
    .map((rest) => (asker: Ip) => ({ kind: 'answered' as const, asker, ...rest })),
  fc
    .record({ mac: option(macs), interface: option(names), otherMac: option(macs), message: fc.string(), at })
    .map((rest) => (ip: Ip) => ({
      kind: 'alarm' as const,
      alarm: 'duplicate' as const,
      ip,
      otherInterface: undefined,
      ...rest,
    })),
);

function states(): fc.Arbitrary<HostState> {
  return fc.constantFrom(...HOST_STATES);
}

function option<T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(values, { nil: undefined });
}

/** What `why` must say of an address: the last records of it, repetitions counted. */
class Plain {
  readonly #lists = new Map<Ip, { last: HistoryEvent; times: number }[]>();

  record(ip: Ip, action: HistoryEvent): void {
    const list = this.#lists.get(ip) ?? [];
    this.#lists.set(ip, list);
    const newest = list.at(-1);
    if (newest !== undefined && key(newest.last) !== undefined && key(newest.last) === key(action)) {
      newest.last = action;
      newest.times++;
      return;
    }
    list.push({ last: action, times: 1 });
    if (list.length > PER_ADDRESS) list.shift();
  }

  why(ip: Ip, now: number) {
    return (this.#lists.get(ip) ?? []).map(({ last, times }) => ({
      agoMs: now - last.at,
      kind: last.kind,
      times,
      text: inWords(last, last.kind === 'drop' ? (NAMES[last.iface - 1] as string) : ''),
    }));
  }
}

/** Two records with the same one are counted as one. */
function key(action: HistoryEvent): string | undefined {
  switch (action.kind) {
    case 'evidence':
      return `evidence ${action.evidence} ${action.iface} ${action.mac}`;
    case 'drop':
      return `drop ${action.reason} ${action.iface} ${action.mac}`;
    case 'answered':
      return `answered ${action.target} ${action.interface}`;
    default:
      return undefined;
  }
}

describe('the journal in columns', () => {
  it('gives back what it was told', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(ips, made), { maxLength: 60 }), (history) => {
        const journal = new HostHistory({
          nameOf: (iface) => NAMES[iface - 1],
          recordsPerAddress: PER_ADDRESS,
        });
        const plain = new Plain();
        for (const [ip, make] of history) {
          const action = make(ip);
          journal.record(action);
          plain.record(ip, action);
        }
        for (const [ip] of history) assert.deepEqual(journal.why(ip, 2e6).records, plain.why(ip, 2e6));
      }),
      effort(300),
    );
  });

  it('is bounded, and what is left of it is whole', () => {
    const total = 20;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), made), { maxLength: 200 }),
        (history) => {
          const journal = new HostHistory({
            nameOf: (iface) => NAMES[iface - 1],
            recordsPerAddress: PER_ADDRESS,
            hostRecords: total,
            unprovenRecords: total,
          });
          const plain = new Plain();
          let kept = 0;
          for (const [host, make] of history) {
            const ip = (0x0a00_0000 + host) as Ip;
            const action = make(ip);
            journal.record(action);
            plain.record(ip, action);
          }
          for (let host = 0; host <= 30; host++) {
            const ip = (0x0a00_0000 + host) as Ip;
            const { records } = journal.why(ip, 2e6);
            kept += records.length;
            // Forgotten whole at some time, it may have begun anew: then it has the end of the scenario, the first record
            // of which may have lost repetitions.
            const all = plain.why(ip, 2e6);
            assert.deepEqual(records.slice(1), all.slice(all.length - records.length + 1));
          }
          assert.ok(kept <= 2 * total, `${kept} records`);
        },
      ),
      effort(300),
    );
  });
});
