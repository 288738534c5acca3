import type { Link } from '../../mobility/events.js';
import { type Subnet, subnetOf } from '../../mobility/policy.js';
import {
  type Ip,
  MAC_ZERO,
  type Mac,
  type Prefix,
  contains,
  familyOf,
  isIpv4,
  isLinkLocal,
  isUnspecified,
  networkOf,
} from '../../wire/addresses.js';
import { assumedLink } from './assumptions.js';
import { stationWordsOf } from './station-words.js';

/** The length of a subnet that nobody names. */
const ASSUMED_LENGTH = { ipv4: 24, ipv6: 64 };
const LINK_LOCAL_LENGTH = 64;
/** A link that no capture shows: the home LAN of a gateway in whose name visitors are probed. */
const ELSEWHERE = 'elsewhere';
const INTERFACE_ID_1 = '\0\0\0\0\0\0\0\u0001';
/** So many ways to give addresses to LANs are tried at most. */
const MAX_TRIALS = 32;

/** What one MAC on one LAN said, without what it said of itself to all (gratuitous ARP). */
class Station {
  /** Addresses in whose name it asked, with whom it asked for: alone, and all of the LAN. */
  readonly probed = new Map<Ip, Set<Ip>>();
  readonly broadcast = new Map<Ip, Set<Ip>>();
  /** Addresses that it answered for. */
  readonly answered = new Set<Ip>();
  readonly announced = new Set<Ip>();
  /** Prefixes that it advertised, by their text. */
  readonly prefixes = new Map<string, Prefix>();
  /** The capture says that this machine sent it. */
  isOut = false;
  /** It said so: a flag of Neighbor Discovery (RFC 4861 section 4.4). */
  isRouter = false;

  /** Addresses in whose name it asked. */
  asked(): ReadonlySet<Ip> {
    return new Set([...this.probed.keys(), ...this.broadcast.keys()]);
  }

  used(): ReadonlySet<Ip> {
    return new Set([...this.asked(), ...this.answered]);
  }

  asksAs(ip: Ip): boolean {
    return this.probed.has(ip) || this.broadcast.has(ip);
  }

  speaksAs(ip: Ip): boolean {
    return this.asksAs(ip) || this.answered.has(ip);
  }
}

class Lan {
  readonly stations = new Map<Mac, Station>();
  /** Who asked all of the LAN for an address. */
  readonly askers = new Map<Ip, Set<Mac>>();
  /** Who asked in the name of an address, and who answered for it. */
  readonly namesakes = new Map<Ip, Set<Mac>>();
  readonly answerers = new Map<Ip, Set<Mac>>();
}

/** An address of the router on a LAN, as far as it is known: `lans` are where it may be, the likeliest first. */
interface Question {
  readonly address: Ip;
  readonly lans: readonly string[];
}

/** How many frames of the router a replay with these links predicts. */
export type Trial = (links: readonly Link[]) => number;

/**
 * Finds the router among the stations of each LAN, and its address there. The router probes hosts by unicast requests
 * and answers those who look for a gateway. marpd does both in the name of a gateway on every LAN that a host visits:
 * such an address is the router's own on one LAN at most. Where that is open, the likely ones are tried.
 */
export class RouterSearch {
  private readonly lans = new Map<string, Lan>();

  /** `isComplete`: what is configured says which subnets there are, so none is assumed beside those of the captures. */
  constructor(
    readonly subnets: readonly Subnet[],
    private readonly isComplete: boolean,
  ) {}

  note(name: string, bytes: Uint8Array, isOut = false): void {
    const lan = this.lans.get(name) ?? new Lan();
    this.lans.set(name, lan);
    const words = stationWordsOf(bytes);
    // A frame in which the router names the MAC of another station says nothing of that one.
    if (words === undefined) return;
    const { mac, form, toAll, ip, target, isRouter, prefixes } = words;
    const station = lan.stations.get(mac) ?? new Station();
    lan.stations.set(mac, station);
    if (isOut) station.isOut = true;
    if (isRouter) station.isRouter = true;
    for (const prefix of prefixes) station.prefixes.set(`${prefix.ip}/${prefix.length}`, prefix);
    if (form === 'announcement') station.announced.add(ip);
    else if (form === 'question' && target !== undefined) {
      if (toAll) add(lan.askers, target, mac);
      if (isUnspecified(ip)) return;
      add(lan.namesakes, ip, mac);
      add(toAll ? station.broadcast : station.probed, ip, target);
    } else if (form === 'answer') {
      add(lan.answerers, ip, mac);
      station.answered.add(ip);
    }
  }

  /** One link for each LAN whose router was found; and LANs without a router. */
  result(trial: Trial): { readonly links: readonly Link[]; readonly unknown: readonly string[] } {
    const routers = this.findRouters();
    const unknown = [...this.lans.keys()].filter((name) => !routers.has(name));
    const { known, open } = this.findAddresses(routers);
    let best: readonly Link[] = [];
    let bestCount = -1;
    for (const choice of choicesOf(open)) {
      const links = this.linksOf(routers, [...known, ...choice]);
      if (bestCount < 0 && open.length === 0) return { links, unknown };
      const count = trial(links);
      if (count > bestCount) [best, bestCount] = [links, count];
    }
    return { links: best, unknown };
  }

  // --- which station is the router --------------------------------------------------------------------------------

  private findRouters(): Map<string, Mac> {
    const routers = new Map<string, Mac>();
    for (const [name, lan] of this.lans) {
      let best: { mac: Mac; score: number } | undefined;
      for (const [mac, station] of lan.stations) {
        const score = this.score(name, lan, mac, station);
        if (score > 0 && (best === undefined || score > best.score)) best = { mac, score };
      }
      if (best !== undefined) routers.set(name, best.mac);
    }
    this.findSilent(routers);
    return new Map([...routers].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** On a LAN where nobody answered it, the router is known by its MAC, or by the names in which it asks. */
  private findSilent(routers: Map<string, Mac>): void {
    const macs = new Set(routers.values());
    const names = new Set<Ip>();
    for (const [name, mac] of routers) {
      for (const ip of this.stationOn(name, mac).asked()) names.add(ip);
    }
    for (const [name, { stations }] of this.lans) {
      if (routers.has(name)) continue;
      const found = [...stations].find(
        ([mac, station]) =>
          macs.has(mac) || [...station.asked()].some((ip) => names.has(ip) || isCustomaryGateway(ip)),
      );
      if (found !== undefined) routers.set(name, found[0]);
    }
  }

  /** How much a station looks like the router; 0: not at all. */
  private score(name: string, lan: Lan, mac: Mac, station: Station): number {
    if (station.isOut) return Number.POSITIVE_INFINITY;
    const used = [...station.used()];
    const asked = new Set<Mac>();
    for (const ip of station.answered)
      for (const asker of lan.askers.get(ip) ?? []) if (asker !== mac) asked.add(asker);
    const proven = new Set<Ip>();
    for (const targets of station.probed.values())
      for (const ip of targets) if (isAnswered(lan, ip, mac)) proven.add(ip);
    const isGateway = this.subnets.some(({ gateways }) =>
      gateways.some((gateway) => station.speaksAs(gateway)),
    );
    const isManifold = used.some((ip) => station.asksAs(ip) && this.isAskedInByOther(name, mac, ip));
    const isAnnounced = used.some((ip) => station.announced.has(ip));
    if (asked.size + proven.size === 0 && !isGateway && !isManifold && !station.isRouter) return 0;
    let score = 2 * asked.size + proven.size + Math.max(0, used.length - 1);
    if (isGateway || station.isRouter) score += 1000;
    // A host takes its MAC along. The router has one on each LAN, and one name for visitors on all of them.
    if (isManifold) score += 10;
    else if (isAnnounced && this.isElsewhere(name, mac, used)) score -= 10;
    // These settle what little traffic leaves open.
    if (used.some(isCustomaryGateway)) score += 3;
    if (isAnnounced) score -= 0.5;
    return Math.max(score, 0.1);
  }

  /** Whether another MAC on another LAN asks in the name of `ip` as well. The router answers for hosts, but asks in no name of theirs. */
  private isAskedInByOther(name: string, mac: Mac, ip: Ip): boolean {
    for (const [other, { stations, namesakes }] of this.lans)
      if (other !== name && !stations.has(mac) && namesakes.has(ip)) return true;
    return false;
  }

  /** Whether a station is on another LAN too, with the same one address. */
  private isElsewhere(name: string, mac: Mac, used: readonly Ip[]): boolean {
    const here = new Set(used);
    let isMoved = false;
    for (const [other, { stations }] of this.lans) {
      const station = other === name ? undefined : stations.get(mac);
      if (station === undefined) continue;
      isMoved = true;
      for (const ip of station.used()) here.add(ip);
    }
    return isMoved && here.size <= 1;
  }

  // --- which address is its own ------------------------------------------------------------------------------------

  private findAddresses(routers: ReadonlyMap<string, Mac>): {
    known: readonly { address: Ip; lan: string }[];
    open: readonly Question[];
  } {
    /** How often the router asked on a LAN in the name of an address: as only its owner there would, and as for visitors. */
    const asOwner = new Map<Ip, Map<string, number>>();
    const asGateway = new Map<Ip, Map<string, number>>();
    for (const [name, mac] of routers) {
      const { probed, broadcast } = withoutLinkLocal(this.stationOn(name, mac));
      const outside = (ip: Ip, targets: ReadonlySet<Ip>) =>
        [...targets].filter((target) => !this.isInSubnet(ip, target)).length;
      const isSeenOutside = [...probed, ...broadcast].some(([ip, targets]) => outside(ip, targets) > 0);
      for (const [ip, targets] of probed) {
        const owner = outside(ip, targets);
        count(asOwner, ip, name, owner);
        count(asGateway, ip, name, targets.size - owner);
      }
      // A LAN is asked for the neighbour of a visitor in the name of the router there, and then in that of the gateway.
      for (const [ip, targets] of broadcast)
        count(asOwner, ip, name, isSeenOutside ? outside(ip, targets) : targets.size);
    }
    const known: { address: Ip; lan: string }[] = [];
    for (const [address, lans] of asOwner) {
      if (this.isHosts(address, routers)) continue;
      const [lan] = [...lans].sort((a, b) => b[1] - a[1])[0] ?? [];
      if (lan !== undefined) known.push({ address, lan });
    }
    const open: Question[] = [];
    const hasOwn = (name: string) => known.some(({ lan }) => lan === name);
    // A visitor is also asked in the name of a neighbour, which tells it where that one is: the gateway asks more.
    const bySize = [...asGateway].sort((a, b) => total(b[1]) - total(a[1]));
    for (const [address, lans] of bySize) {
      const isInSubnetOf = (other: { address: Ip }) => this.isInSubnet(other.address, address);
      if (known.some(isInSubnetOf) || open.some(isInSubnetOf) || this.isHosts(address, routers)) continue;
      const byLikelihood = [...lans.keys()].sort(
        (a, b) =>
          Number(hasOwn(a)) - Number(hasOwn(b)) || this.hostsOn(b, address) - this.hostsOn(a, address),
      );
      const firstIsTaken = hasOwn(byLikelihood[0] as string);
      open.push({
        address,
        lans: firstIsTaken ? [ELSEWHERE, ...byLikelihood] : [...byLikelihood, ELSEWHERE],
      });
    }
    for (const [name, mac] of routers) {
      const address = this.answeredFor(name, mac);
      const isTaken = [...known, ...open].some((each) => each.address === address);
      if (address !== undefined && !isTaken) known.push({ address, lan: name });
    }
    return { known, open };
  }

  /** Of a router that asks nothing: the address that most look for; a gateway before others. */
  private answeredFor(name: string, mac: Mac): Ip | undefined {
    let best: { ip: Ip; askers: number } | undefined;
    const { probed, broadcast, answered } = this.stationOn(name, mac);
    if (probed.size + broadcast.size > 0) return undefined;
    for (const ip of answered) {
      if (isLinkLocal(ip)) continue;
      const isGateway = this.subnets.some(({ gateways }) => gateways.includes(ip));
      const askers = (this.lans.get(name)?.askers.get(ip)?.size ?? 0) + (isGateway ? 1000 : 0);
      if (best === undefined || askers > best.askers) best = { ip, askers };
    }
    return best?.ip;
  }

  /** Whether a station that is not the router was asked for an address alone, and answered. */
  private isHosts(ip: Ip, routers: ReadonlyMap<string, Mac>): boolean {
    for (const [name, lan] of this.lans) {
      const own = routers.get(name);
      if (own === undefined || !isAnswered(lan, ip, own)) continue;
      if ([...this.stationOn(name, own).probed.values()].some((to) => to.has(ip))) return true;
    }
    return false;
  }

  /** How many addresses of the subnet of `ip` stations of a LAN speak for, the router apart. */
  private hostsOn(name: string, ip: Ip): number {
    const found = new Set<Ip>();
    for (const station of this.lans.get(name)?.stations.values() ?? []) {
      if (station.speaksAs(ip)) continue;
      for (const used of station.used()) if (this.isInSubnet(ip, used)) found.add(used);
    }
    return found.size;
  }

  private isInSubnet(router: Ip, ip: Ip): boolean {
    if (subnetOf(this, ip)?.gateways.includes(router) === true) return true;
    return contains({ ip: router, length: this.lengthOf(router) }, ip);
  }

  private lengthOf(ip: Ip): number {
    return (
      this.subnets.find(({ gateways }) => gateways.includes(ip))?.prefix.length ??
      subnetOf(this, ip)?.prefix.length ??
      ASSUMED_LENGTH[familyOf(ip)]
    );
  }

  private stationOn(name: string, mac: Mac): Station {
    return this.lans.get(name)?.stations.get(mac) ?? new Station();
  }

  private linksOf(
    routers: ReadonlyMap<string, Mac>,
    places: readonly { readonly address: Ip; readonly lan: string }[],
  ): readonly Link[] {
    const macs = new Map(routers);
    if (!this.isComplete && places.some(({ lan }) => lan === ELSEWHERE)) macs.set(ELSEWHERE, MAC_ZERO);
    return [...macs].map(([name, mac], at) => {
      const addresses: Prefix[] = places
        .filter(({ lan }) => lan === name)
        .map(({ address: ip }) => ({ ip, length: this.lengthOf(ip) }));
      return assumedLink(at + 1, name, mac, [...addresses, ...this.linkAddresses(name, mac)]);
    });
  }

  /**
   * Addresses that a link of IPv6 has whatever others have: those in whose name the router speaks there and nowhere beyond,
   * and for each prefix that it advertises the anycast address of all its routers (RFC 4291 section 2.6.1).
   */
  private linkAddresses(name: string, mac: Mac): Prefix[] {
    const station = this.stationOn(name, mac);
    const own = [...station.used()].filter((ip) => !isIpv4(ip) && isLinkLocal(ip));
    return [
      ...own.map((ip) => ({ ip, length: LINK_LOCAL_LENGTH })),
      ...[...station.prefixes.values()].map(({ ip, length }) => ({ ip: networkOf(ip, length), length })),
    ];
  }
}

/** What it said of other addresses than those that are on every link. */
function withoutLinkLocal({ probed, broadcast }: Station): Pick<Station, 'probed' | 'broadcast'> {
  const global = (of: ReadonlyMap<Ip, Set<Ip>>) =>
    new Map([...of].filter(([ip]) => isIpv4(ip) || !isLinkLocal(ip)));
  return { probed: global(probed), broadcast: global(broadcast) };
}

/** Every answer to all questions, the likeliest first; of too many, only that one. */
function* choicesOf(open: readonly Question[]): Generator<{ address: Ip; lan: string }[]> {
  const product = open.reduce((sum, { lans }) => sum * lans.length, 1);
  for (let n = 0; n < (product > MAX_TRIALS ? 1 : product); n++) {
    let rest = n;
    yield open.map(({ address, lans }) => {
      const lan = lans[rest % lans.length] as string;
      rest = Math.floor(rest / lans.length);
      return { address, lan };
    });
  }
}

function isAnswered({ answerers }: Lan, ip: Ip, asker: Mac): boolean {
  return [...(answerers.get(ip) ?? [])].some((mac) => mac !== asker);
}

/** .1 and .254, as most sites number their routers; fe80::1 and ...::1. */
function isCustomaryGateway(ip: Ip): boolean {
  return isIpv4(ip) ? [1, 254].includes(ip & 255) : ip.endsWith(INTERFACE_ID_1);
}

function add<K, V>(to: Map<K, Set<V>>, key: K, value: V): void {
  const known = to.get(key);
  if (known === undefined) to.set(key, new Set([value]));
  else known.add(value);
}

function count(to: Map<Ip, Map<string, number>>, ip: Ip, lan: string, more: number): void {
  if (more === 0) return;
  const known = to.get(ip) ?? new Map<string, number>();
  to.set(ip, known.set(lan, (known.get(lan) ?? 0) + more));
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, each) => sum + each, 0);
}
