// Joins the two rooms that do not know each other: libmillrace opens its device with the drivers of this
// build.
#include "open_device.h"
#include "posix/library.h"
#include "posix/settings.h"
#include "posix/shared_state.h"
#include "posix/system.h"

namespace {

millrace::posix::OpenedDevice open(const millrace::posix::Settings& settings) {
  const millrace::posix::Inheritance inheritance = millrace::posix::read_inheritance();
  millrace::drivers::DeviceOptions options;
  options.shared_file = inheritance.shared_file;
  options.inherited = inheritance.device;
  options.capture = {.file = settings.capture.file,
                     .filter = settings.capture.filter,
                     .snap_length = settings.capture.snap_length,
                     .limit = settings.capture.limit,
                     .inherited = millrace::posix::inherited_capture()};
  millrace::drivers::OpenQueuesResult opened =
      millrace::drivers::open_queues(settings.device, settings.queues, options);
  for (const auto& queue : opened.queues) {
    for (const int fd : queue->descriptors()) millrace::posix::sys::mark_own(fd);
  }
  return {std::move(opened.queues), std::move(opened.error)};
}

[[maybe_unused]] const bool kGiven = [] {
  millrace::posix::Library::instance().set_device_opener(&open);
  return true;
}();

}  // namespace
