#!/bin/bash
# Installs the build into a directory of its own, builds a server against what was installed, and lets the kernel's nc talk to it
# over a veth between two namespaces. Usage: install_test.sh BUILD_DIR SOURCE_DIR
set -euo pipefail

build=$1
here=$2/tests/install
work=$(mktemp -d)
server_ns=mr-inst-s$$ client_ns=mr-inst-c$$
server=

cleanup() {
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  ip netns del "$server_ns" 2>/dev/null || true
  ip netns del "$client_ns" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
# Test Anything Protocol, of which run.py counts the lines.
pass() { echo "ok - $*"; }
fail() { echo "not ok - $*"; exit 1; }

# --- install, and compile with nothing but what pkg-config says
DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
pc=$(find "$work/root" -name millrace.pc)
[ -n "$pc" ] || fail "no millrace.pc was installed"
prefix=$(sed -n 's/^prefix=//p' "$pc")
flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$work/root$prefix" --cflags --libs millrace)
libdir=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$work/root$prefix" --variable=libdir millrace)
cp "$here/hello_server.c" "$work"
# shellcheck disable=SC2086
cc -std=gnu99 -Wall -Wextra -Werror -o "$work/hello" "$work/hello_server.c" $flags -Wl,-rpath,"$libdir"

pass "a server is built against the installed package"

hidden=$(nm -D --defined-only "$libdir/libmillrace.so" | awk '$2 != "A" && $3 !~ /^mr_/')
[ -z "$hidden" ] || fail "libmillrace.so exports more than mr_*: $hidden"
pass "libmillrace.so exports mr_* alone"

# --- no device: one clear line, and an error status
if MILLRACE_DEV="" "$work/hello" > "$work/out" 2> "$work/err"; then fail "it started without a device"; fi
[ "$(wc -l < "$work/err")" = 1 ] || fail "not one line: $(cat "$work/err")"
grep -q MILLRACE_DEV "$work/err" || fail "the line does not say what to set: $(cat "$work/err")"
pass "it says in one line that it has no device"

# --- a veth; the server's end has no address of the kernel's
ip netns add "$server_ns"
ip netns add "$client_ns"
ip -n "$server_ns" link add veth0 type veth peer name veth0 netns "$client_ns"
ip -n "$server_ns" link set veth0 up
ip -n "$client_ns" address add 198.18.77.2/24 dev veth0
ip -n "$client_ns" link set veth0 up

for signal in TERM INT; do
  : > "$work/out" # of the one before; the next one opens it some time later
  MILLRACE_DEV=af_packet:veth0 MILLRACE_ADDR=198.18.77.1/24 \
    ip netns exec "$server_ns" "$work/hello" > "$work/out" 2> "$work/err" &
  server=$!
  for _ in $(seq 100); do
    grep -q ready "$work/out" && break
    sleep 0.05
  done
  grep -q ready "$work/out" || fail "the server did not start: $(cat "$work/err")"
  for _ in 1 2 3; do
    said=$(timeout 10 ip netns exec "$client_ns" nc -w 5 198.18.77.1 7777 < /dev/null) || fail "nc: status $?"
    [ "$said" = "Hello there!" ] || fail "nc heard \"$said\""
  done
  sleep 0.1
  kill "-$signal" "$server"
  status=0
  timeout 10 tail --pid="$server" -f /dev/null || fail "it did not stop on SIG$signal"
  wait "$server" || status=$?
  server=
  [ "$status" = 0 ] || fail "status $status after SIG$signal: $(cat "$work/err")"
  grep -q stopped "$work/out" || fail "it did not stop cleanly on SIG$signal"
  pass "it greets, and ends cleanly on SIG$signal"
done
