#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/object_slabs.h"
#include "tcp/congestion.h"

namespace millrace::tcp {

/// A congestion control by the name that TCP_CONGESTION knows it by.
struct CongestionEntry {
  std::string_view name;
  std::unique_ptr<CongestionControl> (*construct)(ObjectSlabs& slabs, std::uint32_t mss,
                                                  unsigned initial_window_segments, std::uint64_t seed);
  bool needs_ecn = false;  ///< a connection under it asks for ECN, whatever the configuration says

  /// `seed`: what the control decides by chance, it decides by this; another one for each connection.
  [[nodiscard]] std::unique_ptr<CongestionControl> make(ObjectSlabs& slabs, std::uint32_t mss,
                                                        unsigned initial_window_segments,
                                                        std::uint64_t seed = 0) const {
    return construct(slabs, mss, initial_window_segments, seed);
  }
};

/// All there are. The first is the default, as in Linux CUBIC; SocketOption::kCongestion counts in this
/// order.
[[nodiscard]] std::span<const CongestionEntry> congestion_list();
/// The place in the list.
[[nodiscard]] std::optional<std::size_t> find_congestion(std::string_view name);

}  // namespace millrace::tcp
