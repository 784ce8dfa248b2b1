#!/usr/bin/env bash
# Builds Millrace and shows it at work: two network namespaces joined by a veth, millrace-echo on AF_PACKET in one,
# and the kernel's own clients in the other. Run as root on Debian 12. Everything it makes is gone at its end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=apps/setup.sh
source apps/setup.sh

build="build-demo"
rounds=3
seconds=1
stack_ns=millrace-$$-stack
peer_ns=millrace-$$-peer
stack_veth=mr$$s
peer_veth=mr$$p
peer_addr=198.18.0.1
stack_addr=198.18.0.2
kernel_addr=198.18.0.3
scratch=$(mktemp -d)
server_pid=
failures=0

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m' rewind=$'\r\e[K'
else
  bold='' green='' red='' dim='' plain='' rewind=''
fi

title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
# step NAME RESULT FIGURES
step() {
  local mark=${green}ok${plain}
  if [[ $2 != ok ]]; then
    mark=${red}FAILED${plain}
    failures=$((failures + 1))
  fi
  printf '  %-44s %s  %s%s%s\n' "$1" "$mark" "$dim" "$3" "$plain"
}

stop_server() {
  [[ -n $server_pid ]] || return 0
  kill -TERM "$server_pid" 2>/dev/null || true
  local i
  for ((i = 0; i < 80; i++)); do
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=
}

cleanup() {
  local status=$?
  trap - EXIT
  stop_server
  ip netns del "$stack_ns" 2>/dev/null || true
  ip netns del "$peer_ns" 2>/dev/null || true
  rm -rf "$scratch"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# ---- building -----------------------------------------------------------------------------------------------------
progress() {
  local line done=0 shown=-1
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$scratch/build.log"
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    done=$((100 * BASH_REMATCH[1] / BASH_REMATCH[2]))
    if [[ -n $rewind ]]; then
      local bar
      printf -v bar '%*s' $((done * 40 / 100)) ''
      printf '%s  [%-40s] %3d %%  %s of %s' "$rewind" "${bar// /=}" "$done" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    elif ((done / 20 > shown)); then
      shown=$((done / 20))
      printf '  %d of %d\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    fi
  done
  printf '%s' "$rewind"
}

title "Building"
((EUID == 0)) || { echo "apps/demo.sh makes network namespaces: run it as root" >&2; exit 1; }
install_packages "${build_packages[@]}" "${demo_packages[@]}"
started=$SECONDS
if [[ ! -f $build/build.ninja ]]; then
  CC='ccache gcc' CXX='ccache g++' meson setup "$build" --buildtype=release -Db_lto=true -Dwerror=false -Dtests=false -Dbench=false \
    >"$scratch/setup.log" 2>&1 </dev/null || { tail -n 20 "$scratch/setup.log" >&2; exit 1; }
fi
if ! ninja -C "$build" </dev/null 2>&1 | progress; then
  tail -n 40 "$scratch/build.log" >&2
  exit 1
fi
step "$build" ok "$((SECONDS - started)) s"
echo_program=$build/apps/echo/millrace-echo
load_program=$build/bench/load/millrace-load

# ---- two namespaces -----------------------------------------------------------------------------------------------
in_stack() { ip netns exec "$stack_ns" "$@"; }
in_peer() { ip netns exec "$peer_ns" "$@"; }

make_namespaces() {
  ip netns add "$stack_ns"
  ip netns add "$peer_ns"
  ip link add "$stack_veth" netns "$stack_ns" type veth peer name "$peer_veth" netns "$peer_ns"
  local ns
  for ns in "$stack_ns" "$peer_ns"; do
    # shellcheck disable=SC2016 # for the inner shell
    ip netns exec "$ns" sh -c 'for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done
      echo cubic >/proc/sys/net/ipv4/tcp_congestion_control' 2>/dev/null || true
    ip -n "$ns" link set lo up
  done
  # The kernel gets no address on the stack's end: it must not answer in the stack's place.
  ip -n "$stack_ns" link set "$stack_veth" up
  ip -n "$peer_ns" addr add "$peer_addr/24" dev "$peer_veth"
  ip -n "$peer_ns" link set "$peer_veth" up
}

# With two cores or more, server and client get one each, whichever stack is measured.
cores=$(nproc)
server_core=() client_core=()
if ((cores > 1)); then
  server_core=(taskset -c 1)
  client_core=(taskset -c 0)
fi

# start_server stack|kernel [OPTION...]: $server_addr is where it answers.
start_server() {
  local kind=$1 where
  shift
  if [[ $kind == stack ]]; then
    server_addr=$stack_addr
    where=(--dev "af_packet:$stack_veth" --addr "$stack_addr/24")
  else
    server_addr=$kernel_addr
    where=(--kernel --addr "$kernel_addr")
    ip -n "$stack_ns" addr replace "$kernel_addr/24" dev "$stack_veth"
  fi
  : >"$scratch/server.log"
  ip netns exec "$stack_ns" ${server_core[@]+"${server_core[@]}"} "$echo_program" "${where[@]}" --port 7 \
    --discard-port 9 --chargen-port 19 "$@" >"$scratch/server.log" 2>&1 </dev/null &
  server_pid=$!
  local i
  for ((i = 0; i < 50; i++)); do
    grep -q 'serving on' "$scratch/server.log" && return 0
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "the server did not start:" >&2
  cat "$scratch/server.log" >&2
  return 1
}
end_server() {
  stop_server
  ip -n "$stack_ns" addr flush dev "$stack_veth"
}

load() { in_peer ${client_core[@]+"${client_core[@]}"} "$load_program" "$@" --host "$server_addr" --timeout 60; }
# field NAME <"key=value key=value"
field() { sed -n "s/.*\\b$1=\"\\{0,1\\}\\([^ \"]*\\).*/\\1/p"; }

# ---- what it does -------------------------------------------------------------------------------------------------
show_ping() {
  local out result=ok
  out=$(in_peer ping -c 5 -i 0.2 -W 2 "$stack_addr" 2>&1) || result=failed
  step "ping" "$result" "$(sed -n 's/^\(.* received\).*/\1/p; s/^rtt.*= [^/]*\/\([^/]*\).*/, average \1 ms/p' <<<"$out" | tr -d '\n')"
}

show_line() {
  local out result=ok line="Hello, Millrace!"
  out=$(printf '%s\n' "$line" | in_peer nc.openbsd -N -w 5 "$stack_addr" 7 2>&1) || result=failed
  [[ $out == "$line" ]] || result=failed
  step "one line over TCP with nc" "$result" "$out"
}

show_stream() {
  local sent got begun result=ok
  head -c 100M /dev/urandom >"$scratch/random"
  sent=$(sha256sum <"$scratch/random")
  begun=$(date +%s%N)
  got=$(in_peer timeout 60 nc.openbsd -N "$stack_addr" 7 <"$scratch/random" | sha256sum) || result=failed
  begun=$((($(date +%s%N) - begun) / 1000000))
  rm -f "$scratch/random"
  [[ $sent == "$got" ]] || result=failed
  step "100 MiB of random bytes and back with nc" "$result" \
    "$(awk -v ms="$begun" 'BEGIN { printf "%.2f Gb/s each way", 104857600 * 8 / ms / 1e6 }'), SHA-256 ${got:0:16}… $([[ $result == ok ]] && echo 'both ends')"
}

show_many() {
  local out result=ok
  out=$(load many --connections 200 --bytes 500000 2>&1) || result=failed
  step "200 connections at once, 500 kB each" "$result" "$(field gbps <<<"$out") Gb/s each way, $(field wrong <<<"$out") wrong"
}

show_udp() {
  local out result=ok
  out=$(load udp --count 1000 2>&1) || result=failed
  step "1,000 UDP datagrams and back" "$result" "p50 $(field p50_us <<<"$out") µs, $(field lost <<<"$out") lost"
}

# Percent of one core that the server takes in three seconds without traffic.
show_idle() {
  local before after ticks percent
  ticks=$(getconf CLK_TCK)
  sleep 1
  before=$(awk '{ print $14 + $15 }' "/proc/$server_pid/stat")
  sleep 3
  after=$(awk '{ print $14 + $15 }' "/proc/$server_pid/stat")
  percent=$(awk -v a="$after" -v b="$before" -v t="$ticks" 'BEGIN { printf "%.1f", 100 * (a - b) / t / 3 }')
  step "idle server" "$(awk -v p="$percent" 'BEGIN { print (p < 1 ? "ok" : "failed") }')" "$percent % of a core"
}

# ---- figures beside the kernel's ----------------------------------------------------------------------------------
# One round of one server: appends "KIND NAME VALUE" lines.
measure() {
  local kind=$1 out
  start_server "$kind"
  out=$(load rr --seconds "$seconds") && echo "$kind blocking_p50 $(field p50_us <<<"$out")" &&
    echo "$kind blocking_p99 $(field p99_us <<<"$out")"
  out=$(load bulk --direction send --port 9 --seconds "$seconds") && echo "$kind bulk_to $(field gbps <<<"$out")"
  out=$(load bulk --direction receive --port 19 --seconds "$seconds") && echo "$kind bulk_from $(field gbps <<<"$out")"
  end_server
  ((cores > 1)) || return 0
  start_server "$kind" --busy-poll
  out=$(load rr --busy --seconds "$seconds") && echo "$kind busy_p50 $(field p50_us <<<"$out")" &&
    echo "$kind busy_p99 $(field p99_us <<<"$out")"
  end_server
}

# median KIND NAME
median() {
  awk -v kind="$1" -v name="$2" '$1 == kind && $2 == name { print $3 }' "$scratch/figures" | sort -n |
    awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'
}

# compare LABEL NAME UNIT
compare() {
  local ours theirs
  ours=$(median stack "$2")
  theirs=$(median kernel "$2")
  if [[ -z $ours || -z $theirs ]]; then
    step "$1" failed "not measured"
    return
  fi
  printf '  %-40s %9.2f %9.2f %-5s %s%6.2f%s\n' "$1" "$ours" "$theirs" "$3" "$bold" \
    "$(awk -v a="$ours" -v b="$theirs" 'BEGIN { print (b > 0 ? a / b : 0) }')" "$plain"
}

show_figures() {
  local round kind
  : >"$scratch/figures"
  for ((round = 1; round <= rounds; round++)); do
    for kind in stack kernel; do
      [[ -z $rewind ]] || printf '%s  %sround %d of %d: %s%s' "$rewind" "$dim" "$round" "$rounds" "$kind" "$plain"
      # Not in a subshell: it starts and stops the server.
      measure "$kind" >>"$scratch/figures" 2>>"$scratch/errors" || true
      stop_server
    done
  done
  printf '%s' "$rewind"
  printf '  %s%-40s %9s %9s %-5s %6s%s\n' "$dim" "" "millrace" "kernel" "" "ratio" "$plain"
  compare "round trip, 64 B, blocking: p50" blocking_p50 "µs"
  compare "                            p99" blocking_p99 "µs"
  if ((cores > 1)); then
    compare "round trip, 64 B, busy polling: p50" busy_p50 "µs"
    compare "                                p99" busy_p99 "µs"
  fi
  compare "one stream to the server, 128 kB writes" bulk_to "Gb/s"
  compare "one stream from the server" bulk_from "Gb/s"
  [[ ! -s $scratch/errors ]] || sed 's/^/  /' "$scratch/errors" >&2
}

make_namespaces
title "millrace-echo on af_packet:$stack_veth, the kernel's clients at the other end"
start_server stack
show_ping
show_line
show_stream
show_many
show_udp
show_idle
end_server
# A namespace may have only what the machine allows all users.
congestion=$(in_peer cat /proc/sys/net/ipv4/tcp_congestion_control)
title "Beside a kernel echo server on the same veth (medians of $rounds rounds in turn; the kernel's TCP on $congestion)"
show_figures

title "What to try next"
cat <<END
  $echo_program --help
  Serve on an interface of this machine, under an address of its network that nobody uses:
    $echo_program --dev af_packet:eth0 --addr 192.0.2.10/24 --gw 192.0.2.1
  Write a program of your own: README.md, "Your own program".
  Run the tests: tests/run.sh
END
if ((failures > 0)); then
  printf '\n%s%d steps failed%s\n' "$red" "$failures" "$plain"
  exit 1
fi
