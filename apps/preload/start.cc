// When the library is loaded.
#include "calls.h"
#include "next.h"
#include "posix/shared_state.h"

namespace millrace::preload {

void watch_forks_and_ends();

namespace {

__attribute__((constructor)) void on_load() {
  find_next();
  sys::cancellable_ppoll = next.ppoll;
  watch_forks_and_ends();
  // The launcher's files and device: not for the program to close.
  if (const int capture = posix::inherited_capture(); capture >= 0) sys::mark_own(capture);
  const posix::Inheritance inheritance = posix::read_inheritance();
  if (inheritance.shared_file < 0) return;
  sys::mark_own(inheritance.shared_file);
  for (const int fd : inheritance.device) sys::mark_own(fd);
}

}  // namespace

}  // namespace millrace::preload
