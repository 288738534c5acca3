import type { HistoryEvent } from './descriptions.js';
import {
  CAUSES,
  type Cause,
  DROP_REASONS,
  type DropReason,
  EVIDENCE_KINDS,
  type EvidenceKind,
  HOST_STATES,
  type HostState,
} from '../mobility/events.js';
import type { Ip, Mac } from '../wire/addresses.js';
import { enumIndex } from './enum-index.js';

/** Position of a record; -1 for none. */
export type RecordIndex = number;
export const NO_RECORD: RecordIndex = -1;

/** The same thing, so many times in a row; `last` is the last of them. */
export interface HistoryEntry {
  readonly last: HistoryEvent;
  readonly times: number;
}

const TRANSITION = 0;
const EVIDENCE = 1;
const DROP = 2;
/** Kept as it is: an alarm, or an answer of ours. */
const OTHER = 3;

const stateCode = enumIndex(HOST_STATES);
const causeCode = enumIndex(CAUSES);
const reasonCode = enumIndex(DROP_REASONS);
const evidenceCode = enumIndex(EVIDENCE_KINDS);

const FIRST_CAPACITY = 1024;
const NO_MAC = -1;
const NO_IFACE = -1;

/**
 * Records of the history in columns. As objects they would be a third of the daemon's heap with 100,000 hosts, and what
 * a scavenge has to copy for each newcomer; here one takes 42 bytes that no garbage collector looks at.
 *
 * Each slot is in one list, of the records of an address or of the free ones, in the column `next`.
 */
export class HistoryRecords {
  #at = new Float64Array(FIRST_CAPACITY);
  #mac = new Float64Array(FIRST_CAPACITY);
  /** evidence: round-trip time, transition: deadline, ms; NaN for undefined. */
  #value = new Float64Array(FIRST_CAPACITY);
  #iface = new Int32Array(FIRST_CAPACITY);
  /** Kind of the record and its words from the closed lists, 6 bits each. */
  #words = new Uint32Array(FIRST_CAPACITY);
  #times = new Uint32Array(FIRST_CAPACITY);
  #next = new Int32Array(FIRST_CAPACITY);
  /** The name of the interface, or the action itself when it is one of the rare kinds. */
  readonly #things: (string | HistoryEvent | undefined)[] = [];
  #free: RecordIndex = NO_RECORD;

  /** A record of its own for the action, followed by none. */
  add(action: HistoryEvent): RecordIndex {
    const slot = this.#take();
    this.#next[slot] = NO_RECORD;
    this.#times[slot] = 1;
    this.#write(slot, action);
    return slot;
  }

  /** When the action says no more than the record does, counts it there. A transition always says something new. */
  repeat(slot: RecordIndex, action: HistoryEvent): boolean {
    if (!this.#says(slot, action)) return false;
    this.#times[slot] = (this.#times[slot] as number) + 1;
    this.#write(slot, action);
    return true;
  }

  /** The record after this one in its list. */
  next(slot: RecordIndex): RecordIndex {
    return this.#next[slot] as number;
  }

  /** Makes `after` the record after `slot`. */
  link(slot: RecordIndex, after: RecordIndex): void {
    this.#next[slot] = after;
  }

  /** The record is no longer needed. */
  release(slot: RecordIndex): void {
    this.#things[slot] = undefined;
    this.#next[slot] = this.#free;
    this.#free = slot;
  }

  /** What was recorded of this address. */
  read(slot: RecordIndex, ip: Ip): HistoryEntry {
    return { last: this.#readAction(slot, ip), times: this.#times[slot] as number };
  }

  #readAction(slot: RecordIndex, ip: Ip): HistoryEvent {
    const thing = this.#things[slot];
    if (typeof thing === 'object') return thing;
    const at = this.#at[slot] as number;
    const value = this.#value[slot] as number;
    const iface = this.#iface[slot] as number;
    const knownMac = this.#mac[slot] as number;
    const mac = knownMac === NO_MAC ? undefined : (knownMac as Mac);
    const words = this.#words[slot] as number;
    const first = (words >>> 2) & 63;
    switch (words & 3) {
      case EVIDENCE:
        return {
          kind: 'evidence',
          evidence: EVIDENCE_KINDS[first] as EvidenceKind,
          ip,
          mac: knownMac as Mac,
          iface,
          interface: thing ?? '',
          rttMs: Number.isNaN(value) ? undefined : value,
          at,
        };
      case DROP:
        return { kind: 'drop', reason: DROP_REASONS[first] as DropReason, ip, mac, iface, at };
      default:
        return {
          kind: 'transition',
          ip,
          from: HOST_STATES[first] as HostState,
          to: HOST_STATES[(words >>> 8) & 63] as HostState,
          cause: CAUSES[(words >>> 14) & 63] as Cause,
          iface: iface === NO_IFACE ? undefined : iface,
          interface: thing,
          mac,
          deadline: Number.isNaN(value) ? undefined : value,
          at,
        };
    }
  }

  #write(slot: RecordIndex, action: HistoryEvent): void {
    this.#at[slot] = action.at;
    this.#words[slot] = wordsOf(action);
    switch (action.kind) {
      case 'transition':
        return this.#fill(slot, action.interface, action.iface, action.mac, action.deadline);
      case 'evidence':
        return this.#fill(slot, action.interface, action.iface, action.mac, action.rttMs);
      case 'drop':
        return this.#fill(slot, undefined, action.iface, action.mac, undefined);
      default:
        this.#things[slot] = action;
    }
  }

  #fill(
    slot: RecordIndex,
    name: string | undefined,
    iface: number | undefined,
    mac: Mac | undefined,
    value: number | undefined,
  ): void {
    this.#things[slot] = name;
    this.#iface[slot] = iface ?? NO_IFACE;
    this.#mac[slot] = mac ?? NO_MAC;
    this.#value[slot] = value ?? Number.NaN;
  }

  #says(slot: RecordIndex, action: HistoryEvent): boolean {
    switch (action.kind) {
      case 'evidence':
      case 'drop':
        return (
          this.#words[slot] === wordsOf(action) &&
          this.#iface[slot] === action.iface &&
          this.#mac[slot] === (action.mac ?? NO_MAC)
        );
      case 'answered': {
        const thing = this.#things[slot];
        return (
          typeof thing === 'object' &&
          thing.kind === 'answered' &&
          thing.target === action.target &&
          thing.interface === action.interface
        );
      }
      default:
        return false;
    }
  }

  #take(): RecordIndex {
    if (this.#free !== NO_RECORD) {
      const slot = this.#free;
      this.#free = this.#next[slot] as number;
      return slot;
    }
    const slot = this.#things.length;
    if (slot === this.#at.length) this.#grow();
    this.#things.push(undefined);
    return slot;
  }

  #grow(): void {
    const capacity = 2 * this.#at.length;
    this.#at = enlarged(this.#at, new Float64Array(capacity));
    this.#mac = enlarged(this.#mac, new Float64Array(capacity));
    this.#value = enlarged(this.#value, new Float64Array(capacity));
    this.#iface = enlarged(this.#iface, new Int32Array(capacity));
    this.#words = enlarged(this.#words, new Uint32Array(capacity));
    this.#times = enlarged(this.#times, new Uint32Array(capacity));
    this.#next = enlarged(this.#next, new Int32Array(capacity));
  }
}

function wordsOf(action: HistoryEvent): number {
  switch (action.kind) {
    case 'transition': {
      const from = stateCode.get(action.from) as number;
      const to = stateCode.get(action.to) as number;
      return TRANSITION | (from << 2) | (to << 8) | ((causeCode.get(action.cause) as number) << 14);
    }
    case 'evidence':
      return EVIDENCE | ((evidenceCode.get(action.evidence) as number) << 2);
    case 'drop':
      return DROP | ((reasonCode.get(action.reason) as number) << 2);
    default:
      return OTHER;
  }
}

function enlarged<A extends Float64Array | Int32Array | Uint32Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
