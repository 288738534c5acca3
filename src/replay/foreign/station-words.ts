import { type Ip, type Mac, type Prefix, isGroupMac, isUnspecified } from '../../wire/addresses.js';
import { ARP_REQUEST, decodeArp } from '../../wire/arp.js';
import { ICMPV6 } from '../../wire/icmpv6.js';
import { decodeNd } from '../../wire/nd.js';
import { onLinkPrefixes } from '../../wire/router-advertisement.js';

/** What a frame says of the station that sent it, in the words that both families have in common. */
export interface StationWords {
  readonly mac: Mac;
  /** `other` says no more than the station's MAC, and whether it is a router. */
  readonly form: 'question' | 'answer' | 'announcement' | 'other';
  readonly toAll: boolean;
  /** In whose name it speaks. */
  readonly ip: Ip;
  /** For what it asks. */
  readonly target: Ip | undefined;
  /** It says that it is a router: a flag that ARP does not have. */
  readonly isRouter: boolean;
  /** What it says is on its link. */
  readonly prefixes: readonly Prefix[];
}

/** undefined for a frame that says nothing, or in which the router names the MAC of another station. */
export function stationWordsOf(bytes: Uint8Array): StationWords | undefined {
  return arpWords(bytes) ?? ndWords(bytes);
}

function arpWords(bytes: Uint8Array): StationWords | undefined {
  const arp = decodeArp(bytes);
  if (typeof arp === 'string' || arp.source !== arp.senderMac) return undefined;
  const { destination, opcode, senderMac: mac, senderIp: ip, targetIp } = arp;
  const toAll = isGroupMac(destination);
  const plain = { mac, toAll, ip, isRouter: false, prefixes: [] };
  if (ip === targetIp) return { ...plain, form: 'announcement', target: undefined };
  if (opcode === ARP_REQUEST) return { ...plain, form: 'question', target: targetIp };
  return { ...plain, form: toAll || isUnspecified(ip) ? 'other' : 'answer', target: undefined };
}

function ndWords(bytes: Uint8Array): StationWords | undefined {
  const nd = decodeNd(bytes);
  if (typeof nd === 'string' || (nd.linkLayerAddress ?? nd.source) !== nd.source) return undefined;
  const { source: mac, destination, sourceIp } = nd;
  const plain = { mac, toAll: isGroupMac(destination), isRouter: false, prefixes: [], target: undefined };
  switch (nd.type) {
    case ICMPV6.neighbourSolicitation:
      return { ...plain, form: 'question', ip: sourceIp, target: nd.targetIp };
    case ICMPV6.neighbourAdvertisement:
      return {
        ...plain,
        form: nd.isSolicited ? (plain.toAll ? 'other' : 'answer') : 'announcement',
        ip: nd.targetIp,
        isRouter: nd.isRouter,
      };
    case ICMPV6.routerAdvertisement: {
      // One to a single host may be the home prefix of a visitor (mobility/nd/home-prefix.ts).
      const prefixes = plain.toAll ? onLinkPrefixes(bytes) : [];
      return { ...plain, form: 'other', ip: sourceIp, isRouter: true, prefixes };
    }
    default:
      return { ...plain, form: 'other', ip: sourceIp };
  }
}
