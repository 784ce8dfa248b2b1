#include "device_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace millrace::drivers {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_name_character);
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

std::string malformed(std::string_view spec, std::string_view why) {
  return "device " + quoted(spec) + ": " + std::string(why) +
         "; write driver:device or driver(option=value,...):device, as in af_packet:eth0";
}

/// A non-negative decimal number and the unit behind it.
struct Quantity {
  double value = 0;
  std::string_view unit;
};

std::optional<Quantity> parse_quantity(std::string_view text) {
  Quantity quantity;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, quantity.value, std::chars_format::fixed);
  if (code != std::errc{} || !std::isfinite(quantity.value) || std::signbit(quantity.value))
    return std::nullopt;
  quantity.unit = {stop, static_cast<std::size_t>(end - stop)};
  return quantity;
}

/// Where the first of `ends` stands that is not inside quotes; npos: nowhere.
std::size_t find_outside_quotes(std::string_view text, std::string_view ends, std::size_t from = 0) {
  bool quoted = false;
  for (std::size_t at = from; at < text.size(); ++at) {
    if (text[at] == '"') quoted = !quoted;
    if (!quoted && ends.find(text[at]) != std::string_view::npos) return at;
  }
  return std::string_view::npos;
}

std::string_view without_quotes(std::string_view value) {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return value;
  return value.substr(1, value.size() - 2);
}

}  // namespace

std::string parse_options(std::string_view spec, std::string_view text, SpecLayer& layer) {
  while (true) {
    const std::size_t comma = find_outside_quotes(text, ",");
    const std::string_view item = text.substr(0, comma);
    const std::size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals);
    if (equals == std::string_view::npos || !is_name(name) || equals + 1 == item.size()) {
      return malformed(spec, "option " + quoted(item) + " is not name=value");
    }
    for (const auto& option : layer.options) {
      if (option.first == name) return malformed(spec, "option " + quoted(name) + " is given twice");
    }
    layer.options.emplace_back(std::string(name), std::string(without_quotes(item.substr(equals + 1))));
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

std::string parse_spec_layer(std::string_view text, SpecLayer& layer) {
  layer = {};
  std::size_t at = 0;
  while (at < text.size() && is_name_character(text[at])) ++at;
  layer.driver = text.substr(0, at);
  if (layer.driver.empty()) return malformed(text, "the driver's name is missing");
  if (at < text.size() && text[at] == '(') {
    const std::size_t close = find_outside_quotes(text, ")", at);
    if (close == std::string_view::npos) return malformed(text, "the closing \")\" is missing");
    const std::string_view inside = text.substr(at + 1, close - at - 1);
    if (!inside.empty()) {
      if (std::string error = parse_options(text, inside, layer); !error.empty()) return error;
    }
    at = close + 1;
  }
  if (at == text.size()) return malformed(text, "nothing follows " + quoted(layer.driver));
  if (text[at] != ':') return malformed(text, "there should be a \":\" before " + quoted(text.substr(at)));
  layer.rest = text.substr(at + 1);
  if (layer.rest.empty()) return malformed(text, "nothing follows the \":\"");
  return {};
}

bool OptionReader::given(std::string_view name) const {
  return std::any_of(layer_.options.begin(), layer_.options.end(),
                     [name](const auto& option) { return option.first == name; });
}

const std::string* OptionReader::find(std::string_view name) {
  known_.emplace_back(name);
  for (std::size_t i = 0; i < layer_.options.size(); ++i) {
    if (layer_.options[i].first != name) continue;
    used_[i] = true;
    return &layer_.options[i].second;
  }
  return nullptr;
}

void OptionReader::fail(std::string_view name, const std::string& value, std::string_view expected) {
  if (!error_.empty()) return;
  error_ =
      layer_.driver + ": option " + std::string(name) + "=" + value + ": must be " + std::string(expected);
}

void OptionReader::number(std::string_view name, std::uint64_t& value, std::uint64_t min, std::uint64_t max) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  std::uint64_t parsed = 0;
  const char* end = text->data() + text->size();
  const auto [stop, code] = std::from_chars(text->data(), end, parsed);
  if (code != std::errc{} || stop != end || parsed < min || parsed > max) {
    return fail(name, *text, "a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  value = parsed;
}

void OptionReader::flag(std::string_view name, bool& value) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  if (*text == "1" || *text == "on") {
    value = true;
  } else if (*text == "0" || *text == "off") {
    value = false;
  } else {
    fail(name, *text, "on or off");
  }
}

void OptionReader::probability(std::string_view name, double& value) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  const std::optional<Quantity> quantity = parse_quantity(*text);
  const double scale = quantity && quantity->unit == "%" ? 0.01 : 1.0;
  if (!quantity || (!quantity->unit.empty() && quantity->unit != "%") || quantity->value * scale > 1.0) {
    return fail(name, *text, "a probability from 0 to 1, or a percentage such as 5%");
  }
  value = quantity->value * scale;
}

void OptionReader::duration(std::string_view name, Duration& value, Duration max) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  const std::optional<Quantity> quantity = parse_quantity(*text);
  double unit = 0;
  if (quantity) {
    if (quantity->unit == "ns") unit = 1;
    if (quantity->unit == "us") unit = 1e3;
    if (quantity->unit == "ms") unit = 1e6;
    if (quantity->unit == "s") unit = 1e9;
    if (quantity->unit.empty() && quantity->value == 0) unit = 1;
  }
  if (unit == 0 || quantity->value * unit > static_cast<double>(max.count())) {
    return fail(name, *text,
                "a time with its unit (ns, us, ms, s), such as 20ms, of at most " +
                    std::to_string(to_ms(max)) + "ms");
  }
  value = Duration{static_cast<Duration::rep>(std::llround(quantity->value * unit))};
}

void OptionReader::rate(std::string_view name, std::uint64_t& value) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  const std::optional<Quantity> quantity = parse_quantity(*text);
  double unit = 0;
  if (quantity) {
    if (quantity->unit.empty()) unit = 1;
    if (quantity->unit == "k") unit = 1e3;
    if (quantity->unit == "M") unit = 1e6;
    if (quantity->unit == "G") unit = 1e9;
  }
  constexpr double kMax = 1e12;
  if (unit == 0 || quantity->value * unit < 1000 || quantity->value * unit > kMax) {
    return fail(name, *text, "bits a second from 1k to 1000G, such as 10M");
  }
  value = static_cast<std::uint64_t>(std::llround(quantity->value * unit));
}

void OptionReader::text(std::string_view name, std::string& value) {
  if (const std::string* given = find(name); given != nullptr) value = *given;
}

void OptionReader::mac(std::string_view name, MacAddress& value) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  const std::optional<MacAddress> parsed = MacAddress::parse(*text);
  if (!parsed || parsed->is_group() || parsed->is_zero()) {
    return fail(name, *text, "the address of one station, such as 02:00:00:00:00:01");
  }
  value = *parsed;
}

void OptionReader::ipv4_prefix(std::string_view name, std::optional<IpPrefix>& value) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  const std::optional<IpPrefix> parsed = IpPrefix::parse(*text);
  if (!parsed || !parsed->address.is_v4())
    return fail(name, *text, "an IPv4 address with its prefix length, such as 198.18.0.1/24");
  value = parsed;
}

void OptionReader::choice(std::string_view name, const std::vector<std::string_view>& words,
                          std::size_t& value) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  const auto word = std::find(words.begin(), words.end(), *text);
  if (word != words.end()) {
    value = static_cast<std::size_t>(word - words.begin());
    return;
  }
  std::string expected = "one of";
  for (const std::string_view w : words) expected += (expected.size() > 6 ? ", " : " ") + std::string(w);
  fail(name, *text, expected);
}

std::string OptionReader::finish() {
  if (!error_.empty()) return error_;
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (used_[i]) continue;
    std::string list;
    for (const std::string& name : known_) list += (list.empty() ? "" : ", ") + name;
    return layer_.driver + ": unknown option \"" + layer_.options[i].first + "\"; " +
           (list.empty() ? "it takes none" : "it takes " + list);
  }
  return {};
}

}  // namespace millrace::drivers
