import { type Family, type Ip, type Mac, isIpv4 } from '../../wire/addresses.js';
import { etherTypeOf } from '../../wire/ethernet.js';
import type { DropReason } from '../events.js';
import type { NeighbourMessage, PacketAddresses } from './message.js';

/**
 * The neighbour protocol of one address family: bytes to messages, and what is to be sent to bytes. It has no state
 * and decides nothing.
 *
 * All addresses are of the driver's family. A link-layer address MAC_BROADCAST stands for "not known": the driver
 * sends to the group that every owner of the address listens to. `own` is the MAC of the sending interface. Each
 * function yields one whole frame.
 */
export interface FamilyDriver {
  readonly family: Family;
  /** EtherTypes of the frames that decode() reads. */
  readonly messageEtherTypes: readonly number[];
  /** EtherType of the packets that decodePacket() reads. */
  readonly packetEtherType: number;
  /** An address that no host may own, reserved for documentation: who answers for it answers for everybody. */
  readonly controlAddress: Ip;

  /** What a captured frame says, or why it says nothing. Never throws, whatever the bytes. */
  decode(bytes: Uint8Array): NeighbourMessage | DropReason;
  /** Addresses of a captured packet, or undefined when it is none. Never throws, whatever the bytes. */
  decodePacket(bytes: Uint8Array): PacketAddresses | undefined;

  /** Asks, in the name of `source`, whether `target` is at `mac`. The answer is addressed to `source`. */
  probe(own: Mac, mac: Mac, source: Ip, target: Ip): Uint8Array;
  /**
   * Asks once more, so that the answer of whoever has `target` differs from that of a router which answers for it. Absent:
   * a probe from the unspecified address is such a question.
   */
  verify?(own: Mac, mac: Mac, source: Ip, target: Ip): Uint8Array;
  /** Answers the question of `asker`, which is at `mac`: `ip` is at `own`. */
  answer(own: Mac, ip: Ip, mac: Mac, asker: Ip, manner: AnswerManner): Uint8Array;
  /** Says to all of the LAN: `ip` is at `own`. `linkLocal`: of the sending interface, where the family has one. */
  announce(own: Mac, ip: Ip, linkLocal: Ip | undefined): Uint8Array;
  /**
   * Asks a MAC of which no address is known to name its addresses; the answer is a presence message with `groups`.
   * Absent: the protocol knows no such question. Nobody but `mac` hears it.
   */
  inquire?(own: Mac, mac: Mac, linkLocal: Ip): Uint8Array;
  /** Makes `host`, which is at `mac`, believe that `neighbour` is at `neighbourMac`, and nobody else. */
  repair(own: Mac, mac: Mac, host: Ip, neighbour: Ip, neighbourMac: Mac): Uint8Array;
}

/** How a question is answered. ARP (RFC 826) has none of it; these are the flags of RFC 4861 section 4.4. */
export interface AnswerManner {
  /** Link-local address of the sending interface, where the family has one and `ip` is not ours to send from. */
  readonly linkLocal: Ip | undefined;
  /** R: `ip` is a gateway. An answer without it makes the asker forget its default route by that gateway. */
  readonly isRouter: boolean;
  /** O: the asker is to replace what it believes. Who answers for another one does not override its own word. */
  readonly isOverride: boolean;
}

/** Finds the driver: of a frame by its EtherType, for an address by its family. */
export class FamilyDrivers {
  readonly #byMessage = new Map<number, FamilyDriver>();
  readonly #byPacket = new Map<number, FamilyDriver>();
  readonly #ipv4: FamilyDriver | undefined;
  readonly #ipv6: FamilyDriver | undefined;

  constructor(drivers: readonly FamilyDriver[]) {
    this.#ipv4 = drivers.find(({ family }) => family === 'ipv4');
    this.#ipv6 = drivers.find(({ family }) => family === 'ipv6');
    for (const driver of drivers) {
      for (const etherType of driver.messageEtherTypes) this.#byMessage.set(etherType, driver);
      this.#byPacket.set(driver.packetEtherType, driver);
    }
  }

  /** undefined: hosts of this family cannot be asked. */
  of(ip: Ip): FamilyDriver | undefined {
    return isIpv4(ip) ? this.#ipv4 : this.#ipv6;
  }

  decode(bytes: Uint8Array): NeighbourMessage | DropReason {
    const etherType = etherTypeOf(bytes);
    if (etherType === undefined) return 'truncated';
    return this.#byMessage.get(etherType)?.decode(bytes) ?? 'not-arp';
  }

  decodePacket(bytes: Uint8Array): PacketAddresses | undefined {
    const etherType = etherTypeOf(bytes);
    return etherType === undefined ? undefined : this.#byPacket.get(etherType)?.decodePacket(bytes);
  }
}
