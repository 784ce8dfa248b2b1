#include "posix/context_group.h"

#include <algorithm>

namespace millrace::posix {

namespace {

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

/// What is each one's share, and who speaks for the whole host.
ContextConfig config_of(const ContextConfig& whole, std::uint32_t index, std::uint32_t count) {
  ContextConfig own = whole;
  own.queue = {index, count};
  own.stack.pool.bytes /= count;
  if (index != 0) own.interface.probe_addresses = own.interface.neighbours.answers = false;
  return own;
}

}  // namespace

ContextGroup::ContextGroup(const ContextConfig& config, std::vector<std::unique_ptr<NetDevice>> devices)
    : id_(next_id()) {
  if (devices.empty()) devices.emplace_back();
  const auto count = static_cast<std::uint32_t>(devices.size());
  for (std::uint32_t index = 0; index < count; ++index) {
    contexts_.push_back(
        std::make_unique<Context>(config_of(config, index, count), std::move(devices[index])));
    contexts_.back()->join(*this);
  }
}

ContextGroup::~ContextGroup() {
  stop_backups();
}

std::uint32_t ContextGroup::home_index() {
  struct Home {
    std::uint64_t group = 0;
    std::uint32_t index = 0;
  };
  thread_local Home home;
  if (home.group != id_) home = {id_, next_home_.fetch_add(1, std::memory_order_relaxed) % size()};
  return home.index;
}

void ContextGroup::before_fork() {
  names_.lock();
  for (const auto& context : contexts_) context->before_fork();
}

void ContextGroup::after_fork_in_parent() {
  for (const auto& context : contexts_) context->after_fork_in_parent();
  names_.unlock();
}

void ContextGroup::after_fork_in_child() {
  for (const auto& context : contexts_) context->after_fork_in_child();
  names_.unlock();
}

bool ContextGroup::claim() {
  return std::all_of(contexts_.begin(), contexts_.end(),
                     [](const std::unique_ptr<Context>& context) { return context->claim(); });
}

void ContextGroup::begin_exit() {
  for (const auto& context : contexts_) context->begin_exit();
}

void ContextGroup::drain() {
  const Duration limit = contexts_.front()->config().drain;
  if (limit <= Duration::zero()) return;
  const Instant deadline = after(clock_now(), limit);
  for (const auto& context : contexts_)
    (void)context->drain(std::max(deadline - clock_now(), Duration::zero()));
}

void ContextGroup::stop_backups() {
  for (const auto& context : contexts_) context->stop_backup();
}

}  // namespace millrace::posix
