#pragma once

#include <rte_vhost.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dpdk/vhost_ring.h"
#include "unique_fd.h"

namespace millrace::drivers::dpdk {

/// The peer of a net_vhost port, as long as it is there: tells the port's rings where its virtqueues are, and
/// has its kick descriptors. The rings, and the peer's memory, come and go with vhost-user's messages, all of
/// which the vhost thread handles: nobody looks at a ring while one is worked on, nor from when the peer is
/// lost.
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
    kicks_.emplace_back();
  }

  // --- on the vhost thread
  /// The port's link came up; `started`: after the port had started.
  void meet(std::uint16_t port, bool started);

  /// The link went down. On the vhost thread, or while nobody bursts and meet() will not be called again.
  void lose();

  // --- any thread
  /// Takes from the peer's kick descriptor, by which it wakes who reads from the queue, what is there.
  void take_kick(std::uint16_t queue);

 private:
  /// After a message that failed, the tables are not what they were, and there may be none.
  enum class Messages : std::uint8_t { none, one, failed };

  static rte_vhost_msg_result before_message(int vid, void* message);
  static rte_vhost_msg_result after_message(int vid, void* message);
  /// By which librte_vhost knows the peer; -1: none is certain.
  [[nodiscard]] int find() const;
  void attach_rings();
  void take_kicks();
  void detach();

  std::string socket_;
  std::vector<VhostRing*> rings_;  ///< by their numbers at the peer
  std::vector<UniqueFd> kicks_;    ///< of our own, as librte_vhost may close its at any time
  int vid_ = -1;
  Messages messages_ = Messages::none;  ///< that are worked on
};

}  // namespace millrace::drivers::dpdk
