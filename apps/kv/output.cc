#include "output.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace millrace::kv {

namespace {

constexpr std::size_t kBuffer = 4096;             // to begin with
constexpr std::size_t kKeptBuffer = 64UL * 1024;  // larger ones are given back to the heap
constexpr std::size_t kKeptBuffers = 1024;
constexpr std::size_t kKeptPieces = 64;
// Below it, copying costs less than what a slice of its own costs all those who see it.
constexpr std::size_t kReferenced = 1024;
constexpr std::size_t kSlices = 64;

}  // namespace

std::string BufferPool::take() {
  if (buffers_.empty()) {
    std::string buffer;
    buffer.reserve(kBuffer);
    return buffer;
  }
  std::string buffer = std::move(buffers_.back());
  buffers_.pop_back();
  return buffer;
}

void BufferPool::give_back(std::string&& buffer) {
  if (buffer.capacity() < kBuffer || buffer.capacity() > kKeptBuffer || buffers_.size() >= kKeptBuffers)
    return;
  buffer.clear();
  buffers_.push_back(std::move(buffer));
}

Output::~Output() {
  pool_.give_back(std::move(bytes_));
}

void Output::take_buffer() {
  if (bytes_.capacity() < kBuffer) bytes_ = pool_.take();
}

void Output::append(std::string_view bytes) {
  take_buffer();
  bytes_.append(bytes);
  pending_ += bytes.size();
}

void Output::append(const ValueRef& value) {
  if (value->size() < kReferenced) {
    append(value->bytes());
    return;
  }
  take_buffer();
  pieces_.push_back({bytes_.size(), value});
  pending_ += value->size();
}

void Output::take_from(Output& other) {
  if (other.pending_ == 0) return;
  std::size_t from = 0;
  const std::string_view bytes = other.bytes_;
  for (Piece& piece : other.pieces_) {
    append(bytes.substr(from, piece.at - from));
    from = piece.at;
    append(piece.value);
  }
  if (from < bytes.size()) append(bytes.substr(from));
  other.clear();
}

void Output::move_to(std::string& bytes) {
  std::size_t from = 0;
  for (const Piece& piece : pieces_) {
    bytes.append(bytes_, from, piece.at - from).append(piece.value->bytes());
    from = piece.at;
  }
  bytes.append(bytes_, from);
  clear();
}

void Output::clear() {
  pending_ = 0;
  release();
}

Output::Progress Output::flush(const apps::SocketApi& api, int fd) {
  while (pending_ > 0) {
    const ssize_t sent = send_some(api, fd);
    if (sent >= 0) {
      advance(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      return Progress::kBlocked;
    } else if (errno != EINTR) {
      return Progress::kBroken;
    }
  }
  release();
  return Progress::kDone;
}

ssize_t Output::send_some(const apps::SocketApi& api, int fd) {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (pieces_sent_ == pieces_.size()) {
    return api.send(fd, bytes_.data() + bytes_sent_, bytes_.size() - bytes_sent_, kFlags);
  }
  std::array<iovec, kSlices> slices{};
  std::size_t count = 0, from = bytes_sent_, skipped = value_sent_;
  const auto add = [&](char* data, std::size_t size) {
    if (size > 0) slices[count++] = {data, size};
  };
  for (std::size_t i = pieces_sent_; i < pieces_.size() && count + 2 < kSlices; ++i) {
    const Piece& piece = pieces_[i];
    add(bytes_.data() + from, piece.at - from);
    add(piece.value->data() + skipped, piece.value->size() - skipped);
    from = piece.at;
    skipped = 0;
    if (i + 1 == pieces_.size()) add(bytes_.data() + from, bytes_.size() - from);
  }
  msghdr message{};
  message.msg_iov = slices.data();
  message.msg_iovlen = count;
  return api.sendmsg(fd, &message, kFlags);
}

void Output::advance(std::size_t sent) {
  pending_ -= sent;
  while (pieces_sent_ < pieces_.size()) {
    Piece& piece = pieces_[pieces_sent_];
    const std::size_t before = std::min(sent, piece.at - bytes_sent_);
    bytes_sent_ += before;
    sent -= before;
    const std::size_t inside = std::min(sent, piece.value->size() - value_sent_);
    value_sent_ += inside;
    sent -= inside;
    if (bytes_sent_ < piece.at || value_sent_ < piece.value->size()) return;
    piece.value = nullptr;
    value_sent_ = 0;
    ++pieces_sent_;
  }
  bytes_sent_ += sent;
}

void Output::release() {
  pieces_.clear();
  if (pieces_.capacity() > kKeptPieces) std::vector<Piece>().swap(pieces_);
  pieces_sent_ = bytes_sent_ = value_sent_ = 0;
  pool_.give_back(std::exchange(bytes_, {}));
}

}  // namespace millrace::kv
