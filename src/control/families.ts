import { type Family, type Ip, type Prefix, formatIp, formatPrefix } from '../wire/addresses.js';
import { familyProblem } from '../wire/host-address.js';

/** The fields of a request that name hosts. */
interface HostFields {
  readonly ip?: Ip | readonly Ip[] | undefined;
  readonly prefix?: Prefix | undefined;
}

/** What is wrong with the first address of a family that is not served, with its field in front. */
export function familyRefusal({ ip, prefix }: HostFields, families: readonly Family[]): string | undefined {
  const named: (readonly [field: string, ip: Ip, text: string])[] = [];
  const ips = ip === undefined ? [] : typeof ip === 'object' ? ip : [ip];
  for (const each of ips) named.push(['ip', each, formatIp(each)]);
  if (prefix !== undefined) named.push(['prefix', prefix.ip, formatPrefix(prefix)]);
  for (const [field, address, text] of named) {
    const problem = familyProblem(address, families);
    if (problem !== undefined) return `${field}: ${text}: ${problem}`;
  }
  return undefined;
}
