#include "tcp/payload.h"

#include <algorithm>

namespace millrace::tcp {

namespace {

/// Up to this size a copy is cheaper than keeping a packet.
constexpr std::uint32_t kCoalesceBytes = 1024;
/// What collapse() copies into: large ones, and small ones for the rest.
constexpr std::uint32_t kLargeBuffer = PacketPool::kClassBytes[1];
constexpr std::uint32_t kSmallBuffer = PacketPool::kClassBytes[0];
static_assert(kLargeBuffer % kSmallBuffer == 0);
/// Payloads may stay in their frames while so few packets are in use: together with these the frames stay in
/// the processor's caches. Of frames of an MTU of 1500; a driver's Buffers may be somewhat larger.
constexpr std::size_t kFewPackets = 256;
constexpr std::uint32_t kOrdinaryFrame = 4096;

/// Good enough to stay, even beside a neighbour that holds a byte in a small Buffer.
bool is_dense(const Packet& packet) {
  return packet.length() > kCoalesceBytes && 2 * packet.charge <= 3 * packet.length();
}

/// Neighbours that are not dense.
struct Run {
  std::uint32_t length = 0;
  std::size_t packets = 0, storage = 0;
};

Run run_at_front(PacketQueue& queue) {
  Run run;
  for (const Packet& packet : queue) {
    if (is_dense(packet)) break;
    run.length += packet.length();
    run.storage += packet.charge;
    ++run.packets;
  }
  return run;
}

std::uint32_t buffer_for(std::uint32_t length) {
  return length > kLargeBuffer - kSmallBuffer ? kLargeBuffer : kSmallBuffer;
}

std::size_t storage_for(std::uint32_t length) {
  const std::uint32_t rest = length % kLargeBuffer;
  return length - rest + (rest + kSmallBuffer - 1) / kSmallBuffer * kSmallBuffer;
}

/// Fills `to` from the front of the queue with `length` bytes.
void fill(Packet& to, PacketQueue& queue, std::uint32_t length, Collapsed& done) {
  while (length != 0) {
    Packet& from = queue.front();
    const std::uint32_t n = std::min(length, from.length());
    from.copy_out(0, {to.put(n), n});
    to.timestamp = from.timestamp;
    length -= n;
    if (n < from.length()) {
      from.pull(n);
    } else {
      queue.pop_front().reset();
      ++done.packets;
    }
  }
}

}  // namespace

void charge(Packet& payload) {
  static_cast<void>(payload.compact());
  payload.charge = static_cast<std::uint32_t>(payload.storage_held());
}

void charge_first(Packet& payload) {
  const bool few = payload.pool().packets_in_use() <= kFewPackets;
  if (!few || payload.fragment_count() != 0 || payload.storage()->capacity() > kOrdinaryFrame) {
    charge(payload);
    return;
  }
  payload.charge = payload.storage()->capacity();
}

bool coalesce(Packet& last, const Packet& payload) {
  const std::uint32_t length = payload.length();
  if (length > kCoalesceBytes || last.fragment_count() != 0 || !last.linear_writable() ||
      last.tailroom() < length)
    return false;
  payload.copy_out(0, {last.put(length), length});
  last.timestamp = payload.timestamp;
  return true;
}

Collapsed collapse(PacketQueue& queue) {
  Collapsed done;
  PacketQueue dense;
  bool memory = true;
  while (memory && !queue.empty()) {
    Run run = run_at_front(queue);
    if (storage_for(run.length) >= run.storage) {
      // Not to be bettered, and behind it one that is dense, or the end.
      for (std::size_t i = 0; i <= run.packets && !queue.empty(); ++i) dense.push_back(queue.pop_front());
      continue;
    }
    while (run.length != 0) {
      const std::uint32_t capacity = buffer_for(run.length);
      PacketPtr packet = queue.front().pool().allocate(capacity, 0);
      memory = packet != nullptr;
      if (!memory) break;
      packet->charge = capacity;
      const std::uint32_t n = std::min(run.length, capacity);
      fill(*packet, queue, n, done);
      run.length -= n;
      dense.push_back(std::move(packet));
    }
  }
  dense.splice_back(queue);
  queue.splice_back(dense);
  for (const Packet& packet : queue) done.storage += packet.charge;
  return done;
}

}  // namespace millrace::tcp
