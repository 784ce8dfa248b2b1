#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tcp/config.h"

namespace millrace::tcp {

/// A value of Config by the name that a user knows it by: Linux's sysctl without "net.ipv4.tcp_" where there
/// is one, with Linux's unit and meaning. The table of them serves every way to set one, and the manual.
struct Setting {
  static constexpr std::size_t kMostNumbers = 3;
  using Numbers = std::array<std::int64_t, kMostNumbers>;

  std::string_view name, unit, meaning;
  std::int64_t low = 0, high = 0;  ///< of each number
  void (*set)(Config& config, const Numbers& numbers) = nullptr;
  Numbers (*get)(const Config& config) = nullptr;
  std::uint8_t count = 1;   ///< how many numbers; the last one is the largest
  bool congestion = false;  ///< a name of congestion_list() stands for the number
};

[[nodiscard]] std::span<const Setting> settings();

/// What it is in `config`, as it would be given.
[[nodiscard]] std::string value_of(const Setting& setting, const Config& config);
/// "0 to 2", "cubic, reno, ..."
[[nodiscard]] std::string range_of(const Setting& setting);

/// Takes over "NAME=VALUE". Returns an empty string, or what is wrong, to follow the quoted entry: "must be
/// ..."; the configuration is then unchanged.
[[nodiscard]] std::string apply_setting(std::string_view entry, Config& config);
/// Takes over entries that are separated by ';', in order; returns an empty string, or a line that quotes the
/// first one that is wrong.
[[nodiscard]] std::string apply_settings(std::string_view entries, Config& config);

/// visit(entry) for each entry between ';' that is not empty, until one returns false.
template <typename Visitor>
void for_each_setting(std::string_view entries, Visitor&& visit) {
  while (!entries.empty()) {
    const std::size_t end = entries.find(';');
    std::string_view one = entries.substr(0, end);
    entries = end == std::string_view::npos ? std::string_view{} : entries.substr(end + 1);
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    if (!one.empty() && !visit(one)) return;
  }
}

}  // namespace millrace::tcp
