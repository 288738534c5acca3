import type { Ip, Mac } from '../../wire/addresses.js';

/**
 * What one frame of a neighbour protocol says, in the words that ARP (RFC 826) and Neighbor Discovery (RFC 4861) have
 * in common. The family's driver makes it from bytes; the core acts on it and never sees the bytes.
 */
export type NeighbourMessage = SightingMessage | AcdProbeMessage | PresenceMessage | RouterMessage;

/** `mac` has `ip`, or says so. */
export type SightingMessage = RequestMessage | ReplyMessage | AnnouncementMessage;

/** A driver makes all messages with the same fields in the same order: one is made for every frame. */
interface Sender {
  /** Source address of the frame. */
  readonly source: Mac;
  /** Destination address of the frame. */
  readonly destination: Mac;
  /** The sender's link-layer address as the message states it, or `source` when it states none. */
  readonly mac: Mac;
}

/** Asks where `target` is (ARP request, neighbour solicitation). */
export interface RequestMessage extends Sender {
  readonly kind: 'sighting';
  readonly form: 'request';
  readonly ip: Ip;
  readonly target: Ip;
  readonly answeredTo: undefined;
}

/**
 * In whose name the question was asked that a frame answers. `anybody`: it has the form of an answer and does not say,
 * so it answers whatever was asked of its sender.
 */
export type AnsweredTo = Ip | 'anybody';

/** Answers a question (ARP reply, solicited neighbour advertisement). */
export interface ReplyMessage extends Sender {
  readonly kind: 'sighting';
  readonly form: 'reply';
  readonly ip: Ip;
  readonly target: undefined;
  readonly answeredTo: AnsweredTo;
  /**
   * Whether it is to replace what the asker believes. Who answers for another one leaves that to the owner (RFC 4861
   * section 7.2.8). undefined: the protocol does not say.
   */
  readonly isOverride?: boolean;
  /** Whether it says that `ip` is a router's (RFC 4861 section 4.4). undefined: the protocol does not say. */
  readonly isRouter?: boolean;
}

/** Names the sender alone, to all (gratuitous ARP, unsolicited neighbour advertisement). */
export interface AnnouncementMessage extends Sender {
  readonly kind: 'sighting';
  readonly form: 'announcement';
  readonly ip: Ip;
  readonly target: undefined;
  /** An announcement by way of reply is an answer, if its sender was asked. */
  readonly answeredTo: 'anybody' | undefined;
}

/** `mac` would like to have `target` and asks whether somebody has it (RFC 5227 section 2.1.1, RFC 4862 section 5.4). */
export interface AcdProbeMessage extends Sender {
  readonly kind: 'acd-probe';
  readonly form: undefined;
  /** The unspecified address of the family. */
  readonly ip: Ip;
  readonly target: Ip;
  readonly answeredTo: undefined;
}

/**
 * `mac` is here; the frame names none of its addresses that could be a host's: RARP (RFC 903), an MLD report (RFC 3810),
 * a router solicitation (RFC 4861 section 4.1), or a solicitation that comes from a link-local address.
 */
export interface PresenceMessage extends Sender {
  readonly kind: 'presence';
  readonly form: 'rarp' | 'mld-report' | 'router-solicitation' | 'link-local-solicitation';
  /** The link-local address that it comes from, if it has one. An answer goes there. */
  readonly ip: Ip | undefined;
  /** What a `link-local-solicitation` asks for. */
  readonly target: Ip | undefined;
  readonly answeredTo: undefined;
  /** Of an `mld-report`: the low 24 bits of the sender's addresses, by its solicited-node groups (RFC 4291 section 2.7.1). */
  readonly groups?: readonly number[];
}

/** `mac` is a router and says so (router advertisement, RFC 4861 section 4.2). */
export interface RouterMessage extends Sender {
  readonly kind: 'router';
  readonly form: undefined;
  /** Its link-local address. */
  readonly ip: Ip;
  readonly target: undefined;
  readonly answeredTo: undefined;
}

/** Who sends a packet to whom: the addresses of the packet, and those of its frame. */
export interface PacketAddresses {
  readonly source: Mac;
  readonly destination: Mac;
  readonly sourceIp: Ip;
  readonly destinationIp: Ip;
}
