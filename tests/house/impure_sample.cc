// What the pure library must not contain, for the test that looks for it. Never called.
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>

namespace millrace::test {

std::int64_t impure_counter = 1;

std::int64_t impure_clock() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_nsec + std::chrono::steady_clock::now().time_since_epoch().count();
}

std::int64_t impure_files_and_sockets(int file) {
  char byte = 0;
  return read(file, &byte, sizeof byte) + close(file) + socket(AF_INET, SOCK_DGRAM, 0);
}

int impure_thread() {
  pthread_t thread{};
  return pthread_create(
      &thread, nullptr, [](void* argument) { return argument; }, nullptr);
}

}  // namespace millrace::test
