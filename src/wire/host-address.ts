import {
  type Family,
  type Ip,
  type Mac,
  type Prefix,
  familyOf,
  isGroupMac,
  isIpv4,
  isIpv4Mapped,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isReserved,
  isUnspecified,
  parseIp,
  parseMac,
  parsePrefix,
} from './addresses.js';

/** Addresses of hosts as people and programs write them: read alike by the configuration, the API and marpctl. */

/** A value, or a sentence that says what is wrong with the text. */
export type Reading<T> = { readonly value: T } | { readonly problem: string };

const FAMILY_NAMES: Readonly<Record<Family, string>> = { ipv4: 'IPv4', ipv6: 'IPv6' };

/** Said wherever an address or a prefix of a family is given that is not served. */
export function familyOff(family: Family): string {
  return `${FAMILY_NAMES[family]} is off: "${family}" is not in router.families`;
}

/** What is wrong with an address that is of none of the families that are served. */
export function familyProblem(ip: Ip, families: readonly Family[]): string | undefined {
  const family = familyOf(ip);
  return families.includes(family) ? undefined : familyOff(family);
}

export function readIp(text: string): Reading<Ip> {
  const ip = parseIp(text);
  return ip === undefined ? { problem: `${JSON.stringify(text)} is not an IP address` } : { value: ip };
}

/** An address that a machine can have on a LAN; of IPv6 also a link-local one. */
export function readLanIp(text: string): Reading<Ip> {
  const reading = readIp(text);
  if ('problem' in reading) return reading;
  const ip = reading.value;
  const kind = isUnspecified(ip)
    ? 'the unspecified address'
    : isLoopback(ip)
      ? 'a loopback address'
      : isMulticast(ip)
        ? 'a multicast address'
        : isReserved(ip)
          ? 'a reserved address'
          : isIpv4Mapped(ip)
            ? 'an IPv4-mapped address'
            : undefined;
  return kind === undefined ? reading : { problem: `${text} is ${kind}, which no host can have` };
}

/** An address that one host can keep wherever it is. A link-local address of IPv6 means another host on each LAN. */
export function readHostIp(text: string): Reading<Ip> {
  const reading = readLanIp(text);
  if ('problem' in reading || isIpv4(reading.value) || !isLinkLocal(reading.value)) return reading;
  return { problem: `${text} is a link-local address, which no mobile host can have` };
}

/** A MAC address that one host can have. */
export function readHostMac(text: string): Reading<Mac> {
  const mac = parseMac(text);
  if (mac === undefined) {
    return { problem: `${JSON.stringify(text)} is not a MAC address (example: 02:00:0a:01:01:05)` };
  }
  if (mac === 0) return { problem: `${text} is the zero address, which no host can have` };
  if (isGroupMac(mac)) return { problem: `${text} is a group address, which no host can have` };
  return { value: mac };
}

/** A prefix that may hold hosts; host bits are kept. */
export function readHostPrefix(text: string): Reading<Prefix> {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    return { problem: `${JSON.stringify(text)} is not a prefix (examples: 10.1.1.0/24, 2001:db8:1::/64)` };
  }
  const kind = isIpv4(prefix.ip) ? undefined : hostlessKind(prefix);
  return kind === undefined
    ? { value: prefix }
    : { problem: `${text} holds ${kind} addresses only, which no mobile host can have` };
}

/** What a prefix of IPv6 holds, when all its addresses are such as no mobile host has. */
function hostlessKind({ ip, length }: Prefix): string | undefined {
  if (length >= 10 && isLinkLocal(ip)) return 'link-local';
  if (length >= 8 && isMulticast(ip)) return 'multicast';
  return length >= 96 && isIpv4Mapped(ip) ? 'IPv4-mapped' : undefined;
}
