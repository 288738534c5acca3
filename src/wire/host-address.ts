import {
  type Ipv4,
  type Mac,
  type Prefix,
  isGroupMac,
  isIpv4,
  isLoopback,
  isMulticast,
  isReserved,
  isUnspecified,
  parseIp,
  parseMac,
  parsePrefix,
} from './addresses.js';

/** Addresses of hosts as people and programs write them: read alike by the configuration, the API and marpctl. */

/** Said wherever an IPv6 host address or prefix is given, as long as there is no driver for neighbour discovery. */
export const IPV6_UNSUPPORTED = 'IPv6 is not supported yet: marpd serves IPv4 hosts only';

/** A value, or a sentence that says what is wrong with the text. */
export type Reading<T> = { readonly value: T } | { readonly problem: string };

export function readIp(text: string): Reading<Ipv4> {
  const ip = parseIp(text);
  if (ip === undefined) return { problem: `${JSON.stringify(text)} is not an IP address` };
  return isIpv4(ip) ? { value: ip } : { problem: `${text}: ${IPV6_UNSUPPORTED}` };
}

/** An address that one host can have. */
export function readHostIp(text: string): Reading<Ipv4> {
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
          : undefined;
  return kind === undefined ? reading : { problem: `${text} is ${kind}, which no host can have` };
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
    return { problem: `${JSON.stringify(text)} is not a prefix (example: 10.1.1.0/24)` };
  }
  return isIpv4(prefix.ip) ? { value: prefix } : { problem: `${text}: ${IPV6_UNSUPPORTED}` };
}
