#include "tcp/congestion_list.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "tcp/bbr.h"
#include "tcp/cubic.h"
#include "tcp/dctcp.h"
#include "tcp/reno.h"

namespace millrace::tcp {

namespace {

template <typename Control>
struct InSlabs final : Control, LivesBrisklyInSlabs {
  using Control::Control;
};

template <typename Control>
std::unique_ptr<CongestionControl> make(ObjectSlabs& slabs, std::uint32_t mss,
                                        unsigned initial_window_segments, std::uint64_t seed) {
  if constexpr (std::is_constructible_v<Control, std::uint32_t, unsigned, std::uint64_t>) {
    return std::unique_ptr<CongestionControl>(new (slabs)
                                                  InSlabs<Control>(mss, initial_window_segments, seed));
  } else {
    return std::unique_ptr<CongestionControl>(new (slabs) InSlabs<Control>(mss, initial_window_segments));
  }
}

/// Another one is another line.
constexpr std::array<CongestionEntry, 4> kEntries{{
    {"cubic", make<Cubic>},
    {"reno", make<Reno>},
    {"bbr", make<Bbr>},
    {"dctcp", make<Dctcp>, true},
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
