/**
 * IPv6 frames sniffed from real stacks, the tcpdump line above each (`tcpdump -nn -e -v -xx`). Linux 6.18 on a veth pair,
 * and BIRD 2.0.12.
 */

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replace(/\s+/g, ''), 'hex'));
}

// Linux with an address just set (RFC 4862 section 5.4.2, with the nonce of RFC 7527):
// 02:00:0a:01:01:05 > 33:33:ff:00:00:05, ethertype IPv6 (0x86dd), length 86: (hlim 255, next-header ICMPv6 (58) payload length: 32) :: > ff02::1:ff00:5: [icmp6 sum ok] ICMP6, neighbor solicitation, length 32, who has 2001:db8:1::5
export const LINUX_DAD = bytesOf(`
  3333 ff00 0005 0200 0a01 0105 86dd 6000
  0000 0020 3aff 0000 0000 0000 0000 0000
  0000 0000 0000 ff02 0000 0000 0000 0000
  0001 ff00 0005 8700 e01a 0000 0000 2001
  0db8 0001 0000 0000 0000 0000 0005 0e01
  44f2 f15b 2872`);

// Linux resolving its neighbour: the source is that of the packet that waits:
// 02:00:0a:01:01:05 > 33:33:ff:00:00:01, ethertype IPv6 (0x86dd), length 86: (hlim 255, next-header ICMPv6 (58) payload length: 32) 2001:db8:1::5 > ff02::1:ff00:1: [icmp6 sum ok] ICMP6, neighbor solicitation, length 32, who has 2001:db8:1::1
export const LINUX_SOLICITATION = bytesOf(`
  3333 ff00 0001 0200 0a01 0105 86dd 6000
  0000 0020 3aff 2001 0db8 0001 0000 0000
  0000 0000 0005 ff02 0000 0000 0000 0000
  0001 ff00 0001 8700 111e 0000 0000 2001
  0db8 0001 0000 0000 0000 0000 0001 0101
  0200 0a01 0105`);

// Linux answering it, with `forwarding`:
// 02:00:0a:01:01:01 > 02:00:0a:01:01:05, ethertype IPv6 (0x86dd), length 86: (hlim 255, next-header ICMPv6 (58) payload length: 32) 2001:db8:1::1 > 2001:db8:1::5: [icmp6 sum ok] ICMP6, neighbor advertisement, length 32, tgt is 2001:db8:1::1, Flags [router, solicited, override]
export const LINUX_ROUTER_ANSWER = bytesOf(`
  0200 0a01 0105 0200 0a01 0101 86dd 6000
  0000 0020 3aff 2001 0db8 0001 0000 0000
  0000 0000 0001 2001 0db8 0001 0000 0000
  0000 0000 0005 8800 ff6b e000 0000 2001
  0db8 0001 0000 0000 0000 0000 0001 0201
  0200 0a01 0101`);

// Linux verifying a neighbour (RFC 4861 section 7.3.3): from its link-local address, unicast:
// 02:00:0a:01:01:01 > 02:00:0a:01:01:05, ethertype IPv6 (0x86dd), length 86: (hlim 255, next-header ICMPv6 (58) payload length: 32) fe80::1 > 2001:db8:1::5: [icmp6 sum ok] ICMP6, neighbor solicitation, length 32, who has 2001:db8:1::5
export const LINUX_UNREACHABILITY_SOLICITATION = bytesOf(`
  0200 0a01 0105 0200 0a01 0101 86dd 6000
  0000 0020 3aff fe80 0000 0000 0000 0000
  0000 0000 0001 2001 0db8 0001 0000 0000
  0000 0000 0005 8700 10a2 0000 0000 2001
  0db8 0001 0000 0000 0000 0000 0005 0101
  0200 0a01 0101`);

// Linux answering that: it states no MAC:
// 02:00:0a:01:01:05 > 02:00:0a:01:01:01, ethertype IPv6 (0x86dd), length 78: (hlim 255, next-header ICMPv6 (58) payload length: 24) 2001:db8:1::5 > fe80::1: [icmp6 sum ok] ICMP6, neighbor advertisement, length 24, tgt is 2001:db8:1::5, Flags [solicited]
export const LINUX_UNREACHABILITY_ANSWER = bytesOf(`
  0200 0a01 0101 0200 0a01 0105 86dd 6000
  0000 0018 3aff 2001 0db8 0001 0000 0000
  0000 0000 0005 fe80 0000 0000 0000 0000
  0000 0000 0001 8800 ddac 4000 0000 2001
  0db8 0001 0000 0000 0000 0000 0005`);

// Linux with ndisc_notify=1, a second after duplicate address detection:
// 02:00:0a:01:01:05 > 33:33:00:00:00:01, ethertype IPv6 (0x86dd), length 86: (hlim 255, next-header ICMPv6 (58) payload length: 32) 2001:db8:1::5 > ff02::1: [icmp6 sum ok] ICMP6, neighbor advertisement, length 32, tgt is 2001:db8:1::5, Flags [override]
export const LINUX_UNSOLICITED = bytesOf(`
  3333 0000 0001 0200 0a01 0105 86dd 6000
  0000 0020 3aff 2001 0db8 0001 0000 0000
  0000 0000 0005 ff02 0000 0000 0000 0000
  0000 0000 0001 8800 ee1b 2000 0000 2001
  0db8 0001 0000 0000 0000 0000 0005 0201
  0200 0a01 0105`);

// Linux looking for routers:
// 02:00:0a:01:01:05 > 33:33:00:00:00:02, ethertype IPv6 (0x86dd), length 70: (hlim 255, next-header ICMPv6 (58) payload length: 16) fe80::aff:fe01:105 > ff02::2: [icmp6 sum ok] ICMP6, router solicitation, length 16
export const LINUX_ROUTER_SOLICITATION = bytesOf(`
  3333 0000 0002 0200 0a01 0105 86dd 6000
  0000 0010 3aff fe80 0000 0000 0000 0000
  0aff fe01 0105 ff02 0000 0000 0000 0000
  0000 0000 0002 8500 6522 0000 0000 0101
  0200 0a01 0105`);

// Linux joining a group when all its addresses are tentative (RFC 3590):
// 02:00:0a:01:01:05 > 33:33:00:00:00:16, ethertype IPv6 (0x86dd), length 90: (hlim 1, next-header Options (0) payload length: 36) :: > ff02::16: HBH (rtalert: 0x0000) (padn) [icmp6 sum ok] ICMP6, multicast listener report v2, 1 group record(s) [gaddr ff02::1:ff01:105 to_ex, 0 source(s)]
export const LINUX_MLDV2_TENTATIVE = bytesOf(`
  3333 0000 0016 0200 0a01 0105 86dd 6000
  0000 0024 0001 0000 0000 0000 0000 0000
  0000 0000 0000 ff02 0000 0000 0000 0000
  0000 0000 0016 3a00 0502 0000 0100 8f00
  6e84 0000 0001 0400 0000 ff02 0000 0000
  0000 0000 0001 ff01 0105`);

// Linux joining a group again after the first address is usable:
// 02:00:0a:01:01:05 > 33:33:00:00:00:16, ethertype IPv6 (0x86dd), length 110: (hlim 1, next-header Options (0) payload length: 56) fe80::aff:fe01:105 > ff02::16: HBH (rtalert: 0x0000) (padn) [icmp6 sum ok] ICMP6, multicast listener report v2, 2 group record(s) [gaddr ff02::1:ff00:5 to_ex, 0 source(s)] [gaddr ff02::1:ff01:105 to_ex, 0 source(s)]
export const LINUX_MLDV2 = bytesOf(`
  3333 0000 0016 0200 0a01 0105 86dd 6000
  0000 0038 0001 fe80 0000 0000 0000 0000
  0aff fe01 0105 ff02 0000 0000 0000 0000
  0000 0000 0016 3a00 0502 0000 0100 8f00
  63de 0000 0002 0400 0000 ff02 0000 0000
  0000 0000 0001 ff00 0005 0400 0000 ff02
  0000 0000 0000 0000 0001 ff01 0105`);

// Linux leaving the group of an address that was removed:
// 02:00:0a:01:01:05 > 33:33:00:00:00:16, ethertype IPv6 (0x86dd), length 90: (hlim 1, next-header Options (0) payload length: 36) fe80::aff:fe01:105 > ff02::16: HBH (rtalert: 0x0000) (padn) [icmp6 sum ok] ICMP6, multicast listener report v2, 1 group record(s) [gaddr ff02::1:ff00:7 to_in, 0 source(s)]
export const LINUX_MLDV2_LEAVE = bytesOf(`
  3333 0000 0016 0200 0a01 0105 86dd 6000
  0000 0024 0001 fe80 0000 0000 0000 0000
  0aff fe01 0105 ff02 0000 0000 0000 0000
  0000 0000 0016 3a00 0502 0000 0100 8f00
  67fc 0000 0001 0300 0000 ff02 0000 0000
  0000 0000 0001 ff00 0007`);

// Linux with force_mld_version=1:
// 02:00:0a:01:01:05 > 33:33:ff:00:00:06, ethertype IPv6 (0x86dd), length 86: (hlim 1, next-header Options (0) payload length: 32) fe80::aff:fe01:105 > ff02::1:ff00:6: HBH (rtalert: 0x0000) (padn) [icmp6 sum ok] ICMP6, multicast listener reportmax resp delay: 0 addr: ff02::1:ff00:6
export const LINUX_MLDV1 = bytesOf(`
  3333 ff00 0006 0200 0a01 0105 86dd 6000
  0000 0020 0001 fe80 0000 0000 0000 0000
  0aff fe01 0105 ff02 0000 0000 0000 0000
  0001 ff00 0006 3a00 0502 0000 0100 8300
  7810 0000 0000 ff02 0000 0000 0000 0000
  0001 ff00 0006`);

// Linux leaving the group again:
// 02:00:0a:01:01:05 > 33:33:00:00:00:02, ethertype IPv6 (0x86dd), length 86: (hlim 1, next-header Options (0) payload length: 32) fe80::aff:fe01:105 > ff02::2: HBH (rtalert: 0x0000) (padn) [icmp6 sum ok] ICMP6, multicast listener donemax resp delay: 0 addr: ff02::1:ff00:6
export const LINUX_MLDV1_DONE = bytesOf(`
  3333 0000 0002 0200 0a01 0105 86dd 6000
  0000 0020 0001 fe80 0000 0000 0000 0000
  0aff fe01 0105 ff02 0000 0000 0000 0000
  0000 0000 0002 3a00 0502 0000 0100 8400
  7616 0000 0000 ff02 0000 0000 0000 0000
  0001 ff00 0006`);

// ping -6 -c1 2001:db8:1::1:
// 02:00:0a:01:01:05 > 02:00:0a:01:01:01, ethertype IPv6 (0x86dd), length 118: (flowlabel 0x6833f, hlim 64, next-header ICMPv6 (58) payload length: 64) 2001:db8:1::5 > 2001:db8:1::1: [icmp6 sum ok] ICMP6, echo request, id 32518, seq 1
export const LINUX_ECHO_REQUEST = bytesOf(`
  0200 0a01 0101 0200 0a01 0105 86dd 6006
  833f 0040 3a40 2001 0db8 0001 0000 0000
  0000 0000 0005 2001 0db8 0001 0000 0000
  0000 0000 0001 8000 104f 7f06 0001 adbd
  0d6b 0000 0000 18b9 0200 0000 0000 1011
  1213 1415 1617 1819 1a1b 1c1d 1e1f 2021
  2223 2425 2627 2829 2a2b 2c2d 2e2f 3031
  3233 3435 3637`);

// BIRD 2.0.12, protocol radv:
// 02:00:0a:01:01:01 > 33:33:00:00:00:01, ethertype IPv6 (0x86dd), length 102: (flowlabel 0x6c6bc, hlim 255, next-header ICMPv6 (58) payload length: 48) fe80::1 > ff02::1: [icmp6 sum ok] ICMP6, router advertisement, length 48
export const BIRD_ROUTER_ADVERTISEMENT = bytesOf(`
  3333 0000 0001 0200 0a01 0101 86dd 6006
  c6bc 0030 3aff fe80 0000 0000 0000 0000
  0000 0000 0001 ff02 0000 0000 0000 0000
  0000 0000 0001 8600 40c3 4000 000c 0000
  0000 0000 0000 0304 40c0 0001 5180 0000
  3840 0000 0000 2001 0db8 0001 0000 0000
  0000 0000 0000`);
