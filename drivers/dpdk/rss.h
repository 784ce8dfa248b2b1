#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "link/rss_hash.h"

namespace millrace::drivers::dpdk {

/// Receive side scaling of a port with several queues: asks for it where the device has it, and knows what
/// the device then does. Used on the EAL's thread, but for hash().
///
/// The key repeats 16 bits. So both directions of a flow have one hash, in whichever order a device takes
/// addresses and ports.
class Rss {
 public:
  /// Before the port is configured. Nothing, where the device cannot hash TCP and UDP over IPv4 by their
  /// ports.
  void ask(const rte_eth_dev_info& info, rte_eth_conf& conf);
  /// Each time the port has started: fills the redirection table in, and at the first time reads back what
  /// the device has made of all that.
  void apply(std::uint16_t port, const rte_eth_dev_info& info, std::uint16_t queues);
  /// Null: the device sends flows where it likes. Does not change once the port has been started.
  [[nodiscard]] const link::RssHash* hash() const { return hash_ ? &*hash_ : nullptr; }

 private:
  [[nodiscard]] bool read_key(std::uint16_t port);

  std::vector<std::uint8_t> key_;  ///< empty: not asked for
  bool applied_ = false;
  std::optional<link::RssHash> hash_;
};

}  // namespace millrace::drivers::dpdk
