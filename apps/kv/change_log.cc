#include <algorithm>
#include <utility>

#include "storage.h"

namespace millrace::kv {

void ChangeLog::changed(std::string_view key) {
  if (!changed_.empty() && changed_.back() == key) return;
  changed_.emplace_back(key);
}

void ChangeLog::cleared() {
  cleared_ = true;
  changed_.clear();
}

std::vector<std::string> ChangeLog::take() {
  cleared_ = false;
  std::vector<std::string> changed = std::exchange(changed_, {});
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  return changed;
}

}  // namespace millrace::kv
