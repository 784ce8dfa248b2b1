#include "common/process.h"

#include <sys/resource.h>

namespace millrace::apps {

void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

StackRun::StackRun(bool on, const StackSettings& settings) : on_(on) {
  if (on_) start_stack(settings);
}

StackRun::~StackRun() {
  if (on_) stop_stack();
}

}  // namespace millrace::apps
