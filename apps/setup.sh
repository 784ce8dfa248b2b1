# Sourced by apps/demo.sh and tests/run.sh: the packages each needs, and their installation on Debian 12.
# shellcheck shell=bash disable=SC2034

# What it takes to build the library and the programs.
build_packages=(g++ meson ninja-build ccache pkg-config libsodium-dev libboost-dev libcli11-dev libtomlplusplus-dev
                libc-ares-dev libpcap-dev libxdp-dev libbpf-dev)
# What the demonstration runs besides.
demo_packages=(iproute2 iputils-ping netcat-openbsd)
# What the tests, the benchmarks and the checks of the source need besides.
test_packages=(libgtest-dev libgmock-dev libbenchmark-dev clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14
               # For the dpdk: driver, which is left out without it (163 MB, so not for all builds).
               libdpdk-dev
               # For millrace-kv --store, which is left out without it (45 MB).
               librocksdb-dev
               ethtool git libhiredis-dev python3 python3-grpcio python3-redis shellcheck strace tcpdump
               # Real programs, for tests/programs/.
               apache2-utils bind9-dnsutils curl dnsmasq-base haproxy iperf3 libmemcached-tools memcached mosquitto
               mosquitto-clients nginx redis-server socat sockperf unbound wget wrk)

# What the tests in virtual machines need besides; their kernel is downloaded, never installed.
pci_packages=(qemu-system-x86 busybox-static cpio kmod)

# What the comparison with the kernel needs besides the build.
compare_packages=(iproute2 ethtool procps python3 gnuplot-nox redis-server redis-tools libbenchmark-dev libdpdk-dev
                  # The column of lwIP, which is left out without it.
                  liblwip-dev)

# missing_packages NAME... prints those that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null) == ii* ]] || echo "$name"
  done
}

# install_packages NAME... installs what is missing, and touches the network only then.
install_packages() {
  local missing log
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]} == 0)) && return 0
  if ((EUID != 0)); then
    echo "missing packages: ${missing[*]}; install them, or run this as root" >&2
    return 1
  fi
  echo "installing ${#missing[@]} packages: ${missing[*]}"
  log=$(mktemp)
  if ! { apt-get -q -o DPkg::Lock::Timeout=300 update &&
         DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
           install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "could not install: ${missing[*]}" >&2
    return 1
  fi
  rm -f "$log"
}
