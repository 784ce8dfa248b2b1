#pragma once

#include <rte_vhost.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dpdk/vhost_ring.h"

namespace millrace::drivers::dpdk {

/// Tells the rings of a net_vhost port where the peer's virtqueues are, as long as they are there. They, and
/// the peer's memory, come and go with vhost-user's messages, all of which the vhost thread handles: nobody
/// looks at a ring while one is worked on, nor from when the peer is lost.
class VhostPeer {
 public:
  VhostPeer() = default;
  VhostPeer(const VhostPeer&) = delete;
  VhostPeer& operator=(const VhostPeer&) = delete;

  // --- before all else
  /// The one at which the port meets its peer.
  void set_socket(std::string path) { socket_ = std::move(path); }
  /// A port's, in pairs: that which it reads from, that which it writes to.
  void add_queue(VhostRing& to_read, VhostRing& to_write) {
    rings_.insert(rings_.end(), {&to_write, &to_read});
  }

  // --- on the vhost thread
  /// The port's link changed.
  void link_changed(std::uint16_t port, bool up);

  /// Any thread, while nobody bursts, and link_changed() will not be called again.
  void lose();

 private:
  /// After a message that failed, the tables are not what they were, and there may be none.
  enum class Messages : std::uint8_t { none, one, failed };

  static rte_vhost_msg_result before_message(int vid, void* message);
  static rte_vhost_msg_result after_message(int vid, void* message);
  [[nodiscard]] int number(std::uint16_t port) const;
  [[nodiscard]] bool is_number(int vid) const;
  void attach(int vid);
  void detach();

  std::string socket_;
  std::vector<VhostRing*> rings_;  ///< by their numbers at the peer
  int vid_ = -1;
  Messages messages_ = Messages::none;  ///< that are worked on
};

}  // namespace millrace::drivers::dpdk
