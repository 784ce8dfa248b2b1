#include <charconv>
#include <string>

#include "shim.h"

namespace millrace::preload {

namespace {

std::string_view next_word(std::string_view& text) {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) return text = {};
  text.remove_prefix(start);
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

/// "198.18.0.0/15:80", "198.18.0.2:80", "127.0.0.0/8", "*:80", "*".
bool parse_target(std::string_view text, Rule& rule) {
  const std::size_t colon = text.rfind(':');
  std::string_view where = text.substr(0, colon);
  if (colon != std::string_view::npos) {
    const std::string_view port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), rule.port);
    if (error != std::errc{} || end != port.data() + port.size() || rule.port == 0) return false;
  }
  std::string prefix(where == "*" ? "0.0.0.0/0" : where);
  if (prefix.find('/') == std::string::npos) prefix += "/32";
  const std::optional<IpPrefix> parsed = IpPrefix::parse(prefix);
  if (!parsed) return false;
  rule.prefix = *parsed;
  return true;
}

bool parse_rule(std::string_view text, Rule& rule) {
  const std::string_view call = next_word(text);
  if (call == "bind") {
    rule.call = Rule::Call::kBind;
  } else if (call == "connect") {
    rule.call = Rule::Call::kConnect;
  } else if (call != "any") {
    return false;
  }
  if (!parse_target(next_word(text), rule)) return false;
  const std::string_view fate = next_word(text);
  if (fate != "stack" && fate != "kernel") return false;
  rule.fate = fate == "stack" ? Fate::kStack : Fate::kKernel;
  return next_word(text).empty();
}

}  // namespace

std::string parse_rules(std::string_view text, std::vector<Rule>& rules) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(";\n"), text.size());
    std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::string_view rest = one;
    if (next_word(rest).empty()) continue;
    Rule rule;
    if (!parse_rule(one, rule)) {
      return "rule \"" + std::string(one) +
             "\" is malformed: expected bind|connect|any ADDRESS[/LENGTH][:PORT] stack|kernel";
    }
    rules.push_back(rule);
  }
  return {};
}

}  // namespace millrace::preload
