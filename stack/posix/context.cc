#include "posix/context.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cassert>
#include <system_error>
#include <utility>

#include "base/sanitizer.h"
#include "posix/file.h"
#include "posix/futex.h"
#include "posix/signals.h"
#include "posix/socket_file.h"
#include "tcp/connection.h"

namespace millrace::posix {

namespace {

Rng::Seed system_seed() {
  Rng::Seed seed{};
  std::size_t filled = 0;
  while (filled < seed.size()) {
    const ssize_t got = getrandom(seed.data() + filled, seed.size() - filled, 0);
    if (got < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "getrandom");
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  return seed;
}

/// Polling then only keeps the peer from running. The affinity of this thread says nothing: the peer has its
/// own.
bool only_one_cpu() {
  return sysconf(_SC_NPROCESSORS_ONLN) == 1;
}

SharedState* map_state(int file) {
  if (file >= 0) {
    if (SharedState* state = map_shared_state(file); state != nullptr) return state;
  } else {
    void* map = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map != MAP_FAILED) return static_cast<SharedState*>(map);
  }
  throw std::system_error(errno, std::generic_category(), "cannot map memory");
}

}  // namespace

Context::Context(const ContextConfig& config, std::unique_ptr<NetDevice> device)
    : config_(config),
      device_(std::move(device)),
      send_batch_(config.tx_batch),
      // Of several queues, one's frames may be another's, whose program does not wait for this one's.
      intake_(device_ != nullptr && device_->caps().senders_wait && config.queue.count == 1),
      single_cpu_(only_one_cpu()),
      shared_(map_state(config.shared_file)),
      backup_(*this) {
  // Only a launcher looks at the connections.
  if (config_.shared_file >= 0)
    config_.stack.tcp.live = shared_->share_of(config_.queue.index, config_.queue.count);
  if (!address_sanitizer()) config_.stack.memory = &large_pages_;
  const Instant now = clock_now();
  stack_ = std::make_unique<Stack>(config_.stack, system_seed(), now);
  if (device_) {
    link::Interface& interface = stack_->add_interface(*device_, config_.interface, now);
    if (config_.gateway) stack_->ip().set_default_gateway(*config_.gateway, interface);
  }
  last_turn_ = last_flush_ = last_traffic_ = now;
  backup_.start();
}

Context::~Context() {
  backup_.stop();
  while (!loans_.empty()) {
    mr_loan& loan = loans_.front();
    loans_.pop_front();
    loan.loan.packets.clear();
    loan.context = nullptr;
  }
}

bool Context::unlock() {
  if (nothing_to_tell()) [[likely]] {
    const bool contended = mutex_.unlock();
    signal_gate.leave();
    return contended;
  }
  std::array<Waiter*, kMaxTold> told;
  const std::size_t count = std::exchange(told_count_, 0);
  std::copy_n(told_.begin(), count, told.begin());
  LentSends::List over = lent_sends_.take_over();
  const bool contended = mutex_.unlock();
  for (std::size_t i = 0; i < count; ++i) told[i]->ring();
  signal_gate.leave();
  LentSends::tell(over);
  return contended;
}

std::size_t Context::turn(Instant now) {
  if (dormant_) return 0;
  const std::size_t budget = budget_;
  std::size_t frames = stack_->poll(now, budget);
  last_turn_ = last_flush_ = now;
  frames_of_last_turn_ = frames;
  send_batch_.flushed(now);
  if (frames != 0) {
    last_traffic_ = now;
    if (frames >= budget) adapt_budget(frames, now);
  }
  for (int round = 0; round < 8 && stack_->ip().loopback_pending(); ++round) stack_->poll(now, budget);
  if (!stack_->ready().empty()) dispatch();
  if (device_sleeper_ != nullptr) [[unlikely]]
    check_device_sleeper(now, frames != 0);
  return frames;
}

void Context::adapt_budget(std::size_t frames, Instant began) {
  const Duration took = clock_now() - began;
  if (took > kTurnTarget) {
    budget_ = std::max<std::size_t>(8, frames / 2);
  } else if (took < kTurnTarget / 3) {
    budget_ = std::min(intake_.most_frames(), frames * 2);
  }
}

void Context::take_all(Duration limit) {
  Instant now = clock_now();
  const Instant end = now + limit;
  for (;;) {
    const std::size_t full = budget_;
    if (turn(now) < full) return;
    let_others_in();
    now = clock_now();
    if (now >= end) return;
  }
}

void Context::settle(Instant now) {
  found_nothing_ = false;
  if (dormant_) return;
  stack_->flush(now);
  send_batch_.flushed(now);
  last_flush_ = last_traffic_ = now;
  if (turn_if_older(now, intake_.between_calls())) return;
  for (int round = 0; round < 8 && stack_->ip().loopback_pending(); ++round) stack_->poll(now, budget_);
  if (!stack_->ready().empty()) dispatch();
  if (device_sleeper_ != nullptr) [[unlikely]]
    check_device_sleeper(now, false);
}

void Context::settle_read(Instant now) {
  // What opens the window may wait where sends are to: whoever reads comes back for more.
  const bool may_wait = send_batch_.holds() || send_batch_.is_asked_for();
  if (!may_wait || leader_ != nullptr || flush_due(now)) {
    settle(now);
  } else if (!stack_->ready().empty()) {
    dispatch();
  }
}

void Context::dispatch() {
  while (Socket* socket = stack_->ready().pop()) {
    const Ready events = socket->take_events();
    // Not accepted yet: epoll_ctl and poll look at its state when it is.
    if (socket->user == nullptr) continue;
    auto& file = *static_cast<SocketFile*>(socket->user);
    file.notify(file.to_poll_events(events));
  }
}

void Context::wake(Waiter& waiter) {
  waiter.ready = true;
  if (!waiter.tell()) return;
  if (waiter.AutoHook::is_linked()) waiter.unlink();
  if (told_count_ == kMaxTold) {
    for (std::size_t i = 0; i < told_count_; ++i) told_[i]->ring();
    told_count_ = 0;
  }
  told_[told_count_++] = &waiter;
}

bool Context::arm_devices() {
  return device_ && device_->arm();
}

void Context::check_device_sleeper(Instant now, bool took_frames) {
  // Where the program takes frames by itself, the backup poller ticks: asleep on the device, it would be rung
  // for each of them.
  if (took_frames && device_sleeper_ == backup_.waiter()) {
    wake(*std::exchange(device_sleeper_, nullptr));
    return;
  }
  // This thread polled or sent while another sleeps on the device. What the device reports since it was
  // armed, this thread has taken: arm again. A new deadline before the sleeper's, or a full device, ends the
  // sleep.
  const bool frames = arm_devices();
  const bool tx = device_ && device_->tx_full() && !device_sleeper_wants_tx_;
  const bool sooner = stack_->next_deadline() < device_sleeper_until_;
  if (!frames && !tx && !sooner) return;
  if (sooner) last_kick_ = now;
  Waiter& sleeper = *device_sleeper_;
  const bool ready = sleeper.ready;
  wake(sleeper);
  sleeper.ready = ready;
}

void Context::let_others_in() {
  if (nothing_to_tell() && !mutex_.wanted() && !signal_gate.deferred()) [[likely]] {
    cpu_relax();
    return;
  }
  if (!unlock()) {
    cpu_relax();
  } else {
    // A futex mutex is not fair: without a pause this thread would have it again before the woken one runs.
    for (int i = 0; i < 50; ++i) cpu_relax();
  }
  lock();
}

void Context::adapt_spin(Duration waited, bool slept) {
  if (single_cpu_) return;
  if (spin_pause_ > 0) {
    --spin_pause_;
    return;
  }
  // As the guest halt polling of hypervisors: when polling covered the last wait, or would have, poll; when
  // the wait was far longer, polling was a waste. So it is when the longest polling never covers waits that
  // end right after it: the peer runs on this very core.
  if (!slept) spin_misses_ = 0;
  if (waited > 2 * kAdaptiveSpin) {
    adaptive_spin_ = adaptive_spin_ < 10us ? Duration::zero() : adaptive_spin_ / 2;
  } else if (slept && adaptive_spin_ == kAdaptiveSpin && ++spin_misses_ >= kSpinMisses) {
    adaptive_spin_ = Duration::zero();
    spin_misses_ = 0;
    spin_pause_ = kSpinPause;
  } else {
    adaptive_spin_ =
        std::min(kAdaptiveSpin, adaptive_spin_ == Duration::zero() ? 12500ns : adaptive_spin_ * 2);
  }
}

bool Context::drain(Duration limit) {
  const Instant deadline = after(clock_now(), limit);
  ContextLock guard(*this);
  Waiter waiter;
  std::size_t closing = 0;
  Instant changed{};
  for (;;) {
    const Instant now = clock_now();
    turn(now);
    const Farewell left = farewell();
    if (left.closing != closing || left.undelivered) changed = now;
    closing = left.closing;
    if (closing == 0) return true;
    if (now >= deadline || now - changed >= kPeersFarewell) return !left.undelivered;
    WaitRequest request;
    request.deadline = std::min(deadline, now + 1ms);
    (void)wait(waiter, request);
  }
}

Context::Farewell Context::farewell() {
  Farewell left;
  stack_->tcp().flows().for_each([&left](tcp::Flow& flow) {
    if (flow.kind() == tcp::Flow::Kind::kDormant) ++left.closing;
    if (flow.kind() != tcp::Flow::Kind::kConnection) return;
    const auto& connection = static_cast<tcp::Connection&>(flow);
    if (connection.state() == tcp::State::kClosed) return;
    ++left.closing;
    left.undelivered |= !connection.sender().everything_acknowledged();
  });
  return left;
}

void Context::begin_exit() {
  ContextLock guard(*this);
  exiting_ = true;
  exiting_thread_ = pthread_self();
}

void Context::park_at_exit() {
  if (pthread_equal(pthread_self(), exiting_thread_) != 0) return;
  unlock();
  for (;;) pause();
}

}  // namespace millrace::posix
