import { networkOf, type Ip, type Prefix } from '../../../src/wire/addresses.js';

/** Characters of an IPv6 address as a value; a number has less. */
const IPV6_CHARACTERS = 16;

/** A prefix as the key of a map. */
export function keyOf({ ip, length }: Prefix): string {
  return `${String(networkOf(ip, length))}/${length}`;
}

export function prefixOf(key: string): Prefix {
  const slash = key.lastIndexOf('/');
  const ip = key.slice(0, slash);
  return {
    ip: (ip.length === IPV6_CHARACTERS ? ip : Number(ip)) as Ip,
    length: Number(key.slice(slash + 1)),
  };
}
