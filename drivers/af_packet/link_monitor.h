#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "link/net_device.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// Watches one interface of this network namespace through rtnetlink: up (and with a carrier), down, deleted,
/// and there again under its name. What it reports is the latest state, not each step towards it. The device
/// says which interface it is attached to: one made anew counts only once that is it.
class LinkMonitor {
 public:
  enum class State : std::uint8_t { kUp, kDown, kGone };
  static constexpr std::uint32_t kMaxName = 16;

  /// Opens the socket and reads the state of now; the device is attached. False: no netlink here, errno says
  /// why.
  [[nodiscard]] bool open(std::string name, int index);
  /// Reads what the kernel has told since. A system call.
  void update();
  /// Asks for the state, and for the counters, of now. Two system calls.
  void refresh();

  /// There is an interface of the name, of this index, and the device is not attached to it.
  [[nodiscard]] bool must_attach() const { return state_ != State::kGone && index_ != attached_; }
  void set_attached(int index) { attached_ = index; }
  [[nodiscard]] int attached() const { return attached_; }
  /// The interface's index; a new one when it was deleted and made again.
  [[nodiscard]] int index() const { return index_; }
  /// Of the interface that the device is attached to.
  [[nodiscard]] State state() const { return must_attach() ? State::kGone : state_; }
  /// Frames that the kernel could not give to the interface's driver, over all interfaces of the name, as of
  /// the last news.
  [[nodiscard]] std::uint64_t tx_dropped() const { return tx_dropped_before_ + tx_dropped_; }

  /// True when take_event() has something to tell.
  [[nodiscard]] bool has_event() const { return state() != told_; }
  [[nodiscard]] DeviceEvent take_event();
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  void request_state();
  void read_messages(std::size_t length);
  void on_link(bool deleted, int index, unsigned flags, std::size_t attributes, std::size_t end);
  void read_counters(std::size_t attributes, std::size_t end);
  [[nodiscard]] bool has_our_name(std::size_t attributes, std::size_t end) const;
  /// An attribute's payload; empty when it is not there.
  [[nodiscard]] std::span<const std::uint8_t> find_attribute(unsigned type, std::size_t attributes,
                                                             std::size_t end) const;

  UniqueFd socket_;
  std::string name_;
  int index_ = 0;
  int attached_ = 0;
  State state_ = State::kUp;  ///< of the interface of this name
  State told_ = State::kUp;   ///< what take_event() has told
  std::uint64_t tx_dropped_ = 0;
  std::uint64_t tx_dropped_before_ = 0;  ///< of interfaces that are gone
  alignas(8) std::array<std::uint8_t, 32768> buffer_{};
};

}  // namespace millrace::drivers
