#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/socket_api.h"
#include "value.h"

namespace millrace::kv {

/// Buffers for answers, shared by the connections of a thread: an idle connection owns none.
class BufferPool {
 public:
  [[nodiscard]] std::string take();
  void give_back(std::string&& buffer);

 private:
  std::vector<std::string> buffers_;
};

/// What a client has still to be sent: bytes, and between them values that are sent from where they lie.
///
///     bytes_   $5000\r\n|\r\n:1\r\n$4000\r\n|\r\n
///                       ^ piece 0           ^ piece 1
class Output {
 public:
  explicit Output(BufferPool& pool) : pool_(pool) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output();

  void append(std::string_view bytes);
  /// A copy when it is short, else a reference.
  void append(const ValueRef& value);
  /// What the other one has, of which nothing has been sent; it is empty afterwards.
  void take_from(Output& other);
  /// All there is as bytes, of which nothing has been sent; it is empty afterwards.
  void move_to(std::string& bytes);

  [[nodiscard]] std::size_t pending() const { return pending_; }
  /// Pending bytes and what they take besides: references are not free either.
  [[nodiscard]] std::size_t footprint() const { return pending_ + pieces_.size() * sizeof(Piece); }

  enum class Progress : std::uint8_t { kDone, kBlocked, kBroken };
  /// Sends as much as goes.
  Progress flush(const apps::SocketApi& api, int fd);

 private:
  struct Piece {
    std::size_t at;  ///< follows bytes_[.. at)
    ValueRef value;
  };
  void take_buffer();
  ssize_t send_some(const apps::SocketApi& api, int fd);
  void advance(std::size_t sent);
  void clear();
  void release();

  BufferPool& pool_;
  std::string bytes_;
  std::vector<Piece> pieces_;
  std::size_t pending_ = 0;
  std::size_t bytes_sent_ = 0;
  std::size_t pieces_sent_ = 0;
  std::size_t value_sent_ = 0;  // of the first piece that is left
};

}  // namespace millrace::kv
