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
  CC='ccache gcc' CXX='ccache g++' meson setup "$build" --buildtype=release -Db_lto=true -Dwerror=false -Dtests=false >/dev/null </dev/null
fi
ninja -C "$build" </dev/null | grep -v '^ninja: no work' || [[ ${PIPESTATUS[0]} -eq 0 ]]
exec python3 bench/compare/run.py "$build" --json "$build/comparison.json" --plots "$build/plots" "$@"
