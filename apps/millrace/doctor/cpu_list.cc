#include "doctor/cpu_list.h"

#include <charconv>

namespace millrace::doctor {

std::set<unsigned> parse_cpu_list(std::string_view text) {
  constexpr unsigned kMost = 65536;
  std::set<unsigned> cpus;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(item.size() < text.size() ? item.size() + 1 : text.size());
    const char* const end = item.data() + item.size();
    unsigned first = 0;
    const auto [stop, error] = std::from_chars(item.data(), end, first);
    if (error != std::errc{}) continue;
    unsigned last = first;
    if (stop != end && *stop == '-' && std::from_chars(stop + 1, end, last).ec != std::errc{}) continue;
    for (unsigned cpu = first; cpu <= last && cpu < kMost; ++cpu) cpus.insert(cpu);
  }
  return cpus;
}

std::string format_cpu_list(const std::set<unsigned>& cpus) {
  std::string text;
  for (auto at = cpus.begin(); at != cpus.end();) {
    const unsigned first = *at;
    unsigned last = first;
    for (++at; at != cpus.end() && *at == last + 1; ++at) last = *at;
    if (!text.empty()) text += ',';
    text += std::to_string(first);
    if (last != first) text += '-' + std::to_string(last);
  }
  return text;
}

}  // namespace millrace::doctor
