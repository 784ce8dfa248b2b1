#include "tcp/congestion_list.h"

#include <algorithm>
#include <array>

#include "tcp/reno.h"

namespace millrace::tcp {

namespace {

template <typename Control>
std::unique_ptr<CongestionControl> make(std::uint32_t mss, unsigned initial_window_segments) {
  return std::make_unique<Control>(mss, initial_window_segments);
}

/// Another one is another line.
constexpr std::array<CongestionEntry, 1> kEntries{{
    {"reno", make<Reno>},
}};

}  // namespace

std::span<const CongestionEntry> congestion_list() {
  return kEntries;
}

std::optional<std::size_t> find_congestion(std::string_view name) {
  const auto found = std::find_if(kEntries.begin(), kEntries.end(),
                                  [name](const CongestionEntry& entry) { return entry.name == name; });
  if (found == kEntries.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kEntries.begin());
}

}  // namespace millrace::tcp
