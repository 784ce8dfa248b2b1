#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"
#include "base/seq.h"

namespace millrace::wire {

/// One received block [left, right) above the cumulative acknowledgment (RFC 2018).
struct SackBlock {
  SeqNum left;
  SeqNum right;
  friend bool operator==(const SackBlock&, const SackBlock&) = default;
};

/// The options of one TCP segment. Which of them mean something in which segment is for the connection to
/// judge.
struct TcpOptions {
  static constexpr std::size_t kMaxSize = 40;
  static constexpr std::size_t kMaxSackBlocks = 4;
  /// What a segment in the middle of a connection with timestamps carries: NOP NOP TS.
  static constexpr std::size_t kTimestampsOnlySize = 12;

  /// TSval and TSecr (RFC 7323 §3).
  struct Timestamps {
    std::uint32_t value = 0;
    std::uint32_t echo = 0;
    friend bool operator==(const Timestamps&, const Timestamps&) = default;
  };
  /// TCP Fast Open (RFC 7413 §4.1.1): empty asks for a cookie, else 4 to 16 bytes of it.
  struct FastOpenCookie {
    std::array<std::uint8_t, 16> storage{};
    std::uint8_t length = 0;
    [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {storage.data(), length}; }
    friend bool operator==(const FastOpenCookie&, const FastOpenCookie&) = default;
  };

  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> window_scale;  ///< as sent: above 14 counts as 14 (RFC 7323 §2.3)
  bool sack_permitted = false;
  std::optional<Timestamps> timestamps;
  std::array<SackBlock, kMaxSackBlocks> sack{};
  std::uint8_t sack_count = 0;
  std::optional<std::uint16_t> user_timeout;  ///< granularity bit and value (RFC 5482 §3)
  std::optional<FastOpenCookie> fast_open;
  /// An option's length ran out of the header or was below 2: parsing stopped there, what came before stands.
  bool malformed = false;

  /// Never fails: unknown kinds, and known ones of a wrong length, are skipped (RFC 9293 §3.2, MUST-6,
  /// MUST-7).
  [[nodiscard]] static TcpOptions parse(std::span<const std::uint8_t> bytes) {
    TcpOptions options;
    options.read(bytes);
    return options;
  }
  /// The same, into options of which none is set yet.
  void read(std::span<const std::uint8_t> bytes) {
    if (bytes.size() == kTimestampsOnlySize && load_be32(bytes.data()) == kAlignedTimestamps) {
      timestamps = Timestamps{load_be32(&bytes[4]), load_be32(&bytes[8])};
    } else {
      read_each(bytes);
    }
  }
  /// Of what emit() writes: a multiple of 4, at most 40. SACK blocks that find no room are left out; the rest
  /// always has room as far as it makes sense together (a SYN's options, with a cookie of at most 14 bytes
  /// beside all others).
  [[nodiscard]] std::size_t size() const;
  /// The order of a SYN's options, by which a peer may be told from another: no two of them mean different
  /// things.
  enum class Order : std::uint8_t {
    kLinux,  ///< MSS, SACK permitted, timestamps, window scale
    kBsd,  ///< MSS, window scale, SACK permitted, timestamps; where the last are not there, filled at the end
  };
  /// Writes size() bytes and returns their number.
  std::size_t emit(std::span<std::uint8_t> out, Order order = Order::kLinux) const;

  /// What emit() writes when nothing but timestamps is set: kTimestampsOnlySize bytes.
  static void emit_timestamps(std::uint8_t* out, const Timestamps& timestamps) {
    store_be32(out, kAlignedTimestamps);
    store_be32(out + 4, timestamps.value);
    store_be32(out + 8, timestamps.echo);
  }

  /// `sack` counts up to sack_count.
  friend bool operator==(const TcpOptions& a, const TcpOptions& b);

 private:
  static constexpr std::uint32_t kAlignedTimestamps = 0x0101080a;

  void read_each(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t size_without_sack() const;
  [[nodiscard]] std::size_t sack_blocks_that_fit(std::size_t used) const;
};

}  // namespace millrace::wire
