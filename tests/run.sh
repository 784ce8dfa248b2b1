#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test; ends with a line "N passed, N failed".
#   tests/run.sh              everything (what .ci/run calls)
#   tests/run.sh --soak       the same with the full counts of the long tests
#   tests/run.sh --fast       one compiler, no sanitizers, no source checks
#   tests/run.sh --suite tcp  only suites of that name (may be repeated); implies --fast
#   tests/run.sh --suite pci  the dpdk: driver on PCI NICs in virtual machines; else only with --soak
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=apps/setup.sh
source apps/setup.sh
packages=("${build_packages[@]}" "${demo_packages[@]}" "${test_packages[@]}")
[[ "$*" == *pci* || "$*" == *--soak* ]] && packages+=("${pci_packages[@]}")
install_packages "${packages[@]}" || {
  echo "0 passed, 1 failed"
  exit 1
}
exec /usr/bin/python3 tests/run.py "$@"
