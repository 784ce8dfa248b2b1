#include "descriptors.h"

#include <millrace/socket.h>

#include "posix/library.h"

namespace millrace::preload {

constinit Descriptors descriptors;

Descriptors::Shared& Descriptors::shared(int stack_fd) {
  return shared_[stack_fd - MR_FIRST_FD];
}
const Descriptors::Shared& Descriptors::shared(int stack_fd) const {
  return shared_[stack_fd - MR_FIRST_FD];
}

void Descriptors::install(int fd, int stack_fd, bool undecided) {
  Shared& state = shared(stack_fd);
  atomic(state.numbers).store(0, std::memory_order_relaxed);
  atomic(state.undecided).store(undecided, std::memory_order_relaxed);
  atomic(state.twin).store(false, std::memory_order_relaxed);
  if (posix::FdTable::Slot* slot = posix::Library::instance().fds().slot(stack_fd); slot != nullptr)
    slot->known_as.store(fd, std::memory_order_relaxed);
  share(fd, stack_fd);
}

void Descriptors::share(int fd, int stack_fd) {
  atomic(shared(stack_fd).numbers).fetch_add(1, std::memory_order_relaxed);
  const auto number = static_cast<unsigned>(fd);
  unsigned highest = highest_.load(std::memory_order_relaxed);
  while (highest < number && !highest_.compare_exchange_weak(highest, number)) {
  }
  atomic(entries_[number].stack_fd).store(stack_fd, std::memory_order_release);
}

int Descriptors::take(int fd) {
  if (find(fd) == 0) return 0;
  return atomic(entries_[fd].stack_fd).exchange(0, std::memory_order_acq_rel);
}

bool Descriptors::drop(int stack_fd) {
  return atomic(shared(stack_fd).numbers).fetch_sub(1, std::memory_order_acq_rel) == 1;
}

bool Descriptors::decide(int stack_fd) {
  return atomic(shared(stack_fd).undecided).exchange(false, std::memory_order_acq_rel);
}
bool Descriptors::undecided(int stack_fd) const {
  return atomic(shared(stack_fd).undecided).load(std::memory_order_relaxed);
}
bool Descriptors::has_twin(int stack_fd) const {
  return atomic(shared(stack_fd).twin).load(std::memory_order_relaxed);
}
void Descriptors::set_twin(int stack_fd) {
  atomic(shared(stack_fd).twin).store(true, std::memory_order_relaxed);
}

}  // namespace millrace::preload
