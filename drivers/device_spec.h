#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/time.h"

namespace millrace::drivers {

/// The outermost layer of a device spec, and what follows its colon:
///
///     fault(loss=0.01,seed=7):af_packet:veth1
///     driver options          rest
///
/// A value in double quotes may hold commas, spaces and parentheses.
/// `rest` is the device's name or, for a decorator, the spec of the device below.
struct SpecLayer {
  std::string driver;
  std::vector<std::pair<std::string, std::string>> options;
  std::string rest;
};

/// Splits off the outermost layer. Returns an empty string, or one line that says what is wrong.
[[nodiscard]] std::string parse_spec_layer(std::string_view text, SpecLayer& layer);
/// Appends options ("loss=0.01,seed=7", of the device `spec`) to a layer's. Returns the same.
[[nodiscard]] std::string parse_options(std::string_view spec, std::string_view text, SpecLayer& layer);

/// Reads a layer's options by name and type. Each call looks for one option and leaves `value` alone when it
/// is not there. The first error is kept; finish() returns it, or complains about options nobody asked for.
class OptionReader {
 public:
  explicit OptionReader(const SpecLayer& layer) : layer_(layer), used_(layer.options.size(), false) {}

  void number(std::string_view name, std::uint64_t& value, std::uint64_t min, std::uint64_t max);
  /// "0" or "1", "off" or "on".
  void flag(std::string_view name, bool& value);
  /// "0.01" or "1%".
  void probability(std::string_view name, double& value);
  /// "50us": a number and ns, us, ms or s.
  void duration(std::string_view name, Duration& value, Duration max);
  /// Bits a second: "10M", with k, M or G as factors of 1000.
  void rate(std::string_view name, std::uint64_t& value);
  void mac(std::string_view name, MacAddress& value);
  void text(std::string_view name, std::string& value);
  /// "198.18.0.1/24"
  void ipv4_prefix(std::string_view name, std::optional<IpPrefix>& value);
  /// One of a few words; the index of the word that was given.
  void choice(std::string_view name, const std::vector<std::string_view>& words, std::size_t& value);

  /// True when the option was in the spec (asked for before or not).
  [[nodiscard]] bool given(std::string_view name) const;
  /// Empty when all is well.
  [[nodiscard]] std::string finish();

 private:
  [[nodiscard]] const std::string* find(std::string_view name);
  void fail(std::string_view name, const std::string& value, std::string_view expected);

  const SpecLayer& layer_;
  std::vector<bool> used_;
  std::vector<std::string> known_;
  std::string error_;
};

}  // namespace millrace::drivers
