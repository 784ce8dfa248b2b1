#include "aftermath.h"

#include <time.h>

#include <algorithm>
#include <vector>

#include "posix/clock.h"
#include "tcp/live_table.h"
#include "tcp/tcp.h"

namespace millrace::command {

namespace {

/// When resets go out again: the first of a neighbour may wait for its address, and one may be lost.
constexpr Duration kRounds[] = {0ms, 30ms, 200ms};
/// How long what still comes is answered by resets.
constexpr Duration kAnswer = 800ms;

std::vector<tcp::LiveEntry*> live(posix::SharedState& state) {
  std::vector<tcp::LiveEntry*> found;
  for (tcp::LiveEntry& entry : state.connections) {
    if (entry.is_used()) found.push_back(&entry);
  }
  return found;
}

void pause_until(Instant end) {
  while (posix::clock_now() < end) {
    const timespec tick = posix::to_timespec(1ms);
    nanosleep(&tick, nullptr);  // the context's own thread receives and answers meanwhile
  }
}

}  // namespace

void reset_what_is_left(const posix::ContextConfig& config, std::vector<std::unique_ptr<NetDevice>> queues,
                        posix::SharedState& state) {
  const std::vector<tcp::LiveEntry*> entries = live(state);
  if (entries.empty()) return;
  posix::ContextGroup group(config, std::move(queues));
  // Each context had its share of the table.
  const std::size_t share = posix::SharedState::kConnections / group.size();
  const Instant began = posix::clock_now();
  for (const Duration round : kRounds) {
    pause_until(began + round);
    std::size_t done = 0;
    for (const tcp::LiveEntry* entry : entries) {
      const auto place = static_cast<std::size_t>(entry - state.connections.data());
      posix::Context& context = group[std::min<std::size_t>(place / share, group.size() - 1)];
      posix::ContextLock guard(context);
      const Instant now = posix::clock_now();
      context.stack().tcp().reset_abandoned(*entry, now);
      if (++done % 32 == 0 || group.size() > 1 || done == entries.size()) context.settle(now);
    }
  }
  pause_until(began + kAnswer);
  for (tcp::LiveEntry* entry : entries) entry->set_used(false);
}

}  // namespace millrace::command
