#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::doctor {

/// What an interface does for the kernel, or for us, that software would do otherwise.
struct Offloads {
  bool rx_checksum = false, tx_checksum = false, tso = false, gso = false, gro = false, lro = false;
};

/// Slots of one queue's rings, and how many it may have.
struct Rings {
  std::uint32_t rx = 0, rx_max = 0, tx = 0, tx_max = 0;
};

struct Channels {
  std::uint32_t rx = 0, tx = 0, combined = 0;

  [[nodiscard]] std::uint32_t receiving() const { return rx + combined; }
};

/// Asks an interface's driver, in the network namespace of the thread. Changes nothing.
class Ethtool {
 public:
  explicit Ethtool(std::string_view interface) : interface_(interface) {}

  /// Nullopt: the driver knows no such thing (or there is no such interface).
  [[nodiscard]] std::optional<Offloads> offloads() const;
  [[nodiscard]] std::optional<Rings> rings() const;
  [[nodiscard]] std::optional<Channels> channels() const;
  /// Has a carrier.
  [[nodiscard]] std::optional<bool> carrier() const;
  /// The driver's name; empty when it tells none.
  [[nodiscard]] std::string driver() const;

 private:
  template <class Answer>
  [[nodiscard]] bool ask(std::uint32_t command, Answer& answer) const;
  [[nodiscard]] std::optional<std::uint32_t> value(std::uint32_t command) const;

  std::string interface_;
};

}  // namespace millrace::doctor
