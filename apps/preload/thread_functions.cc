// pthread_create(3): a thread that library code of ours starts is of the library, too. DPDK makes several,
// whose sockets and descriptors are neither the stack's nor the program's.
#include <pthread.h>

#include <memory>

#include "calls.h"

namespace millrace::preload {

namespace {

struct Start {
  void* (*routine)(void*);
  void* argument;
};

void* run_inside(void* start) {
  const Inside inside;
  const Start own = *std::unique_ptr<Start>(static_cast<Start*>(start));
  return own.routine(own.argument);
}

}  // namespace

extern "C" {

int millrace_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*routine)(void*),
                            void* argument) asm("pthread_create");
int millrace_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*routine)(void*),
                            void* argument) {
  // The constructors of other libraries may come before ours.
  if (next.pthread_create == nullptr) find_next();
  if (!Shim::inside()) [[likely]]
    return next.pthread_create(thread, attributes, routine, argument);
  auto start = std::make_unique<Start>(Start{routine, argument});
  const int result = next.pthread_create(thread, attributes, &run_inside, start.get());
  if (result == 0) (void)start.release();
  return result;
}

}  // extern "C"

}  // namespace millrace::preload
