#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/unordered_set.hpp>

#include "base/counters.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "link/address_hash.h"
#include "packet/pool.h"

namespace millrace::wire {
struct ArpPacket;
}

namespace millrace::link {

class Interface;

enum class NeighbourCounter : std::uint8_t {
  kArpReceived,
  kArpMalformed,     ///< not Ethernet and IPv4, too short, or from an impossible sender
  kArpIgnored,       ///< about others, or an answer nobody asked for
  kArpRequestsSent,  ///< broadcast ones
  kArpProbesSent,    ///< unicast, to see whether a stale neighbour is still there
  kArpRepliesSent,
  kNoMemory,       ///< an ARP packet of ours could not be made
  kUnreachable,    ///< neighbours who did not answer
  kPacketsFailed,  ///< packets that waited for those
  kQueueDropped,   ///< packets pushed out of a full queue, or gone with an evicted entry
  kEvicted,
  kTableFull,      ///< no entry could be evicted
  kConflictsSeen,  ///< somebody else uses an address of ours (RFC 5227)
  kConflictsDefended,
  kAnnouncementsSent,
  kCount,
};
[[nodiscard]] std::string_view name_of(NeighbourCounter counter);
/// It says that a received frame was dropped, or what it asked for refused.
[[nodiscard]] bool counts_drop(NeighbourCounter counter);

struct NeighbourConfig {
  /// Of several queues of one device, one answers requests and defends our addresses; all of them learn.
  bool answers = true;
  std::size_t entries = 1024;
  /// Packets that wait for one neighbour; the oldest goes (RFC 1122 §2.3.2.2 asks for one). 64 hold a whole
  /// 64 KiB datagram in fragments of MTU 1500.
  std::size_t queue_packets = 64;
  std::size_t queued_packets_total = 1024;  ///< all neighbours together
  unsigned broadcast_requests = 3;          ///< before the neighbour counts as unreachable
  unsigned unicast_probes = 3;
  Duration retry = 1s;       ///< RFC 1122 §2.3.2.1: at most one request a second
  Duration reachable = 30s;  ///< mean; each cache draws 0.5 to 1.5 of it (RFC 4861 §6.3.2)
  Duration delay_first_probe = 5s;
};

/// Who has which MAC on one link: ARP (RFC 826, RFC 1122 §2.3.2), with the states of RFC 4861 §7.3.2 as Linux
/// applies them to ARP. Owned by its Interface.
///
///     (none) --packet to send--> incomplete --answer--> reachable --30 s--> stale --used--> delay --5 s-->
///     probe
///                                     |                      ^                                |            |
///                                  3 x 1 s                   +---- confirm() or an answer ----+------------+
///                                     v                                                                    |
///                                 unreachable <------------------------- 3 x 1 s --------------------------+
///
/// Learns only from those who concern us: entries come to be by our own need or by a request for one of our
/// addresses; any other valid ARP may only update an entry that is there.
class NeighbourCache {
 public:
  NeighbourCache(const NeighbourConfig& config, Interface& interface, PacketPool& pool, TimerWheel& timers,
                 Rng& rng);
  NeighbourCache(const NeighbourCache&) = delete;
  NeighbourCache& operator=(const NeighbourCache&) = delete;
  ~NeighbourCache();

  /// Where frames to this neighbour go. Null: unknown yet, resolve() it. The usual case is the one that was
  /// asked for last: most talk through one router, or to one other host.
  [[nodiscard]] const MacAddress* find(const IpAddress& address, Instant now) {
    if (!is_latest(address)) [[unlikely]] {
      if (lookup(address) == nullptr) return nullptr;  // else it is the latest now
    }
    latest_->used = now;
    if (latest_->state == State::kReachable && now - latest_->confirmed < reachable_) [[likely]] {
      return &latest_->mac;
    }
    return use_unconfirmed(*latest_, now);
  }
  /// Keeps the packet until the neighbour answers, and asks for it.
  void resolve(PacketPtr packet, const IpAddress& address, Instant now);
  /// An ARP packet came in, data() behind the Ethernet header.
  void on_arp(PacketPtr packet, Instant now);
  /// A layer above has evidence that the neighbour got what we sent (RFC 4861 §7.3.1): an ACK that moved.
  void confirm(const IpAddress& address, Instant now) {
    if (is_latest(address) && latest_->state == State::kReachable) [[likely]] {
      latest_->confirmed = now;
    } else {
      confirm_other(address, now);
    }
  }
  /// An entry that never ages and that no ARP changes.
  void add_static(const IpAddress& address, const MacAddress& mac, Instant now);
  /// Forgets all but static entries and drops what waits (the link went down).
  void clear();

  [[nodiscard]] std::size_t size() const { return table_.size(); }
  [[nodiscard]] std::size_t queued_packets() const { return queued_; }
  [[nodiscard]] const CounterSet<NeighbourCounter>& counters() const { return counters_; }

 private:
  friend class AddressClaims;
  enum class State : std::uint8_t { kIncomplete, kReachable, kStale, kDelay, kProbe, kStatic };
  struct Neighbour : boost::intrusive::unordered_set_base_hook<>, boost::intrusive::list_base_hook<> {
    Neighbour(NeighbourCache& owner, const IpAddress& of);
    NeighbourCache& cache;
    IpAddress address;
    MacAddress mac;
    State state = State::kIncomplete;
    std::uint8_t requests = 0;  ///< sent since the state began
    Instant confirmed{}, used{};
    PacketQueue waiting;
    Timer timer;
  };
  struct Hash {
    std::uint64_t seed;
    std::size_t operator()(const IpAddress& address) const { return hash_address(address, seed); }
    std::size_t operator()(const Neighbour& neighbour) const { return (*this)(neighbour.address); }
  };
  struct Equal {
    bool operator()(const Neighbour& a, const Neighbour& b) const { return a.address == b.address; }
    bool operator()(const IpAddress& a, const Neighbour& b) const { return a == b.address; }
  };
  using Table =
      boost::intrusive::unordered_set<Neighbour, boost::intrusive::hash<Hash>, boost::intrusive::equal<Equal>,
                                      boost::intrusive::power_2_buckets<true>>;

  static void on_timer(void* owner, Instant now);
  [[nodiscard]] bool is_latest(const IpAddress& address) const {
    return latest_ != nullptr && latest_->address == address;
  }
  /// What it finds is the latest from now on.
  [[nodiscard]] Neighbour* lookup(const IpAddress& address);
  void confirm_other(const IpAddress& address, Instant now);
  /// Null at the limit, when nothing can be evicted.
  [[nodiscard]] Neighbour* create(const IpAddress& address, Instant now);
  [[nodiscard]] bool evict_one();
  void remove(Neighbour& neighbour);
  [[nodiscard]] const MacAddress* use_unconfirmed(Neighbour& neighbour, Instant now);
  void learn(Neighbour& neighbour, const MacAddress& mac, bool solicited, Instant now);
  void advance(Neighbour& neighbour, Instant now);
  void give_up(Neighbour& neighbour, Instant now);
  void request(Neighbour& neighbour, Instant now);
  void reply(const wire::ArpPacket& request, Instant now);
  /// False: no memory.
  bool send(const wire::ArpPacket& arp, const MacAddress& to, NeighbourCounter counter, Instant now);
  [[nodiscard]] static bool sender_is_possible(const wire::ArpPacket& arp);

  NeighbourConfig config_;
  Interface& interface_;
  PacketPool& pool_;
  TimerWheel& timers_;
  Duration reachable_;
  std::vector<Table::bucket_type> buckets_;
  Table table_;
  Neighbour* latest_ = nullptr;               ///< looked up last
  boost::intrusive::list<Neighbour> by_age_;  ///< roughly: what an eviction passes over goes to the back
  std::size_t queued_ = 0;
  CounterSet<NeighbourCounter> counters_;
};

}  // namespace millrace::link
