#include "tcp/settings.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/near_miss.h"
#include "tcp/congestion_list.h"

namespace millrace::tcp {

namespace {

constexpr std::string_view kSpace = " \t,";

std::string names_of_congestion() {
  std::string names;
  for (const CongestionEntry& entry : congestion_list())
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

/// Decimal, or hexadecimal behind 0x; true and false are 1 and 0.
std::optional<std::int64_t> number_of(std::string_view text) {
  if (text == "true") return 1;
  if (text == "false") return 0;
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::optional<Setting::Numbers> numbers_of(std::string_view text, const Setting& setting) {
  Setting::Numbers numbers{};
  std::size_t count = 0;
  while (true) {
    const std::size_t start = text.find_first_not_of(kSpace);
    if (start == std::string_view::npos) break;
    text.remove_prefix(start);
    const std::size_t end = std::min(text.find_first_of(kSpace), text.size());
    const std::optional<std::int64_t> number = number_of(text.substr(0, end));
    if (!number || *number < setting.low || *number > setting.high || count == setting.count)
      return std::nullopt;
    numbers[count++] = *number;
    text.remove_prefix(end);
  }
  if (count != setting.count) return std::nullopt;
  const auto last = numbers.begin() + setting.count - 1;
  if (std::any_of(numbers.begin(), last, [last](std::int64_t one) { return one > *last; }))
    return std::nullopt;
  return numbers;
}

std::string must_be(const Setting& setting) {
  if (setting.congestion) return "must be one of " + range_of(setting);
  if (setting.count == 1) return "must be a number from " + range_of(setting);
  return "must be " + std::to_string(setting.count) + " numbers from " + range_of(setting) +
         ", the last one the largest";
}

/// Empty: nothing comes near.
std::string_view meant_by(std::string_view name) {
  for (const std::string_view prefix : {"net.ipv4.", "net.core.", "tcp_"}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  const std::span<const Setting> all = settings();
  const auto nearest = std::min_element(all.begin(), all.end(), [name](const Setting& a, const Setting& b) {
    return typing_mistakes(name, a.name) < typing_mistakes(name, b.name);
  });
  if (typing_mistakes(name, nearest->name) <= kMostTypingMistakes) return nearest->name;
  const auto longer =
      std::find_if(all.begin(), all.end(), [name](const Setting& one) { return one.name.starts_with(name); });
  return !name.empty() && longer != all.end() ? longer->name : std::string_view{};
}

}  // namespace

std::string value_of(const Setting& setting, const Config& config) {
  const Setting::Numbers numbers = setting.get(config);
  if (setting.congestion) return std::string(congestion_list()[static_cast<std::size_t>(numbers[0])].name);
  std::string text;
  for (std::size_t i = 0; i < setting.count; ++i)
    text += (text.empty() ? "" : " ") + std::to_string(numbers[i]);
  return text;
}

std::string range_of(const Setting& setting) {
  if (setting.congestion) return names_of_congestion();
  return std::to_string(setting.low) + " to " + std::to_string(setting.high);
}

std::string apply_setting(std::string_view entry, Config& config) {
  const std::size_t equals = entry.find('=');
  if (equals == std::string_view::npos) return "is not NAME=VALUE";
  const std::string_view name = entry.substr(0, equals), value = entry.substr(equals + 1);
  const std::span<const Setting> all = settings();
  const auto setting =
      std::find_if(all.begin(), all.end(), [name](const Setting& one) { return one.name == name; });
  if (setting == all.end()) {
    const std::string_view meant = meant_by(name);
    return "names no TCP setting; " + (meant.empty() ? std::string("`millrace settings` lists them")
                                                     : "did you mean \"" + std::string(meant) + "\"?");
  }
  std::optional<Setting::Numbers> numbers;
  if (!setting->congestion) {
    numbers = numbers_of(value, *setting);
  } else if (const std::optional<std::size_t> place = find_congestion(value)) {
    numbers = Setting::Numbers{static_cast<std::int64_t>(*place)};
  }
  if (!numbers) return must_be(*setting);
  setting->set(config, *numbers);
  return "";
}

std::string apply_settings(std::string_view entries, Config& config) {
  std::string wrong;
  for_each_setting(entries, [&](std::string_view entry) {
    wrong = apply_setting(entry, config);
    if (!wrong.empty()) wrong = "\"" + std::string(entry) + "\" " + wrong;
    return wrong.empty();
  });
  return wrong;
}

}  // namespace millrace::tcp
