/**
 * Frames sniffed from real stacks, the tcpdump line above each (`tcpdump -nn -e -v -xx`). Linux 6.18 on a veth pair,
 * iputils-arping 20221126, Thomas Habets' arping 2.23, and QEMU 7.2.22 with its own `filter-dump` on an e1000.
 */

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replace(/\s+/g, ''), 'hex'));
}

// Linux resolving its gateway:
// 02:00:0a:01:01:05 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Request who-has 10.1.1.1 tell 10.1.1.5, length 28
export const LINUX_REQUEST = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 0806 0001
  0800 0604 0001 0200 0a01 0105 0a01 0105
  0000 0000 0000 0a01 0101`);

// Linux answering it:
// 02:00:0a:01:01:01 > 02:00:0a:01:01:05, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Reply 10.1.1.1 is-at 02:00:0a:01:01:01, length 28
export const LINUX_REPLY = bytesOf(`
  0200 0a01 0105 0200 0a01 0101 0806 0001
  0800 0604 0002 0200 0a01 0101 0a01 0101
  0200 0a01 0105 0a01 0105`);

// arping -U -c1 -I eth0 10.1.1.5 (iputils; the target MAC is broadcast):
// 02:00:0a:01:01:05 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Request who-has 10.1.1.5 (ff:ff:ff:ff:ff:ff) tell 10.1.1.5, length 28
export const IPUTILS_UNSOLICITED_REQUEST = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 0806 0001
  0800 0604 0001 0200 0a01 0105 0a01 0105
  ffff ffff ffff 0a01 0105`);

// arping -A -c1 -I eth0 10.1.1.5 (iputils):
// 02:00:0a:01:01:05 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Reply 10.1.1.5 is-at 02:00:0a:01:01:05, length 28
export const IPUTILS_UNSOLICITED_REPLY = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 0806 0001
  0800 0604 0002 0200 0a01 0105 0a01 0105
  0200 0a01 0105 0a01 0105`);

// arping -D -c1 -I eth0 10.1.1.77 (iputils; RFC 5227 section 2.1.1 wants the target MAC zero, it sends broadcast):
// 02:00:0a:01:01:05 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Request who-has 10.1.1.77 (ff:ff:ff:ff:ff:ff) tell 0.0.0.0, length 28
export const IPUTILS_PROBE = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 0806 0001
  0800 0604 0001 0200 0a01 0105 0000 0000
  ffff ffff ffff 0a01 014d`);

// Linux with arp_notify=1 after `ip link set eth0 up`, which is the ARP announcement of RFC 5227 section 2.3:
// 02:00:0a:01:01:05 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Request who-has 10.1.1.5 tell 10.1.1.5, length 28
export const LINUX_ANNOUNCEMENT = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 0806 0001
  0800 0604 0001 0200 0a01 0105 0a01 0105
  0000 0000 0000 0a01 0105`);

// arping -U -c1 -i eth0 10.1.1.5 (Habets; pads to 58 bytes):
// 02:00:0a:01:01:05 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 58: Ethernet (len 6), IPv4 (len 4), Request who-has 10.1.1.5 (ff:ff:ff:ff:ff:ff) tell 10.1.1.5, length 44
export const HABETS_UNSOLICITED_REQUEST = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 0806 0001
  0800 0604 0001 0200 0a01 0105 0a01 0105
  ffff ffff ffff 0a01 0105 0000 0000 0000
  0000 0000 0000 0000 0000`);

// arping -P -U -c1 -i eth0 10.1.1.5 (Habets; a reply whose target MAC is broadcast):
// 02:00:0a:01:01:05 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 58: Ethernet (len 6), IPv4 (len 4), Reply 10.1.1.5 is-at 02:00:0a:01:01:05, length 44
export const HABETS_UNSOLICITED_REPLY = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 0806 0001
  0800 0604 0002 0200 0a01 0105 0a01 0105
  ffff ffff ffff 0a01 0105 0000 0000 0000
  0000 0000 0000 0000 0000`);

// QEMU monitor command `announce_self`, the same code that runs after a live migration:
// 52:54:00:12:34:56 > ff:ff:ff:ff:ff:ff, ethertype Reverse ARP (0x8035), length 60: Ethernet (len 6), IPv4 (len 4), Reverse Request who-is 52:54:00:12:34:56 tell 52:54:00:12:34:56, length 46
export const QEMU_RARP = bytesOf(`
  ffff ffff ffff 5254 0012 3456 8035 0001
  0800 0604 0003 5254 0012 3456 0000 0000
  5254 0012 3456 0000 0000 0000 0000 0000
  0000 0000 0000 0000 0000 0000`);

/** The same announcement with an IEEE 802.1Q tag for VLAN 7, written by hand (this kernel has no VLAN devices). */
export const TAGGED_ANNOUNCEMENT = bytesOf(`
  ffff ffff ffff 0200 0a01 0105 8100 0007
  0806 0001 0800 0604 0001 0200 0a01 0105
  0a01 0105 0000 0000 0000 0a01 0105`);

export const ARP_FRAMES = {
  LINUX_REQUEST,
  LINUX_REPLY,
  IPUTILS_UNSOLICITED_REQUEST,
  IPUTILS_UNSOLICITED_REPLY,
  IPUTILS_PROBE,
  LINUX_ANNOUNCEMENT,
  HABETS_UNSOLICITED_REQUEST,
  HABETS_UNSOLICITED_REPLY,
} as const;
