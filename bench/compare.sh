#!/usr/bin/env bash
# Builds Millrace and compares it with the kernel's TCP on this machine: bench/compare/run.py says how. As root, on Debian
# 12. Options are passed on; --json and --plots are given a place where they are not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=apps/setup.sh
source apps/setup.sh

build="build-compare"
((EUID == 0)) || { echo "bench/compare.sh makes network namespaces: run it as root" >&2; exit 1; }
install_packages "${build_packages[@]}" "${compare_packages[@]}"
if [[ ! -f $build/build.ninja ]]; then
  # Precompiled headers, and no ccache, which would look at each source twice: a fifth less time for what is built once.
  CC=gcc CXX=g++ meson setup "$build" --buildtype=release -Db_lto=true -Db_pch=true -Dwerror=false -Dtests=false >/dev/null </dev/null
fi
targets=(apps/echo/millrace-echo apps/kv/millrace-kv apps/preload/libmillrace-preload.so
         bench/load/millrace-load bench/raw-floor bench/millrace-crowd)
for target in drivers/dpdk/libmillrace-dpdk.so bench/lwip-echo; do # where their libraries are
  if ninja -C "$build" -t query "$target" >/dev/null 2>&1; then targets+=("$target"); fi
done
ninja -C "$build" "${targets[@]}" </dev/null | grep -v '^ninja: no work' || [[ ${PIPESTATUS[0]} -eq 0 ]]

# A quarter of an hour for all of it, as far as the first rounds allow that.
minutes=$((14 - SECONDS / 60))
((minutes <= 10)) || minutes=10
((minutes >= 1)) || minutes=1
exec python3 bench/compare/run.py "$build" --json "$build/comparison.json" --plots "$build/plots" --minutes "$minutes" "$@"
