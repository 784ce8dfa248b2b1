#include "drop_watch.h"

#include <string_view>

#include "stack.h"

namespace millrace {

void DropWatch::start() {
  before_.clear();
  stack_.for_each_drop_counter([this](std::string_view, std::uint64_t value) { before_.push_back(value); });
}

void DropWatch::frame_done(NetDevice& device) {
  grown_.clear();
  std::size_t index = 0;
  stack_.for_each_drop_counter([&](std::string_view name, std::uint64_t value) {
    std::uint64_t& before = before_[index++];
    if (value == before) return;
    before = value;
    if (!grown_.empty()) grown_ += ", ";
    grown_ += name;
  });
  device.frame_done(grown_);
}

}  // namespace millrace
