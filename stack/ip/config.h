#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace millrace::ip {

struct Config {
  std::uint8_t default_ttl = 64;
  std::size_t reassembly_bytes = std::size_t{4} << 20;  ///< storage held by fragments, all datagrams together
  std::size_t reassembly_datagrams = 256;
  Duration reassembly_timeout = 30s;          ///< Linux's; RFC 791 allows it
  std::size_t icmp_errors_per_second = 1000;  ///< token bucket (RFC 1812 §4.3.2.8), burst 50
  Duration path_mtu_timeout = 600s;           ///< RFC 1191 §6.3
  std::uint32_t min_path_mtu = 552;           ///< lower claims are clamped, as Linux does
  std::size_t path_mtu_entries = 4096;
  std::size_t loopback_packets = 1024;  ///< queue of the internal loopback
};

}  // namespace millrace::ip
