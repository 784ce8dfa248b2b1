#!/usr/bin/env bash
# Instructions for one 64-byte request and its answer through two stacks, and for one connect + close: callgrind
# counts, repeatable whatever else the machine does. Usage: bench/instructions.sh BUILD_DIR
set -euo pipefail
build=${1:?usage: bench/instructions.sh BUILD_DIR}
program=$build/bench/stack-instructions
command -v valgrind >/dev/null || { echo "instructions.sh: valgrind is not installed: apt-get install valgrind" >&2; exit 1; }
count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1 |
    awk '/Collected/ {print $4}'
}
row() {  # name workload connections [requests a round]
  local few many
  few=$(count "$2" "$3" 1000)
  many=$(count "$2" "$3" 3000)
  printf '%-46s %8d\n' "$1" $(((many - few) / 2000 / ${4:-1}))
}
printf '%-46s %8s\n' 'both ends together' 'instructions'
row '64 B request and answer, 1 connection' rr 1
row '64 B request and answer, 10000 connections' rr 10000
row 'the same through socket calls, 1 connection' sockets 1
row 'the same through socket calls, 16 connections' sockets 16 16
row 'connect + close' connect 0
