import type { Family, Ip, Mac, Prefix } from '../wire/addresses.js';
import type { Command, Token } from './commands.js';

/**
 * The interface between the tracker and the parts around it: what happens (Event) and what follows from it (Action). Both are plain data. Times are milliseconds on one monotonic clock; `now` is always an argument.
 */

/** Kernel interface index; a re-created interface has a new one. */
export type IfIndex = number;

/** One network interface as the kernel shows it. */
export interface Link {
  readonly index: IfIndex;
  readonly name: string;
  readonly mac: Mac;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** IFF_LOWER_UP: the cable is in, the tap is open, a bridge has a running port. */
  readonly carrier: boolean;
  /** Index of the bridge or bond this interface is enslaved to. */
  readonly master: IfIndex | undefined;
  /** Of a macvlan: the interface that it stands on, if that is in this network namespace. */
  readonly lower?: IfIndex | undefined;
  /** `info_kind` of the link: `bridge`, `veth`, `tun`, ... */
  readonly type: string | undefined;
  /** Addresses of the interface, host bits kept. */
  readonly addresses: readonly Prefix[];
  /** Of them those that another machine has (Duplicate Address Detection): the kernel does not use them. Absent: none. */
  readonly duplicates?: readonly Ip[];
  /** Maximum transmission unit, bytes. */
  readonly mtu?: number;
  /** false: the kernel does no IPv6 there (`disable_ipv6`, or an MTU below 1280); undefined: not known, taken for true. */
  readonly hasIpv6?: boolean;
  /** Effective `rp_filter` (the larger of `all` and the interface's own): 0 off, 1 strict, 2 loose. */
  readonly rpFilter: 0 | 1 | 2;
}

/** One next hop of a route. A link-local one means something on its interface only. */
export interface RouteLeg {
  readonly iface: IfIndex | undefined;
  readonly via: Ip | undefined;
}

/** One route of the kernel, from `ip route show` or `ip monitor route`. */
export interface Route {
  readonly prefix: Prefix;
  readonly table: number;
  readonly protocol: number;
  readonly metric: number;
  readonly type: 'unicast' | 'local' | 'broadcast' | 'blackhole' | 'unreachable' | 'prohibit' | 'other';
  /** Outgoing interface, when there is exactly one. */
  readonly iface: IfIndex | undefined;
  /** First next hop, when there is one. */
  readonly via: Ip | undefined;
  /** All next hops of an IPv6 route that has several: the kernel adds and deletes each by itself. */
  readonly legs?: readonly RouteLeg[];
}

/** An address behind one interface, with the MAC it answers from. */
export interface Attachment {
  readonly iface: IfIndex;
  readonly mac: Mac;
}

/** A host that was here once: what the daemon writes at its stop and reads at its start. */
export interface SavedHost {
  readonly ip: Ip;
  readonly mac: Mac;
  /** Name and not index: indices do not survive a reboot. */
  readonly interface: string;
  readonly reason: string;
}

export type Event =
  /** A captured frame, own ones possibly included. `queuedMs`: for so long it waited for us, since we did not keep up. */
  | {
      readonly kind: 'frame';
      readonly iface: IfIndex;
      readonly bytes: Uint8Array;
      readonly queuedMs?: number;
    }
  /** A captured packet of a watched visitor to a MAC that may not be ours (see the action `watch-misdirected`). */
  | { readonly kind: 'misdirected-packet'; readonly iface: IfIndex; readonly bytes: Uint8Array }
  /** An interface appeared or changed; the whole new state of it. */
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'link-gone'; readonly iface: IfIndex }
  /** Capture on a mobility interface began or ended; probes are only worth sending while it hears the answers. */
  | { readonly kind: 'capture'; readonly iface: IfIndex; readonly open: boolean }
  /** `initial` marks the dump at start and after an overrun, `complete` (below) its end. */
  | {
      readonly kind: 'route';
      readonly change: 'add' | 'delete';
      readonly route: Route;
      readonly initial: boolean;
    }
  /** All routes known before and not repeated since `routes-begin` are gone. */
  | { readonly kind: 'routes-begin' }
  | { readonly kind: 'routes-end' }
  /** Frames may have been missed until now, on this interface or (undefined) on all: silence so far proves nothing. */
  | { readonly kind: 'missed'; readonly iface: IfIndex | undefined }
  /** The kernel's neighbour table, only used to know the MAC of home hosts that were never heard. */
  | { readonly kind: 'neighbour'; readonly iface: IfIndex; readonly ip: Ip; readonly mac: Mac | undefined }
  /** A bridge learned a MAC behind a port, forgot it (`aged`), or lost it with its port. */
  | { readonly kind: 'fdb'; readonly bridge: IfIndex; readonly mac: Mac; readonly port: IfIndex | undefined }
  /** A claim of an earlier run, found in the kernel at start. */
  | {
      readonly kind: 'adopt';
      readonly ip: Ip;
      readonly iface: IfIndex;
      readonly mac: Mac | undefined;
      readonly age: ClaimAge;
    }
  | { readonly kind: 'remember'; readonly memories: readonly SavedHost[] }
  /** The kernel did what a `claim` action asked. */
  | { readonly kind: 'installed'; readonly ip: Ip; readonly age: ClaimAge }
  /** The kernel refused it for good (src/kernel retries after a transient refusal). */
  | { readonly kind: 'refused'; readonly ip: Ip; readonly message: string }
  | { readonly kind: 'command'; readonly token: Token; readonly command: Command }
  /** A deadline has come. */
  | { readonly kind: 'tick' };

export type ClaimAge = 'fresh' | 'settled';

/**
 * proving     evidence heard, question asked, nothing believed yet
 * home        lives in the interface's own subnet: recorded, no route (learn rule `foreign`)
 * fresh       our claim, so young that it beats every routing protocol
 * settled     our claim, aged: any routing protocol's route for the host beats it
 * beneath     here, and left to the claim of another router on this LAN; our route, when there is one, is hidden by it
 * away        a home host that is proven to be behind another router
 * remembered  was here, is not any more; asked again
 */
export type HostState =
  | 'unknown'
  | 'proving'
  | 'home'
  | 'fresh'
  | 'settled'
  | 'beneath'
  | 'away'
  | 'remembered';

export const HOST_STATES = [
  'unknown',
  'proving',
  'home',
  'fresh',
  'settled',
  'beneath',
  'away',
  'remembered',
] as const satisfies readonly HostState[];

/** Why a host changed its state: one closed list, the log's `reason`, the metric's label, what tests assert. */
export const CAUSES = [
  'sighting', // a frame of the host, see its evidence kind
  'probe-hint', // it sent an RFC 5227 probe a moment ago
  'rarp', // RARP named its MAC
  'presence', // another frame that names no address of it did: an MLD report, a router solicitation
  'sibling', // another address of its MAC was proven here
  'sought', // a neighbour that has come home sends to where it is not
  'link-up', // remembered on an interface that came up
  'adopted', // its route was in the kernel when we started
  'remembered', // read from hosts.json
  'command', // marpctl or the API asked
  'attach',
  'prepared', // first sign of life of a prepared host
  'proven', // it answered
  'moved', // it answered at a new place
  'aged', // settle is over
  'returned', // home again and no other router says otherwise
  'contested', // the incumbent is alive: it keeps the address
  'took-over', // this router became the active one of its LAN
  'surfaced', // the claim that hid ours is gone
  'unannounced', // the active router of this LAN does not claim it
  'no-answer', // nobody answered the proof
  'no-room', // the interface has all the hosts it may have
  'keepalive-lost',
  'hold-expired',
  'link-down',
  'link-gone',
  'ipv6-off', // the kernel does no IPv6 on its interface any more
  'port-down',
  'remote-claim', // another router's claim, proven right
  'remote-claim-lost', // away no more: nobody announces it
  'duplicate', // we were the challenger and the incumbent is alive
  'detach',
  'not-allowed', // policy does not allow it any more
  'rule-changed', // the learn rule or the interface's subnets changed: what was recorded is to be claimed now
  'clear',
  'kernel-refused',
  'forgotten', // ten minutes of silence, or memory is full
] as const;
export type Cause = (typeof CAUSES)[number];

/** The machines of a host (mobility/host/). */
export type Machine = 'claim' | 'proof' | 'keepalive' | 'contest' | 'recovery';

/** Which machine, by its outcome, made a host change its state. */
export const MACHINE_OF: Readonly<Record<Cause, Machine>> = {
  sighting: 'proof',
  'probe-hint': 'proof',
  rarp: 'proof',
  presence: 'proof',
  sibling: 'proof',
  sought: 'proof',
  'link-up': 'recovery',
  adopted: 'claim',
  remembered: 'recovery',
  command: 'recovery',
  attach: 'recovery',
  prepared: 'recovery',
  proven: 'proof',
  moved: 'proof',
  aged: 'claim',
  returned: 'claim',
  contested: 'contest',
  'took-over': 'claim',
  surfaced: 'claim',
  unannounced: 'claim',
  'no-answer': 'proof',
  'no-room': 'proof',
  'keepalive-lost': 'keepalive',
  'hold-expired': 'keepalive',
  'link-down': 'keepalive',
  'link-gone': 'keepalive',
  'ipv6-off': 'keepalive',
  'port-down': 'keepalive',
  'remote-claim': 'keepalive',
  'remote-claim-lost': 'claim',
  duplicate: 'contest',
  detach: 'recovery',
  'not-allowed': 'claim',
  'rule-changed': 'proof',
  clear: 'claim',
  'kernel-refused': 'claim',
  forgotten: 'claim',
};

/** Why a frame was not acted on: one closed list, the return value, the metric's label, what tests assert. */
export const DROP_REASONS = [
  // bytes that are no usable ARP (wire/)
  'truncated',
  'not-arp',
  'bad-hardware-type',
  'bad-protocol-type',
  'bad-address-length',
  'bad-opcode',
  // bytes that are no usable neighbour discovery (RFC 4861 section 7.1, RFC 3810 section 6.2)
  'not-neighbour-discovery',
  'extension-header', // RFC 6980
  'bad-hop-limit',
  'bad-checksum',
  'bad-code',
  'bad-length',
  'bad-option',
  'bad-address',
  // frames that say nothing about a host
  'own-frame',
  'not-mobility-interface',
  'interface-down',
  'sender-mac-zero',
  'sender-mac-group',
  'sender-mac-mismatch', // differs from the Ethernet source
  'sender-ip-unspecified',
  'sender-ip-multicast',
  'sender-ip-reserved',
  'sender-ip-loopback',
  'sender-ip-link-local',
  'sender-ip-subnet-edge', // network or broadcast address of a known subnet
  'sender-ip-local', // one of our own addresses
  'sender-ip-gateway', // a configured gateway: see alarm other-router
  'sender-ip-next-hop', // a router that we forward to by another interface
  'sender-ip-peer', // another first-hop router of this LAN, named in the configuration
  'sender-ip-other-lan', // belongs to a connected subnet that is no mobility interface
  'other-router', // this MAC answers for a gateway address on this LAN
  // policy
  'not-allowed',
  'denied',
  'mac-not-bound',
  // limits
  'newcomer-budget',
  'mac-limit',
  'host-limit',
  'inquiry-limit',
  // timing and contests
  'detached', // stale frame of a guest that was just detached
  'contested', // the address was contested: other places wait for their next turn
  'frozen', // the same, after too many contested moves
  'no-probe-source', // no address that a proof could be sent from
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** What kind of frame a sighting was (design.md 3.1). */
export const EVIDENCE_KINDS = [
  'request',
  'reply',
  'gratuitous',
  'probe',
  'rarp',
  'mld-report',
  'router-solicitation',
  'link-local-solicitation',
  'answer',
] as const;
export type EvidenceKind = (typeof EVIDENCE_KINDS)[number];

/** The one record of a change of state; log line, metric, `marpctl monitor` and `why` are views of it. */
export interface Transition {
  readonly ip: Ip;
  readonly from: HostState;
  readonly to: HostState;
  readonly cause: Cause;
  readonly iface: IfIndex | undefined;
  readonly interface: string | undefined;
  readonly mac: Mac | undefined;
  /** When the new state ends by itself, ms on the monotonic clock. */
  readonly deadline: number | undefined;
  /** When the frame or command came that led to it. */
  readonly heardAt: number;
  readonly at: number;
}

export const ALARMS = [
  'other-router',
  'two-speakers', // while we are the active router of a LAN, another machine uses its gateway address
  'duplicate',
  'frozen',
  'proxy-arp',
  'newcomer-storm',
  'mac-limit',
  'setting-changed', // somebody else changed a kernel setting that marpd needs
] as const;
export type AlarmKind = (typeof ALARMS)[number];

export interface Alarm {
  readonly alarm: AlarmKind;
  readonly ip: Ip | undefined;
  readonly mac: Mac | undefined;
  readonly interface: string | undefined;
  readonly otherMac: Mac | undefined;
  /** An interface name, or `remote` for another router. */
  readonly otherInterface: string | undefined;
  readonly message: string;
  readonly at: number;
}

/** What this router is on a LAN: the only first-hop router, or one of several (design.md 3.5). */
export const ROUTER_ROLES = ['alone', 'gateway', 'told', 'first', 'second'] as const;
export type RouterRole = (typeof ROUTER_ROLES)[number];
export const ROLE_KINDS = ['active', 'standby'] as const;
export type RoleKind = (typeof ROLE_KINDS)[number];

/** Why a router is active or standby on a LAN: one closed list. */
export const ROLE_REASONS = [
  'alone', // role = "alone"
  'anycast', // role = "first" or "second"
  'gateway-here', // a gateway address is on an operational interface of the LAN
  'gateway-not-here', // none is
  'told', // POST /v1/role, marpctl role
  'not-told', // nobody has said yet
] as const;
export type RoleReason = (typeof ROLE_REASONS)[number];

/** On a LAN with several first-hop routers this one became the active one, or a standby. */
export interface RoleChange {
  readonly iface: IfIndex;
  readonly interface: string;
  /** Each family has its own gateways, so one may become active before the other. */
  readonly family: Family;
  readonly role: RouterRole;
  readonly state: RoleKind;
  readonly reason: RoleReason;
  readonly at: number;
}

export type SendPurpose = 'probe' | 'answer' | 'announce' | 'repair' | 'advertise';

export type Action =
  | {
      readonly kind: 'send';
      readonly iface: IfIndex;
      readonly bytes: Uint8Array;
      readonly purpose: SendPurpose;
    }
  /** The kernel shall hold exactly this claim for `ip`, whatever it held for it before; neighbour and route. */
  | {
      readonly kind: 'claim';
      readonly ip: Ip;
      readonly iface: IfIndex;
      readonly dev: string;
      readonly mac: Mac;
      readonly age: ClaimAge;
    }
  /** The kernel shall hold no claim of ours for `ip`; its neighbour entry on `dev` goes too. */
  | { readonly kind: 'release'; readonly ip: Ip }
  /** A home host left `dev` (no claim of ours was there): remove what the kernel learned about it. */
  | { readonly kind: 'forget-neighbour'; readonly ip: Ip; readonly dev: string }
  /** Repair of a stuck route: add a route of ours; `present: false` deletes it (design.md 3.3). */
  | { readonly kind: 'stuck-route-repair'; readonly ip: Ip; readonly present: boolean }
  /** Capture, or no longer, packets that this MAC sends to others than us: it may have stale neighbours. */
  | {
      readonly kind: 'watch-misdirected';
      readonly iface: IfIndex;
      readonly mac: Mac;
      readonly watch: boolean;
    }
  /**
   * Announcements of this host (sender = target) need not be told for so long: they only say what is believed anyway.
   * 0 ms: they count again from now on.
   */
  | {
      readonly kind: 'suppress-refreshes';
      readonly iface: IfIndex;
      readonly ip: Ip;
      readonly mac: Mac;
      readonly forMs: number;
    }
  | ({ readonly kind: 'transition' } & Transition)
  | ({ readonly kind: 'alarm' } & Alarm)
  /** A frame that was acted on and is not a mere refresh. */
  | {
      readonly kind: 'evidence';
      readonly evidence: EvidenceKind;
      readonly ip: Ip | undefined;
      readonly mac: Mac;
      readonly iface: IfIndex;
      readonly interface: string;
      readonly rttMs: number | undefined;
      readonly at: number;
    }
  /** We answered an ARP request on behalf of `target`. */
  | {
      readonly kind: 'answered';
      readonly asker: Ip;
      readonly target: Ip;
      readonly interface: string;
      readonly at: number;
    }
  | {
      readonly kind: 'drop';
      readonly reason: DropReason;
      readonly ip: Ip | undefined;
      readonly mac: Mac | undefined;
      readonly iface: IfIndex;
      readonly at: number;
    }
  /** This router is active or standby on a LAN from now on. */
  | ({ readonly kind: 'role' } & RoleChange)
  /** The result of a command; `message` is for people. */
  | { readonly kind: 'reply'; readonly token: Token; readonly ok: boolean; readonly message: string };
