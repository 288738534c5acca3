import { type Prefix, readIpv6 } from './addresses.js';
import { ICMPV6, endOfPacket, locateIcmpv6 } from './icmpv6.js';

const HEADER_BYTES = 16;
const OPTION_PREFIX_INFORMATION = 3;
const PREFIX_INFORMATION_BYTES = 32;
/** The L flag of the option (RFC 4861 section 4.6.2). */
const ON_LINK = 0x80;

/** The prefixes that a router advertisement says are on its link; none when the bytes are no such frame. Never throws. */
export function onLinkPrefixes(bytes: Uint8Array): Prefix[] {
  const at = locateIcmpv6(bytes);
  if (typeof at === 'string' || bytes[at] !== ICMPV6.routerAdvertisement) return [];
  const end = Math.min(endOfPacket(bytes), bytes.length);
  const prefixes: Prefix[] = [];
  for (let option = at + HEADER_BYTES; option + 8 <= end; ) {
    const size = 8 * (bytes[option + 1] as number);
    if (size === 0) return [];
    const isPrefix = bytes[option] === OPTION_PREFIX_INFORMATION && size === PREFIX_INFORMATION_BYTES;
    const length = bytes[option + 2] as number;
    const isOnLink = ((bytes[option + 3] as number) & ON_LINK) !== 0;
    if (isPrefix && isOnLink && length <= 128 && option + size <= end)
      prefixes.push({ ip: readIpv6(bytes, option + 16), length });
    option += size;
  }
  return prefixes;
}
