#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "unique_fd.h"

namespace millrace::drivers {

/// Watches one interface of this network namespace through rtnetlink: up (and with a carrier), down, deleted,
/// and there again under its name. What it reports is the latest state, not each step towards it.
class LinkMonitor {
 public:
  enum class State : std::uint8_t { kUp, kDown, kGone };
  static constexpr std::uint32_t kMaxName = 16;

  /// Opens the socket and reads the state of now. False: no netlink here, errno says why.
  [[nodiscard]] bool open(std::string name, int index);
  /// Reads what the kernel has told since. A system call.
  void update();

  [[nodiscard]] State state() const { return state_; }
  /// The interface's index; a new one when it was deleted and made again.
  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  void request_state();
  void read_messages(std::size_t length);
  void on_link(bool deleted, int index, unsigned flags, std::size_t attributes, std::size_t end);
  [[nodiscard]] bool has_our_name(std::size_t attributes, std::size_t end) const;

  UniqueFd socket_;
  std::string name_;
  int index_ = 0;
  State state_ = State::kUp;
  alignas(8) std::array<std::uint8_t, 32768> buffer_{};
};

}  // namespace millrace::drivers
