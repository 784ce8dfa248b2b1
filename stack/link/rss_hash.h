#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace::link {

/// How a NIC picks one of its receive queues for a frame of TCP or UDP over IPv4 (receive side scaling): the
/// Toeplitz hash of the two addresses and ports, and a table from the hash to queues. With the device's own
/// key and table it tells where the frames of a flow will come in.
///
/// Addresses are in host byte order; source and destination are those of received frames.
class RssHash {
 public:
  /// Of a key, the bytes that matter here: 32 bits for each of the input's, moved by one.
  static constexpr std::size_t kKeyBytes = 16;

  /// Any key, of which what lies behind kKeyBytes stands for longer inputs; a shorter one is filled up with
  /// zeros. `table`: the redirection table, not empty, of queues' numbers.
  RssHash(std::span<const std::uint8_t> key, std::vector<std::uint16_t> table);

  [[nodiscard]] std::uint32_t hash(std::uint32_t source, std::uint16_t source_port, std::uint32_t destination,
                                   std::uint16_t destination_port) const;
  [[nodiscard]] std::uint32_t queue(std::uint32_t source, std::uint16_t source_port,
                                    std::uint32_t destination, std::uint16_t destination_port) const {
    return table_[hash(source, source_port, destination, destination_port) % table_.size()];
  }

 private:
  static constexpr std::size_t kInputBytes = 12, kNibbles = 2 * kInputBytes;

  /// What each value of each four bits of the input adds to the hash: 1.5 KB, which stay in the cache.
  std::array<std::array<std::uint32_t, 16>, kNibbles> parts_{};
  std::vector<std::uint16_t> table_;
};

}  // namespace millrace::link
