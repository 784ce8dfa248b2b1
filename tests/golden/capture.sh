#!/bin/bash
# Makes the captures in this directory anew: frames that Linux's own stack sends, in network namespaces of this
# script's own. Needs root, iproute2, tcpdump, ethtool, nftables, ping and python3. See README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
tag=mrg$$
a=$tag-a r=$tag-r b=$tag-b
pids=()

cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for ns in "$a" "$r" "$b"; do ip netns del "$ns" 2>/dev/null || true; done
}
trap cleanup EXIT

in_ns() { local ns=$1; shift; ip netns exec "$ns" "$@"; }
peer() { timeout 20 ip netns exec "$1" python3 "$here/peer.py" "${@:2}"; }

# start_capture FILE FILTER...: what passes a's end of the first link, until stop_capture.
start_capture() {
  : >"$log"
  ip netns exec "$a" tcpdump -q -Z root -U --immediate-mode -i eth -w "$out/$1" "${@:2}" 2>"$log" &
  capture=$!
  pids+=("$capture")
  for _ in $(seq 50); do grep -q 'listening on' "$log" && return; sleep 0.1; done
  echo "tcpdump does not start: $(cat "$log")" >&2
  exit 1
}
stop_capture() {
  sleep 0.3
  kill -INT "$capture"
  wait "$capture" 2>/dev/null || true
}
log=$(mktemp)

# a (198.18.0.1) -- r (198.18.0.254, 198.18.1.254) -- b (198.18.1.2), the second link with an MTU of 1280.
for ns in "$a" "$r" "$b"; do
  ip netns add "$ns"
  in_ns "$ns" sysctl -qw net.ipv6.conf.default.accept_dad=1 net.ipv4.tcp_fastopen=3 net.ipv4.icmp_ratelimit=0
  in_ns "$ns" ip link set lo up
done
in_ns "$r" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip link add eth netns "$a" address 02:00:00:00:00:01 type veth peer name eth netns "$r" address 02:00:00:00:00:02
ip link add far netns "$r" address 02:00:00:00:01:02 type veth peer name eth netns "$b" address 02:00:00:00:01:03
for end in "$a eth" "$r eth" "$r far" "$b eth"; do
  read -r ns dev <<<"$end"
  in_ns "$ns" ethtool -K "$dev" tx off rx off tso off gso off gro off txvlan off rxvlan off >/dev/null 2>&1
done
in_ns "$r" ip link set far mtu 1280 up
in_ns "$b" ip link set eth mtu 1280 up

# Both ends of the first link come up: duplicate address detection, listener reports, router solicitation.
in_ns "$a" ip link set eth up
start_capture ipv6_start.pcap ip6
in_ns "$r" ip link set eth up
in_ns "$a" ip addr add fd00:18::1/64 dev eth
in_ns "$r" ip addr add fd00:18::254/64 dev eth
sleep 6
stop_capture

in_ns "$a" ip addr add 198.18.0.1/24 dev eth
in_ns "$r" ip addr add 198.18.0.254/24 dev eth
in_ns "$r" ip addr add 198.18.1.254/24 dev far
in_ns "$b" ip addr add 198.18.1.2/24 dev eth
in_ns "$r" ip addr add fd00:19::254/64 dev far nodad
in_ns "$b" ip addr add fd00:19::2/64 dev eth nodad
in_ns "$a" ip route add default via 198.18.0.254
in_ns "$b" ip route add default via 198.18.1.254
in_ns "$a" ip -6 route add default via fd00:18::254
in_ns "$b" ip -6 route add default via fd00:19::254

start_capture arp_ping.pcap 'arp or icmp'
in_ns "$a" ping -q -c 2 -i 0.2 -s 40 198.18.0.254 >/dev/null
in_ns "$a" ping -q -c 1 -s 7 198.18.0.254 >/dev/null
in_ns "$a" ping -q -c 1 -R 198.18.0.254 >/dev/null          # record route: IPv4 options
stop_capture

start_capture icmp_errors.pcap icmp or udp
peer "$a" udp-closed 198.18.0.254 7001                       # port unreachable
in_ns "$a" ping -q -c 1 -W 1 -t 1 198.18.1.2 >/dev/null || true       # time exceeded
in_ns "$a" ping -q -c 1 -W 1 -M "do" -s 1400 198.18.1.2 >/dev/null || true  # fragmentation needed
stop_capture

serve() {  # serve NS MODE ADDRESS PORT: in the background, until it has ended
  peer "$@" &
  server=$!
  pids+=("$server")
  for _ in $(seq 50); do
    [ -n "$(in_ns "$1" ss -Hlntu "sport = :$4")" ] && return
    sleep 0.1
  done
}

serve "$r" udp-echo 198.18.0.254 7002
start_capture udp.pcap 'udp'
peer "$a" udp-send 198.18.0.254 7002 13 0 1
wait "$server"
stop_capture

serve "$r" udp-echo 198.18.0.254 7003
start_capture udp_fragments.pcap 'udp or ip[6:2] & 0x3fff != 0'
peer "$a" udp-send 198.18.0.254 7003 4000
wait "$server"
stop_capture

serve "$r" tcp-echo 198.18.0.254 7004
start_capture tcp.pcap 'tcp'
peer "$a" tcp-talk 198.18.0.254 7004
wait "$server"
peer "$a" tcp-refused 198.18.0.254 7005                      # SYN, RST
stop_capture

# One data segment is lost behind the capture: selective acknowledgments.
in_ns "$a" sysctl -qw net.ipv4.tcp_ecn=1
in_ns "$r" sysctl -qw net.ipv4.tcp_ecn=1
in_ns "$r" nft -f - <<'N'
table ip loss {
  chain in {
    type filter hook prerouting priority 0;
    tcp dport 7006 ip length > 1000 numgen inc mod 4 == 1 limit rate 1/minute burst 2 packets drop
  }
}
N
serve "$r" tcp-sink 198.18.0.254 7006
start_capture tcp_sack.pcap 'tcp'
peer "$a" tcp-pour 198.18.0.254 7006
wait "$server"
stop_capture
in_ns "$r" nft delete table ip loss

serve "$r" tcp-fast-open 198.18.0.254 7007
start_capture tcp_fast_open.pcap 'tcp'
peer "$a" tcp-fast-open-twice 198.18.0.254 7007
wait "$server"
stop_capture

in_ns "$a" sysctl -qw net.ipv4.tcp_timestamps=0
serve "$r" tcp-echo 198.18.0.254 7008
start_capture tcp_no_timestamps.pcap 'tcp'
peer "$a" tcp-talk 198.18.0.254 7008
wait "$server"
stop_capture
in_ns "$a" sysctl -qw net.ipv4.tcp_timestamps=1

in_ns "$a" ip -6 neigh flush dev eth
in_ns "$r" ip -6 neigh flush dev eth
serve "$r" tcp-echo fd00:18::254 7009
start_capture ipv6_talk.pcap 'ip6'
in_ns "$a" ping -q -c 2 -i 0.2 -s 40 fd00:18::254 >/dev/null
peer "$a" tcp-talk fd00:18::254 7009
wait "$server"
peer "$a" udp-closed fd00:18::254 7010
stop_capture

serve "$r" udp-echo fd00:18::254 7011
start_capture ipv6_fragments.pcap 'ip6'
peer "$a" udp-send fd00:18::254 7011 4000
wait "$server"
in_ns "$a" ping -q -c 1 -W 1 -t 1 fd00:19::2 >/dev/null || true
in_ns "$a" ping -q -c 1 -W 1 -M "do" -s 1400 fd00:19::2 >/dev/null || true
stop_capture

# A kernel without 802.1Q devices can take part too: the tags are put into frames that it sent.
python3 "$here/tag.py" "$out/arp_ping.pcap" "$out/vlan.pcap"

rm -f "$log"
ls -l "$out"/*.pcap
