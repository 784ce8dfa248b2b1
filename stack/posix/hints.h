#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::posix {

/// An option whose value is kept, and read back, by the socket's descriptor. Either Linux too takes it for a
/// hint (SO_PRIORITY), or this room acts on it where it sends (IPV6_TCLASS).
struct HintOption {
  enum class Kind : std::uint8_t { kAny, kDatagram, kV6, kV6Datagram };
  int level, option;
  int initial;    ///< what a fresh socket reads back
  int low, high;  ///< others: EINVAL
  bool boolean;   ///< any number but 0 means 1
  Kind kind;
  int wrong_kind;  ///< errno on a socket of another kind
};

enum Hint : std::size_t {
  kPriorityHint,
  kMarkHint,
  kIncomingCpuHint,
  kBusyPollHint,
  kMulticastTtlHint,
  kMulticastLoopHint,
  kMulticastAllHint,
  kV6ClassHint,
  kV6HopsHint,
  kV6MulticastHopsHint,
  kV6MulticastLoopHint,
  kV6MtuDiscoverHint,
  kV6DontFragmentHint,
  kHintCount,
};

/// The values of one socket.
class HintValues {
 public:
  HintValues();
  [[nodiscard]] int get(Hint hint) const { return values_[hint]; }
  void set(Hint hint, int value) { values_[hint] = value; }

 private:
  std::array<int, kHintCount> values_{};
};

[[nodiscard]] const HintOption& hint_option(Hint hint);
/// kHintCount: not one of these.
[[nodiscard]] Hint find_hint(int level, int option);

}  // namespace millrace::posix
