import {
  contains,
  formatIp,
  IPV6_UNSPECIFIED,
  type Ip,
  type Ipv6,
  isGroupMac,
  isLinkLocal,
  isMulticast,
  type Prefix,
} from '../../src/wire/addresses.js';
import { ICMPV6, ROUTER_ALERT } from '../../src/wire/icmpv6.js';
import { IPV6_NEXT_HEADER_AT, IPV6_PAYLOAD_AT, NEXT_HEADER } from '../../src/wire/ipv6.js';
import { decodeNd, type NeighbourAdvertisement, type NeighbourSolicitation } from '../../src/wire/nd.js';
import { ndDriver } from '../../src/mobility/nd/driver.js';
import type { IfIndex, SendPurpose } from '../../src/mobility/events.js';

/** So long after its solicitation duplicate address detection still listens (RFC 4862 section 5.4, RetransTimer). */
const DAD_LASTS_MS = 1000;

/** What must hold for every frame of Neighbor Discovery that a tracker sends. */
export class NdInvariants {
  /** When somebody on this interface began duplicate address detection for this address. */
  private readonly dadSince = new Map<string, number>();

  constructor(
    private readonly gateways: () => readonly Ip[],
    /** Subnets that hosts may be in: those of the site, and those of our interfaces. */
    private readonly subnets: () => readonly Prefix[],
    private readonly broken: (what: string) => never,
  ) {}

  heard(iface: IfIndex, bytes: Uint8Array, now: number): void {
    const frame = decodeNd(bytes);
    if (typeof frame === 'string' || frame.type !== ICMPV6.neighbourSolicitation) return;
    if (frame.sourceIp === IPV6_UNSPECIFIED) this.dadSince.set(`${iface} ${frame.targetIp}`, now);
  }

  sent(iface: IfIndex, bytes: Uint8Array, purpose: SendPurpose, now: number): void {
    const isMld = bytes[IPV6_NEXT_HEADER_AT] === NEXT_HEADER.hopByHop;
    if (isMld) return this.inquired(bytes);
    const frame = decodeNd(bytes);
    if (typeof frame === 'string') return this.broken(`sent a frame that is no Neighbor Discovery: ${frame}`);
    if (frame.type === ICMPV6.neighbourSolicitation) this.asked(frame);
    else if (frame.type === ICMPV6.neighbourAdvertisement) this.advertised(iface, frame, purpose, now);
    else this.broken(`sent a message of type ${frame.type}`);
  }

  /** A general query, to one MAC: what everybody hears makes a querier of us. */
  private inquired(bytes: Uint8Array): void {
    if (bytes[IPV6_PAYLOAD_AT + ROUTER_ALERT.length] !== ICMPV6.mldQuery)
      this.broken('sent a hop-by-hop header before something else than an MLD query');
    if (((bytes[0] as number) & 1) === 1) this.broken('sent an MLD query to everybody');
  }

  /** BSD answers nobody whose address is not on link (CVE-2008-2476). */
  private asked({ sourceIp, targetIp }: NeighbourSolicitation): void {
    if (isLinkLocal(targetIp) && !this.isGateway(targetIp))
      this.broken(`asked for ${formatIp(targetIp)}, which is no host`);
    if (isLinkLocal(sourceIp) || this.isConflictCheck(sourceIp, targetIp)) return;
    // Who answers for this one is asked in the name in which its addresses are.
    if (targetIp === ndDriver.controlAddress) return;
    const isOnLink = this.subnets().some(
      (subnet) => contains(subnet, sourceIp) && contains(subnet, targetIp),
    );
    if (!isOnLink)
      this.broken(
        `asked ${formatIp(targetIp)} in the name of ${formatIp(sourceIp)}, which is not on its link`,
      );
  }

  private advertised(iface: IfIndex, frame: NeighbourAdvertisement, purpose: SendPurpose, now: number): void {
    const { targetIp, destinationIp, isRouter, isSolicited } = frame;
    const text = formatIp(targetIp);
    const isGateway = this.isGateway(targetIp);
    if (isRouter !== isGateway)
      this.broken(
        `advertised ${text} with R=${isRouter ? 1 : 0}: whoever has it for a router loses its default route`,
      );
    if (isLinkLocal(targetIp) && !isGateway) this.broken(`advertised ${text}, which is no host`);
    if (purpose === 'answer' && !isSolicited) this.broken(`answered for ${text} without being asked`);
    if (isSolicited && isGroupMac(frame.destination)) this.broken(`answered for ${text} to everybody`);
    if (!isMulticast(destinationIp)) return;
    const since = this.dadSince.get(`${iface} ${targetIp}`) ?? Number.NEGATIVE_INFINITY;
    if (now - since < DAD_LASTS_MS)
      this.broken(
        `advertised ${text} ${(now - since).toFixed(1)} ms after a host began to look for duplicates`,
      );
  }

  /** Whether a gateway address is somebody else's is asked from ours. */
  private isConflictCheck(sourceIp: Ipv6, targetIp: Ipv6): boolean {
    return this.isGateway(targetIp) && !this.isGateway(sourceIp);
  }

  private isGateway(ip: Ip): boolean {
    return this.gateways().includes(ip);
  }
}
