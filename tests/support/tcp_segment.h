#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wire/tcp.h"
#include "wire/tcp_options.h"

namespace millrace::test {

/// A TCP segment as a test writes it: sequence numbers relative to the ISNs (SYN 0, first byte 1). What is
/// not set is filled in when it is injected, and not compared when it is expected; but SACK blocks and the
/// urgent pointer are always compared.
struct Seg {
  using Flags = wire::TcpFlags;

  std::uint8_t flags = 0;
  std::uint32_t length = 0;
  std::optional<std::uint32_t> at;  ///< SEG.SEQ
  std::optional<std::uint32_t> acknowledges;
  std::optional<std::uint16_t> window;
  std::optional<std::uint16_t> max_segment;
  std::optional<std::uint8_t> scale;
  std::optional<bool> sack_permitted;
  std::optional<wire::TcpOptions::Timestamps> timestamps;
  std::optional<bool> has_timestamps;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks;
  std::optional<wire::TcpOptions::FastOpenCookie> fast_open;
  std::optional<std::uint16_t> user_timeout;  ///< as on the wire
  std::uint16_t urgent = 0;
  std::optional<std::uint8_t> time_to_live;     ///< of the IP header; only compared
  std::optional<std::uint8_t> type_of_service;  ///< ... with the ECN codepoint in its last two bits
  std::optional<bool> dont_fragment;            ///< of the IP header; only compared
  bool push_matters = false;
  bool super = false;  ///< expected as, or injected as, one super-segment

  Seg& seq(std::uint32_t relative) { return at = relative, *this; }
  Seg& ack(std::uint32_t relative) { return acknowledges = relative, flags |= Flags::kAck, *this; }
  Seg& no_ack() {
    return acknowledges.reset(), flags = static_cast<std::uint8_t>(flags & ~Flags::kAck), *this;
  }
  Seg& win(std::uint16_t raw) { return window = raw, *this; }
  Seg& mss(std::uint16_t bytes) { return max_segment = bytes, *this; }
  Seg& wscale(std::uint8_t shift) { return scale = shift, *this; }
  Seg& sack_ok(bool on = true) { return sack_permitted = on, *this; }
  Seg& ts(std::uint32_t value, std::uint32_t echo) {
    return timestamps = wire::TcpOptions::Timestamps{value, echo}, has_timestamps = true, *this;
  }
  /// A Fast Open cookie, or the request for one.
  Seg& cookie(const wire::TcpOptions::FastOpenCookie& value) { return fast_open = value, *this; }
  Seg& cookie_request() { return cookie({}); }
  Seg& uto(std::uint16_t value) { return user_timeout = value, *this; }
  Seg& carries(std::uint32_t bytes) { return length = bytes, *this; }
  Seg& no_ts() { return has_timestamps = false, timestamps.reset(), *this; }
  Seg& with_ts() { return has_timestamps = true, *this; }
  Seg& sack(std::uint32_t left, std::uint32_t right) { return blocks.emplace_back(left, right), *this; }
  Seg& urg(std::uint16_t pointer) { return urgent = pointer, flags |= Flags::kUrg, *this; }
  Seg& ttl(std::uint8_t value) { return time_to_live = value, *this; }
  Seg& df(bool value) { return dont_fragment = value, *this; }
  Seg& tos(std::uint8_t value) { return type_of_service = value, *this; }
  /// RFC 3168 §5: not ECN-capable 0, ECT(0) 2, CE 3.
  Seg& ecn(std::uint8_t codepoint) { return tos(codepoint); }
  Seg& ece() { return set(Flags::kEce); }
  Seg& cwr() { return set(Flags::kCwr); }
  Seg& psh() { return flags |= Flags::kPsh, push_matters = true, *this; }
  Seg& no_psh() { return push_matters = true, *this; }
  Seg& fin() { return flags |= Flags::kFin, *this; }
  Seg& set(std::uint8_t flag) { return flags |= flag, *this; }

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] std::uint32_t sequence_length() const {
    return length + (has(Flags::kSyn) ? 1u : 0u) + (has(Flags::kFin) ? 1u : 0u);
  }
  /// In packetdrill's notation: "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>".
  [[nodiscard]] std::string to_string() const;
};

[[nodiscard]] inline Seg segment(std::uint8_t flags) {
  Seg s;
  s.flags = flags;
  return s;
}
[[nodiscard]] inline Seg syn() {
  return segment(wire::TcpFlags::kSyn).seq(0);
}
[[nodiscard]] inline Seg synack() {
  return segment(wire::TcpFlags::kSyn).seq(0).ack(1);
}
[[nodiscard]] inline Seg ack(std::uint32_t number) {
  return segment(0).ack(number);
}
/// The bytes [from, to).
[[nodiscard]] inline Seg data(std::uint32_t from, std::uint32_t to) {
  Seg s = segment(wire::TcpFlags::kAck).seq(from);
  s.length = to - from;
  return s;
}
[[nodiscard]] inline Seg fin(std::uint32_t at) {
  return segment(wire::TcpFlags::kFin | wire::TcpFlags::kAck).seq(at);
}
[[nodiscard]] inline Seg rst(std::uint32_t at) {
  return segment(wire::TcpFlags::kRst).seq(at);
}

/// The byte at a position of any test stream.
[[nodiscard]] constexpr std::uint8_t pattern_byte(std::uint64_t position) {
  return static_cast<std::uint8_t>((position * 2654435761u) >> 13);
}

}  // namespace millrace::test
