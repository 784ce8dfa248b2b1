#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace millrace::drivers {

/// A filter in the language of tcpdump(1), for Ethernet frames.
class PacketFilter {
 public:
  PacketFilter();
  PacketFilter(PacketFilter&&) noexcept;
  PacketFilter& operator=(PacketFilter&&) noexcept;
  ~PacketFilter();

  /// Empty, or one line that says what is wrong: with the expression, or that this build has no libpcap.
  [[nodiscard]] std::string compile(const std::string& expression);
  /// `bytes` are the first of a frame of `length`. Without an expression every frame fits.
  [[nodiscard]] bool matches(std::span<const std::uint8_t> bytes, std::uint32_t length) const;

 private:
  struct Program;
  std::unique_ptr<Program> program_;
};

}  // namespace millrace::drivers
