// Joins the two rooms that do not know each other: libmillrace opens its device with the drivers of this
// build.
#include "open_device.h"
#include "posix/library.h"
#include "posix/shared_state.h"

namespace {

millrace::posix::OpenedDevice open(std::string_view spec) {
  const millrace::posix::Inheritance inheritance = millrace::posix::read_inheritance();
  millrace::drivers::DeviceOptions options;
  options.shared_file = inheritance.shared_file;
  options.inherited.assign(inheritance.device.begin(), inheritance.device.begin() + inheritance.device_count);
  millrace::drivers::OpenResult opened = millrace::drivers::open_device(spec, options);
  return {std::move(opened.device), std::move(opened.error)};
}

[[maybe_unused]] const bool kGiven = [] {
  millrace::posix::Library::instance().set_device_opener(&open);
  return true;
}();

}  // namespace
