import type { Ip } from '../../wire/addresses.js';
import type { IfIndex } from '../events.js';
import type { Policy } from '../policy.js';
import type { Topology } from '../network/topology.js';

/** What the choice of a source address looks at. */
export interface SourceView {
  readonly policy: Policy;
  readonly topology: Topology;
}

/**
 * In whose name we ask and speak on a LAN (design.md 3.2 "Prove"). Each family has its own rules: RFC 826 lets any
 * address ask, and a host answers a neighbour solicitation only if it comes from a neighbour.
 */
export interface SourceRules {
  /** In whose name it is asked whether `ip` is on a LAN; undefined: we have no address that the question could come from. */
  probeSource(view: SourceView, iface: IfIndex, ip: Ip): Ip | undefined;
  /** Our own address on a LAN, not a gateway's: in the subnet of `ip` if there is one. */
  ownSource(view: SourceView, iface: IfIndex, ip: Ip): Ip | undefined;
  /** An address of ours on a LAN, of the family of `other` and not that one; where we are silent none of a gateway. */
  addressOn(view: SourceView, iface: IfIndex, other: Ip): Ip | undefined;
  /** An address to ask a visitor from whose answer changes nothing in what it knows of its neighbours and of `gateway`. */
  outsideSource(view: SourceView, iface: IfIndex, ip: Ip, gateway: Ip): Ip | undefined;
  /** The gateways of the host whose entries the proof itself does not put right. */
  gatewaysToRepair(view: SourceView, iface: IfIndex, ip: Ip): readonly Ip[];
}
