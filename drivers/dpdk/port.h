#pragma once

#include <rte_ethdev.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dpdk/config.h"
#include "dpdk/rx_queue.h"
#include "dpdk/tx_queue.h"
#include "unique_fd.h"

namespace millrace::drivers::dpdk {

/// One pair of queues of a port, with all that its user needs for bursts. What users do not share.
struct QueuePair {
  Lcore lcore;
  RxQueue rx{lcore};
  TxQueue tx{lcore};
};

/// A device of DPDK's, configured by what it can do and started. Set up once; whoever uses one of its queues
/// holds a share in it. Bursts are the users' business, all else is done on the EAL's thread.
///
/// A device that connects to its peer's socket (virtio_user, memif) may die with the peer. Such a port is
/// closed and probed anew until somebody listens there again; ready() is false meanwhile and nobody may
/// burst.
class Port {
 public:
  /// Null, and `error` says what is wrong.
  [[nodiscard]] static std::shared_ptr<Port> open(const DpdkConfig& config, std::uint16_t queues,
                                                  std::string& error);
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port();

  [[nodiscard]] QueuePair& queue(std::uint16_t index) { return *queues_[index]; }
  [[nodiscard]] std::uint16_t id() const { return id_; }
  [[nodiscard]] const DeviceCaps& caps() const { return caps_; }
  [[nodiscard]] MacAddress mac() const { return mac_; }
  [[nodiscard]] std::uint32_t mtu() const { return mtu_; }

  [[nodiscard]] bool ready() const { return ready_.load(std::memory_order_acquire); }
  /// True once after the link may have changed. Cheap.
  [[nodiscard]] bool take_link_change() {
    return link_changed_.load(std::memory_order_relaxed) &&
           link_changed_.exchange(false, std::memory_order_acquire);
  }
  [[nodiscard]] bool link_up();
  /// Becomes readable when the link may have changed.
  [[nodiscard]] int event_fd() const { return event_fd_.get(); }
  void clear_event();
  /// Looks at the link, every so often: not every device tells of it by itself, nor that nobody is there whom
  /// it could lose.
  void watch_link(Instant now) {
    if ((!tells_link_ || dies_with_peer_) && now >= next_look_) look_at_link(now);
  }
  /// While true, somebody has to call watch_link().
  [[nodiscard]] bool awaits_peer() const { return dies_with_peer_ && !link_seen_; }

  /// The descriptor that becomes readable when frames come to a queue whose interrupt is on; -1: none.
  [[nodiscard]] int rx_fd(std::uint16_t queue) const;
  void set_rx_interrupt(std::uint16_t queue, bool on);
  /// The descriptor is readable.
  [[nodiscard]] bool rx_interrupt_pending(std::uint16_t queue) const;
  /// Takes off that descriptor what woke its sleeper.
  void clear_rx_interrupt(std::uint16_t queue);

  /// With the link down: it was up, and will not come up again by itself.
  [[nodiscard]] bool lost_peer() const { return dies_with_peer_ && was_up_; }
  /// Closes the port and opens it again as soon as that works; not ready() until then.
  void reopen();
  /// The same; when it returns, the port has given back all that it held.
  void close_and_reopen();
  [[nodiscard]] std::uint64_t reopened() const { return reopened_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> extended_stats() const;

 private:
  Port() = default;
  // On the EAL's thread:
  [[nodiscard]] std::string set_up(const DpdkConfig& config, std::uint16_t queues);
  [[nodiscard]] std::string probe();
  [[nodiscard]] std::string start();
  [[nodiscard]] std::string configure(const rte_eth_dev_info& info, bool interrupts);
  [[nodiscard]] std::string set_up_queues(const rte_eth_dev_info& info);
  [[nodiscard]] std::string make_queues(std::uint16_t count);
  void apply_mac();
  void read_capabilities(const rte_eth_dev_info& info);
  void close();
  void retry();
  void look_at_link(Instant now);
  static int on_link(std::uint16_t port, rte_eth_event_type type, void* self, void* unused);
  void tell_link_changed();

  DpdkConfig config_;
  std::string device_;  ///< config_.device with what we add to it
  std::string device_name_;
  bool claimed_ = false;  ///< nobody else in this process has the device
  std::uint16_t id_ = RTE_MAX_ETHPORTS;
  std::vector<std::unique_ptr<QueuePair>> queues_;
  rte_eth_conf conf_{};
  DeviceCaps caps_;
  MacAddress mac_;
  std::uint32_t mtu_ = 0;
  bool multi_segment_ = false, prepare_ = false;
  std::uint16_t max_segments_ = 0;
  bool one_interrupt_ = false;  ///< none is used then; frames and the link are looked for
  bool tells_link_ = false, has_interrupts_ = false, dies_with_peer_ = false, is_vhost_ = false;
  bool is_tap_ = false;
  Instant next_look_{}, down_since_{};
  bool link_seen_ = true;
  bool was_up_ = false;  ///< since it was opened last
  std::atomic<bool> ready_{false};
  std::atomic<bool> link_changed_{true};
  std::atomic<std::uint64_t> reopened_{0};
  UniqueFd event_fd_;
};

}  // namespace millrace::drivers::dpdk
