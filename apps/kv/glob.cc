#include "glob.h"

#include <cctype>
#include <cstddef>
#include <utility>

namespace millrace::kv {

namespace {

class Matcher {
 public:
  Matcher(std::string_view pattern, bool fold) : pattern_(pattern), fold_(fold) {}

  /// Whether the element at `at` (no star) takes this byte; `at` moves behind the element.
  bool element(std::size_t& at, char c) const {
    switch (pattern_[at]) {
      case '?':
        ++at;
        return true;
      case '[':
        return set(at, c);
      case '\\':
        if (at + 1 < pattern_.size()) ++at;
        break;
      default:
        break;
    }
    return fold(pattern_[at++]) == fold(c);
  }

 private:
  [[nodiscard]] unsigned char fold(char c) const {
    const auto byte = static_cast<unsigned char>(c);
    return fold_ ? static_cast<unsigned char>(std::tolower(byte)) : byte;
  }

  bool set(std::size_t& at, char c) const {
    ++at;
    const bool negated = at < pattern_.size() && pattern_[at] == '^';
    if (negated) ++at;
    bool found = false;
    for (;; ++at) {
      if (at >= pattern_.size()) break;
      if (pattern_[at] == '\\' && at + 1 < pattern_.size()) {
        found |= pattern_[++at] == c;
      } else if (pattern_[at] == ']') {
        ++at;
        break;
      } else if (at + 2 < pattern_.size() && pattern_[at + 1] == '-') {
        unsigned char low = fold(pattern_[at]), high = fold(pattern_[at + 2]);
        if (low > high) std::swap(low, high);
        found |= low <= fold(c) && fold(c) <= high;
        at += 2;
      } else {
        found |= fold(pattern_[at]) == fold(c);
      }
    }
    return found != negated;
  }

  std::string_view pattern_;
  bool fold_;
};

}  // namespace

bool matches(std::string_view pattern, std::string_view text, Case letters) {
  const Matcher matcher(pattern, letters == Case::kIgnored);
  std::size_t p = 0, t = 0;
  // Where the last star was, and how much of the text it has taken: only that can be tried again.
  std::size_t star = std::string_view::npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      taken = t;
      continue;
    }
    std::size_t behind = p;
    if (p < pattern.size() && matcher.element(behind, text[t])) {
      p = behind;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace millrace::kv
