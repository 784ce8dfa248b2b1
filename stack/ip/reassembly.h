#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/unordered_set.hpp>

#include "base/ip_address.h"
#include "base/keyed_hash.h"
#include "base/rng.h"
#include "base/timer_wheel.h"
#include "ip/config.h"
#include "ip/counters.h"
#include "packet/pool.h"
#include "wire/ipv4.h"

namespace millrace::ip {

/// Who hears that a datagram timed out with its first fragment there (RFC 792: time exceeded, code 1).
class ReassemblyListener {
 public:
  /// data() of `first` behind its IP header, network_header() valid.
  virtual void on_reassembly_timeout(const Packet& first, Instant now) = 0;

 protected:
  ~ReassemblyListener() = default;
};

/// Puts IPv4 datagrams together again (RFC 791 §3.2, RFC 815).
///
/// Fragments that overlap end their datagram, as RFC 5722 demands for IPv6: all of it is dropped, and so is
/// what still comes, until the timeout. An exact copy of a fragment is ignored. Bounded in storage and in
/// datagrams; at a limit the oldest goes, first among those of the same source: sources share the limits by a
/// hash of their address, and none gets more than a quarter.
class Reassembler {
 public:
  Reassembler(const Config& config, PacketPool& pool, TimerWheel& timers, Rng& rng,
              CounterSet<Counter>& counters, ReassemblyListener& listener);
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;
  ~Reassembler();

  /// Takes a fragment, data() behind its IP header. Returns the datagram when this completed it: likewise,
  /// with the first fragment's header rewritten to that of the whole. Null otherwise.
  [[nodiscard]] PacketPtr add(PacketPtr fragment, const wire::Ipv4Header& header, Instant now);

  [[nodiscard]] std::size_t datagrams() const { return table_.size(); }
  [[nodiscard]] std::size_t bytes_held() const { return bytes_; }

 private:
  static constexpr std::size_t kMaxFragments = 1536;  ///< a datagram; 64 KiB at MTU 68 takes 1,366
  static constexpr std::size_t kShares = 64;

  struct Key {
    IpAddress source, destination;
    std::uint16_t identification = 0;
    std::uint8_t protocol = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  using Fragments = boost::intrusive::list<Packet>;
  struct Datagram : boost::intrusive::unordered_set_base_hook<boost::intrusive::store_hash<true>>,
                    boost::intrusive::list_base_hook<> {
    Key key;
    Fragments fragments;         ///< by offset, without gaps in order only when complete
    std::uint32_t received = 0;  ///< bytes
    std::uint32_t total = 0;     ///< known once the last fragment came, else 0
    std::size_t storage = 0;
    bool poisoned = false;  ///< overlapped: swallow what still comes
    std::uint8_t share = 0;
    Instant expires{};
    ~Datagram() { clear(); }
    void clear();
  };
  struct Hash {
    const KeyedHash* hash;
    std::size_t operator()(const Key& key) const;
    std::size_t operator()(const Datagram& datagram) const { return (*this)(datagram.key); }
  };
  struct Equal {
    bool operator()(const Datagram& a, const Datagram& b) const { return a.key == b.key; }
    bool operator()(const Key& a, const Datagram& b) const { return a == b.key; }
  };
  using Table =
      boost::intrusive::unordered_set<Datagram, boost::intrusive::hash<Hash>, boost::intrusive::equal<Equal>,
                                      boost::intrusive::power_2_buckets<true>>;
  /// What one bucket of sources holds.
  struct Share {
    std::size_t datagrams = 0;
    std::size_t bytes = 0;
  };
  enum class Insertion : std::uint8_t { kInserted, kDuplicate, kOverlap };

  static void on_timer(void* owner, Instant now);
  [[nodiscard]] bool acceptable(const Packet& fragment, const wire::Ipv4Header& header);
  [[nodiscard]] Datagram& find_or_create(const Key& key, Instant now);
  [[nodiscard]] static Insertion insert(Datagram& datagram, Packet& fragment);
  void poison(Datagram& datagram);
  void make_room(const Datagram& keep);
  void evict(Datagram& datagram);
  void remove(Datagram& datagram);
  void charge(Datagram& datagram, std::size_t bytes);
  void release_storage(Datagram& datagram);
  [[nodiscard]] PacketPtr assemble(Datagram& datagram);
  [[nodiscard]] PacketPtr assemble_flat(Datagram& datagram, PacketPtr first);

  Config config_;
  PacketPool& pool_;
  TimerWheel& timers_;
  CounterSet<Counter>& counters_;
  ReassemblyListener& listener_;
  KeyedHash hash_;
  std::vector<Table::bucket_type> buckets_;
  Table table_;
  boost::intrusive::list<Datagram> by_age_;
  std::size_t bytes_ = 0;
  std::array<Share, kShares> shares_{};
  Timer timer_;
};

}  // namespace millrace::ip
