// When the library is loaded.
#include "calls.h"
#include "next.h"

namespace millrace::preload {

void watch_forks();

namespace {

__attribute__((constructor)) void on_load() {
  find_next();
  sys::cancellable_ppoll = next.ppoll;
  watch_forks();
}

}  // namespace

}  // namespace millrace::preload
