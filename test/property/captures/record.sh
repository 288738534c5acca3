#!/bin/sh
# Records roaming.pcap: three hosts with Linux's own stack on a bridge, in namespaces that are gone afterwards. They
# resolve, announce, probe for conflicts, answer, move to another port, and say what QEMU says after a migration.
#
#   sudo test/property/captures/record.sh
set -eu
cd "$(dirname "$0")"
ns=marpd-record-$$
trap 'for host in lan a b c; do ip netns del $ns-$host 2>/dev/null || true; done' EXIT
for host in lan a b c; do ip netns add $ns-$host; done
ip -n $ns-lan link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
ip -n $ns-lan link set br0 up
port=0
for host in a b c; do
  port=$((port + 1))
  ip -n $ns-lan link add p$port type veth peer name eth0 netns $ns-$host
  ip -n $ns-lan link set p$port master br0 up
  ip -n $ns-$host link set eth0 address 02:00:0a:09:09:0$port
  ip netns exec $ns-$host sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.conf.eth0.arp_notify=1
done
ip netns exec $ns-lan tcpdump -q -n -Z root -U -i br0 -w roaming.pcap 'arp or rarp or icmp' 2>/dev/null &
tcpdump=$!
sleep 1
for port in 1:a 2:b 3:c; do
  ip -n $ns-${port#*:} addr add 10.9.9.${port%:*}/24 dev eth0
  ip -n $ns-${port#*:} link set eth0 up
done
sleep 1
from() { host=$1; shift; ip netns exec $ns-$host "$@" >/dev/null 2>&1 || true; }
from a ping -c 2 -i 0.2 10.9.9.2
from b arping -D -c 2 -I eth0 10.9.9.3
from b arping -D -c 2 -I eth0 10.9.9.77
from c arping -U -c 2 -I eth0 10.9.9.3
from c arping -A -c 2 -I eth0 10.9.9.3
from a ping -c 1 -W 1 10.9.9.200
# A host takes another one's address, and answers for it too.
ip -n $ns-c addr add 10.9.9.1/24 dev eth0
from b arping -c 2 -I eth0 10.9.9.1
ip -n $ns-c addr del 10.9.9.1/24 dev eth0
# It moves to the port of another one, and comes back.
ip -n $ns-lan link set p1 down
ip -n $ns-lan link set p1 up
from a arping -U -c 1 -I eth0 10.9.9.1
from b ping -c 1 10.9.9.1
# RFC 903, as QEMU sends it.
ip netns exec $ns-a python3 - <<'PY'
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
mac = bytes.fromhex('02000a090901')
for _ in range(3):
    s.send(b'\xff' * 6 + mac + bytes.fromhex('8035000108000604') + b'\x00\x03' + mac + bytes(4) + mac + bytes(4) + bytes(18))
PY
sleep 1
kill -INT $tcpdump
wait $tcpdump || true
