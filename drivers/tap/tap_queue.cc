#include "tap/tap_queue.h"

#include <algorithm>
#include <cerrno>

#include "af_packet/datagrams.h"

namespace millrace::drivers {
namespace {

/// Room before a received frame, so that the IP header lies on a 16-byte boundary.
constexpr std::uint32_t kRxHeadroom = 18;
constexpr std::uint32_t kLinearBytes = PacketPool::kClassBytes[1] - kRxHeadroom;
constexpr std::array<std::uint32_t, 2> kSpillBytes{PacketPool::kClassBytes[2], PacketPool::kClassBytes[3]};

}  // namespace

std::size_t TapQueue::prepare(PacketPool& pool) {
  std::size_t room = 0;
  std::size_t pieces = 0;
  into_[pieces++] = {&header_, sizeof header_};
  if (!linear_) linear_ = pool.allocate(kLinearBytes, kRxHeadroom);
  if (linear_) {
    into_[pieces++] = {linear_->data(), kLinearBytes};
    room += kLinearBytes;
  }
  for (std::size_t i = 0; i < kSpills && linear_; ++i) {
    if (!spills_[i]) spills_[i] = pool.allocate_buffer(kSpillBytes[i]);
    if (!spills_[i]) break;
    into_[pieces++] = {spills_[i]->bytes(), kSpillBytes[i]};
    room += kSpillBytes[i];
  }
  // So that a frame that has just room can be told from one that was cut.
  into_[pieces++] = {&beyond_, 1};
  for (; pieces < into_.size(); ++pieces) into_[pieces] = {nullptr, 0};
  return room;
}

PacketPtr TapQueue::take(std::size_t length) {
  auto left = static_cast<std::uint32_t>(length);
  const std::uint32_t linear = std::min(left, kLinearBytes);
  linear_->put(linear);
  left -= linear;
  for (std::size_t i = 0; left != 0; ++i) {
    const std::uint32_t bytes = std::min(left, kSpillBytes[i]);
    // Two fragments are never too many.
    (void)linear_->append_fragment(std::move(spills_[i]), 0, bytes);
    left -= bytes;
  }
  return std::move(linear_);
}

std::size_t TapQueue::receive(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                              DeviceStats& stats) {
  std::size_t received = 0;
  while (received < budget) {
    if (PacketPtr packet = pending_.pop_front()) {
      out.push_back(std::move(packet));
      ++received;
      continue;
    }
    const std::size_t room = prepare(pool);
    const ssize_t n = ::readv(fd_, into_.data(), static_cast<int>(into_.size()));
    if (n < 0) {
      if (errno == EINTR) continue;
      gone_ = gone_ || errno == EBADFD;
      break;
    }
    const auto read = static_cast<std::size_t>(n);
    const std::size_t length = read - std::min(read, sizeof header_);
    if (length > room || !linear_) {
      ++stats.rx_no_memory;
      continue;
    }
    PacketPtr packet = take(length);
    packet->offload = header_.to_offload(packet->linear(), packet->length());
    packet->timestamp = now;
    received += pass_on(std::move(packet), header_, pending_, out, stats);
  }
  return received;
}

TapQueue::Result TapQueue::send(PacketQueue& packets, std::size_t& taken, DeviceStats& stats) {
  while (!packets.empty()) {
    Packet& packet = packets.front();
    VnetHeader header;
    ssize_t sent = -1;
    errno = EINVAL;
    if (VnetHeader::from_packet(packet, header)) {
      header.fill_pieces(packet, from_.data());
      sent = ::writev(fd_, from_.data(), static_cast<int>(VnetHeader::piece_count(packet)));
    }
    if (sent < 0 && errno == EAGAIN) return Result::kFull;
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EIO || errno == EBADFD)) {
      gone_ = gone_ || errno == EBADFD;
      stats.tx_errors += packets.size();
      taken += packets.size();
      packets.clear();
      return Result::kDown;
    }
    if (sent < 0) {
      ++stats.tx_errors;
    } else {
      ++stats.tx_packets;
      stats.tx_bytes += packet.length();
    }
    ++taken;
    (void)packets.pop_front();
  }
  return Result::kDone;
}

void TapQueue::release_packets() {
  linear_.reset();
  for (BufferRef& spill : spills_) spill.reset();
  pending_.clear();
}

}  // namespace millrace::drivers
