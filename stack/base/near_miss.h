#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace millrace {

/// How many letters to change, add or drop lead from one word to the other: for "did you mean ...?".
[[nodiscard]] inline std::size_t typing_mistakes(std::string_view wrong, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t i = 0; i <= right.size(); ++i) row[i] = i;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t change = diagonal + (wrong[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

/// So many at most are taken for a slip.
inline constexpr std::size_t kMostTypingMistakes = 2;

}  // namespace millrace
