import type { Ip, Mac } from '../../../../src/wire/addresses.js';
import type { Clock } from '../clock.js';
import type { Announce } from '../../world.js';
import type { Neighbours } from './neighbours.js';

/** The machine that a stack runs on: one interface, with one cable. */
export interface Machine {
  readonly mac: Mac;
  readonly clock: Clock;
  readonly neighbours: Neighbours;
  /** False for a forger that only shouts. */
  readonly answers: boolean;
  /** It heeds no question from a sender that is not on its own subnet, where its stack has such a rule. */
  readonly ignoresOffLink: boolean;
  /** Time between a question and the answer. */
  readonly answerDelayMs: readonly [number, number];

  transmit(bytes: Uint8Array): void;
  /** Only while it is still plugged in where it was. */
  later(delayMs: number, run: () => void): void;
}

/** What a host does for one address family. */
export interface Stack {
  readonly addresses: readonly Ip[];
  readonly gateway: Ip;
  /** How often somebody else used an address of this host, or was about to. */
  readonly conflicts: number;

  plugged(carrierDrop: boolean): void;
  announce(how: Announce): void;
  receive(bytes: Uint8Array): void;
  /** Asks for a neighbour, at `mac` when it is only to be confirmed. */
  ask(ip: Ip, mac: Mac | undefined): void;
  /** Whether it is in an IPv6 group with this MAC. */
  isIn(group: Mac): boolean;
  /** Whether it may use this address now. */
  has(ip: Ip): boolean;
  /** The MAC to send a packet to, now; undefined: not known, or no way there. */
  nextHop(from: Ip, to: Ip): Mac | undefined;
}
