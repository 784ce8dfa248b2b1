#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "tcp/congestion.h"
#include "tcp/reno.h"

namespace millrace::tcp {

/// A congestion control by the name that TCP_CONGESTION knows it by.
struct CongestionEntry {
  std::string_view name;
  std::unique_ptr<CongestionControl> (*make)(std::uint32_t mss, unsigned initial_window_segments);
};

template <typename Control>
[[nodiscard]] std::unique_ptr<CongestionControl> make_congestion(std::uint32_t mss,
                                                                 unsigned initial_window_segments) {
  return std::make_unique<Control>(mss, initial_window_segments);
}

/// All there are: another one is another line here. The first is the default; SocketOption::kCongestion
/// counts in this order.
inline constexpr std::array kCongestionList{
    CongestionEntry{"reno", make_congestion<Reno>},
};

[[nodiscard]] constexpr std::optional<std::size_t> find_congestion(std::string_view name) {
  for (std::size_t i = 0; i < kCongestionList.size(); ++i) {
    if (kCongestionList[i].name == name) return i;
  }
  return std::nullopt;
}

}  // namespace millrace::tcp
