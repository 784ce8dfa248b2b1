// Joins the two rooms that do not know each other: libmillrace opens its device with the drivers of this
// build.
#include "open_device.h"
#include "posix/library.h"

namespace {

millrace::posix::OpenedDevice open(std::string_view spec) {
  millrace::drivers::OpenResult opened = millrace::drivers::open_device(spec);
  return {std::move(opened.device), std::move(opened.error)};
}

[[maybe_unused]] const bool kGiven = [] {
  millrace::posix::Library::instance().set_device_opener(&open);
  return true;
}();

}  // namespace
