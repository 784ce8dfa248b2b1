#include "af_packet/tx_socket.h"

#include <algorithm>
#include <cerrno>

#include "af_packet/packet_socket.h"

namespace millrace::drivers {

std::string TxSocket::open(std::uint32_t socket_buffer, int inherited) {
  if (inherited >= 0) {
    socket_ = UniqueFd{inherited};
    return {};
  }
  std::string error = open_packet_socket(socket_);
  if (error.empty()) set_socket_buffer(socket_.get(), SO_SNDBUFFORCE, SO_SNDBUF, socket_buffer);
  return error;
}

bool TxSocket::bind(int interface_index) {
  return bind_packet_socket(socket_.get(), interface_index, 0);
}

void TxSocket::drop_front(PacketQueue& packets, std::size_t& taken, DeviceStats& stats) {
  (void)packets.pop_front();
  ++taken;
  ++stats.tx_errors;
  refused_since_ = kNever;
}

std::size_t TxSocket::prepare(PacketQueue& packets) {
  std::size_t count = 0;
  std::size_t pieces = 0;
  for (const Packet& packet : packets) {
    // What cannot be sent at all ends the batch before it; at the front it is dropped by the caller.
    const std::size_t needed = VnetHeader::piece_count(packet);
    if (count == kBatch || pieces + needed > kPieces) break;
    if (!VnetHeader::from_packet(packet, headers_[count])) break;
    mmsghdr& message = messages_[count];
    message = {};
    message.msg_hdr.msg_iov = &pieces_[pieces];
    message.msg_hdr.msg_iovlen = needed;
    headers_[count].fill_pieces(packet, &pieces_[pieces]);
    pieces += needed;
    ++count;
  }
  return count;
}

TxSocket::Result TxSocket::send(PacketQueue& packets, std::size_t& taken, DeviceStats& stats, Instant now) {
  if (refused_since_ != kNever && now < retry_at_ && !packets.empty()) return Result::kCongested;
  while (!packets.empty()) {
    const std::size_t count = prepare(packets);
    if (count == 0) {
      drop_front(packets, taken, stats);
      continue;
    }
    const int sent = ::sendmmsg(socket_.get(), messages_.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    for (int i = 0; i < sent; ++i) {
      stats.tx_bytes += packets.front().length();
      (void)packets.pop_front();
    }
    if (sent > 0) {
      stats.tx_packets += static_cast<std::uint64_t>(sent);
      taken += static_cast<std::size_t>(sent);
      refused_since_ = kNever;
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return Result::kFull;
      case ENOBUFS:
        refused_since_ = std::min(refused_since_, now);
        retry_at_ = now + kRetryAfter;
        if (now - refused_since_ < kGiveUpAfter) return Result::kCongested;
        drop_front(packets, taken, stats);
        break;
      case ENETDOWN:
      case ENXIO:
      case ENODEV:
        while (!packets.empty()) drop_front(packets, taken, stats);
        return Result::kDown;
      default:
        drop_front(packets, taken, stats);
        break;
    }
  }
  return Result::kDone;
}

}  // namespace millrace::drivers
