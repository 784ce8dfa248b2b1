#pragma once

#include <rte_ethdev.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dpdk/config.h"
#include "dpdk/queue_pair.h"
#include "dpdk/rss.h"
#include "dpdk/rx_interrupts.h"
#include "dpdk/vhost_peer.h"

namespace millrace::drivers::dpdk {

/// A device of DPDK's, configured by what it can do and started. Set up once; whoever uses one of its queues
/// holds a share in it. Bursts are the users' business, all else is done on the EAL's thread.
///
/// A device that connects to its peer's socket (virtio_user, memif) may die with the peer. Such a port is
/// closed and probed anew until somebody listens there again; ready() is false meanwhile and nobody may
/// burst.
///
/// Users of several queues are in threads of their own. What they do with the device is within a Use. The
/// user of the first queue owns the link: that one alone looks at it, and decides to reopen() the port.
class Port {
 public:
  class Use;

  /// With as many queues as the configuration says. Null, and `error` says what is wrong.
  [[nodiscard]] static std::shared_ptr<Port> open(const DpdkConfig& config, std::string& error);
  /// The one that was opened with this configuration for its first queue.
  [[nodiscard]] static std::shared_ptr<Port> find(const DpdkConfig& config, std::string& error);
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port();

  [[nodiscard]] QueuePair& queue(std::uint16_t index) { return *queues_[index]; }
  [[nodiscard]] const DeviceCaps& caps() const { return caps_; }
  [[nodiscard]] MacAddress mac() const { return mac_; }
  [[nodiscard]] std::uint32_t mtu() const { return mtu_; }

  /// Frames are asked for ahead (VhostRing).
  [[nodiscard]] bool is_vhost() const { return is_vhost_; }
  [[nodiscard]] const link::RssHash* rss() const { return rss_.hash(); }

  [[nodiscard]] bool ready() const { return ready_.load(); }

  // --- the link
  /// True once for each queue after the link may have changed. Cheap.
  [[nodiscard]] static bool take_link_change(QueuePair& queue) {
    return queue.link_changed.load(std::memory_order_relaxed) && take_link_event(queue);
  }
  /// What its owner has seen last.
  [[nodiscard]] bool link_seen_up() const { return seen_up_.load(std::memory_order_acquire); }

  // --- the link's owner
  [[nodiscard]] bool link_up();
  /// Tells the others.
  void saw_link(bool up);
  /// Looks at the link, every so often: not every device tells of it by itself, nor that nobody is there whom
  /// it could lose.
  void watch_link(Instant now) {
    if ((!tells_link_ || dies_with_peer_) && now >= next_look_) look_at_link(now);
  }
  /// While true, somebody has to call watch_link().
  [[nodiscard]] bool awaits_peer() const { return dies_with_peer_ && !link_seen_; }

  /// With the link down: it was up, and will not come up again by itself.
  [[nodiscard]] bool lost_peer() const { return dies_with_peer_ && was_up_; }
  /// As close_and_reopen(), some time later.
  void reopen();

  // --- any user, within a Use
  [[nodiscard]] std::uint16_t id() const { return id_; }
  [[nodiscard]] RxInterrupts& interrupts() { return interrupts_; }

  /// Closes the port and opens it again as soon as that works; not ready() until then. Any user, but not
  /// within a Use. When it returns, the port has given back all that it held.
  void close_and_reopen();
  [[nodiscard]] std::uint64_t reopened() const { return reopened_.load(std::memory_order_relaxed); }

 private:
  Port() = default;
  // On the EAL's thread:
  [[nodiscard]] std::string set_up(const DpdkConfig& config);
  [[nodiscard]] std::string probe();
  [[nodiscard]] std::string start();
  [[nodiscard]] std::string configure(const rte_eth_dev_info& info, bool interrupts);
  [[nodiscard]] std::string set_up_queues(const rte_eth_dev_info& info);
  [[nodiscard]] std::string make_queues(std::uint16_t count);
  void apply_mac();
  void read_capabilities(const rte_eth_dev_info& info);
  void close();
  void forget_link();
  void await_users() const;
  void retry();
  void look_at_link(Instant now);
  static int on_link(std::uint16_t port, rte_eth_event_type type, void* self, void* unused);
  static bool take_link_event(QueuePair& queue);
  static void tell_link_changed(QueuePair& queue);
  [[nodiscard]] bool is_shared() const { return queues_.size() > 1; }

  DpdkConfig config_;
  std::string device_;  ///< config_.device with what we add to it
  std::string device_name_;
  bool claimed_ = false;  ///< nobody else in this process has the device
  std::uint16_t id_ = RTE_MAX_ETHPORTS;
  std::vector<std::unique_ptr<QueuePair>> queues_;
  rte_eth_conf conf_{};
  Rss rss_;
  RxInterrupts interrupts_;
  VhostPeer vhost_peer_;
  DeviceCaps caps_;
  MacAddress mac_;
  std::uint32_t mtu_ = 0;
  bool multi_segment_ = false, prepare_ = false;
  std::uint16_t max_segments_ = 0;
  bool one_interrupt_ = false;  ///< none is used then; frames and the link are looked for
  bool tells_link_ = false, dies_with_peer_ = false, is_vhost_ = false;
  bool is_tap_ = false;
  // The owner of the link's; was_up_ is the EAL thread's while the port is not ready.
  Instant next_look_{}, down_since_{};
  bool link_seen_ = true;
  bool was_up_ = false;  ///< since it was opened last
  std::atomic<bool> seen_up_{true};
  std::atomic<bool> ready_{false};
  std::atomic<std::uint64_t> reopened_{0};
};

/// While it exists and is true, the port is open and stays so: one with several queues is not closed while a
/// user is at it. Never two for a queue at a time.
class Port::Use {
 public:
  Use(const Port& port, QueuePair& queue) : busy_(port.is_shared() ? &queue.busy : nullptr) {
    // In this order for all: who closes the port looks here after it has taken ready() away.
    if (busy_ != nullptr) busy_->store(true);
    ready_ = port.ready();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() {
    if (busy_ != nullptr) busy_->store(false, std::memory_order_release);
  }
  [[nodiscard]] explicit operator bool() const { return ready_; }

 private:
  std::atomic<bool>* busy_;
  bool ready_ = false;
};

}  // namespace millrace::drivers::dpdk
