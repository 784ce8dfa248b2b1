#include "queues/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace millrace::drivers {
namespace {

/// So that the IP header lies on a 16-byte boundary.
constexpr std::uint32_t kHeadroom = 18;

}  // namespace

Mailbox::Mailbox() : bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

bool Mailbox::post(Letter letter) {
  {
    const std::lock_guard guard(mutex_);
    if (letters_.size() >= kFrames || bytes_ + letter.length > kBytes) return false;
    bytes_ += letter.length;
    letters_.push_back(std::move(letter));
    count_.store(letters_.size());
  }
  if (armed_.exchange(false)) {
    rung_.store(true);
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t rung = ::write(bell_.get(), &one, sizeof one);
  }
  return true;
}

std::size_t Mailbox::take(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                          std::uint64_t& lost) {
  if (count_.load(std::memory_order_relaxed) == 0) return 0;
  std::size_t taken = 0;
  for (; taken < budget; ++taken) {
    Letter letter;
    {
      const std::lock_guard guard(mutex_);
      if (letters_.empty()) break;
      letter = std::move(letters_.front());
      letters_.pop_front();
      bytes_ -= letter.length;
      count_.store(letters_.size());
    }
    PacketPtr packet = pool.allocate(letter.length, kHeadroom);
    if (!packet) {
      ++lost;
      continue;
    }
    std::memcpy(packet->put(letter.length), letter.bytes.get(), letter.length);
    packet->offload = letter.offload;
    packet->timestamp = now;
    out.push_back(std::move(packet));
  }
  return taken;
}

bool Mailbox::arm() {
  if (rung_.exchange(false)) {
    std::uint64_t count;
    [[maybe_unused]] const ssize_t read = ::read(bell_.get(), &count, sizeof count);
  }
  armed_.store(true);
  return count_.load() != 0;
}

}  // namespace millrace::drivers
