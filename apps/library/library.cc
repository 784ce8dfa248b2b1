// libmillrace: the stack, its posix room and the drivers, which know nothing of each other, put together.

#include "posix/library.h"

#include "open_device.h"

namespace millrace {

namespace {

posix::OpenedDevice open(std::string_view spec) {
  auto [device, error] = drivers::open_device(spec);
  return {std::move(device), std::move(error)};
}

// Before main() and in every program that links the library: mr_init has to find it.
[[maybe_unused]] const bool kRegistered = [] {
  posix::Library::instance().set_device_opener(open);
  return true;
}();

}  // namespace

}  // namespace millrace
