/**
 * Numbers of routing protocols in the kernel's routes: include/uapi/linux/rtnetlink.h, and from 186 on those of FRR
 * (zebra/rt_netlink.h), which names its static routes apart from the administrator's.
 */
export const ROUTE_PROTOCOLS: Readonly<Record<string, number>> = {
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  gated: 8,
  ra: 9,
  mrt: 10,
  zebra: 11,
  bird: 12,
  dnrouted: 13,
  xorp: 14,
  ntk: 15,
  dhcp: 16,
  mrouted: 17,
  keepalived: 18,
  babel: 42,
  openr: 99,
  bgp: 186,
  isis: 187,
  ospf: 188,
  rip: 189,
  ripng: 190,
  nhrp: 191,
  eigrp: 192,
  ldp: 193,
  sharp: 194,
  pbr: 195,
  zstatic: 196,
  openfabric: 197,
  srte: 198,
};

/** The protocols whose host routes are other routers' claims, unless the configuration says otherwise. */
export const REMOTE_PROTOCOLS = ['zebra', 'bird', 'babel', 'bgp', 'isis', 'ospf', 'rip', 'eigrp'] as const;

const NAMES = new Map(Object.entries(ROUTE_PROTOCOLS).map(([name, number]) => [number, name]));

/** `protocol 196 (zstatic)`: FRR's staticd; a number without a name stands alone. */
export function formatProtocol(number: number): string {
  const name = NAMES.get(number);
  return name === undefined ? `protocol ${number}` : `protocol ${number} (${name})`;
}
