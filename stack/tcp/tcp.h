#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "base/apart.h"
#include "base/counters.h"
#include "base/rng.h"
#include "base/timer_wheel.h"
#include "ip/ip_layer.h"
#include "packet/pool.h"
#include "socket/socket.h"
#include "tcp/config.h"
#include "tcp/counters.h"
#include "tcp/delayed_acks.h"
#include "tcp/fast_open.h"
#include "tcp/flow_table.h"
#include "tcp/isn.h"
#include "tcp/lookahead.h"
#include "tcp/memory_budget.h"
#include "tcp/port_table.h"
#include "tcp/scoreboard.h"
#include "tcp/segment.h"
#include "tcp/syn_cookie.h"
#include "tcp/syn_memory.h"

namespace millrace::tcp {

class Connection;
class Dormant;
class Listener;
class Request;
class TcpSocket;
class TimeWait;

/// TCP (RFC 9293): the demultiplexer, what belongs to no connection (resets, TIME-WAIT, SYN-RECEIVED
/// requests), and what all connections share (ISNs, ports, memory budgets, the list of connections with
/// something to send).
class alignas(kApart) Tcp final : public ip::Transport {
 public:
  Tcp(const Config& config, ip::IpLayer& ip, PacketPool& pool, ObjectSlabs& slabs, TimerWheel& timers,
      ReadyList& ready, Rng& rng, Instant now);
  ~Tcp() override;

  // --- from below
  void on_packet(PacketPtr packet, const ip::PacketInfo& info, Instant now) override;
  void on_icmp_error(const ip::IcmpError& error, Instant now) override;
  [[nodiscard]] std::size_t looks_ahead() const override {
    return lookahead_.worthwhile() ? Lookahead::kDepth : 0;
  }
  void expect(std::span<const std::uint8_t> addresses, std::span<const std::uint8_t> packet) override;
  /// Ends a batch: transmits for every connection that was touched, and buries the dead.
  void flush(Instant now);
  /// There is a connection that was touched.
  [[nodiscard]] bool has_pending() const;
  /// After the interfaces were flushed: connections that waited for their device send where there is room
  /// again. True when some did.
  bool resume_senders(Instant now) { return senders_waited_ && resume_waiting(now); }

  // --- from above
  [[nodiscard]] std::unique_ptr<Socket> create_socket(IpAddress::Family family);
  /// See Stack::create_twin().
  [[nodiscard]] std::unique_ptr<Socket> create_twin(const TcpSocket& model, bool guest);

  /// What ReceiveFlags::loan gave out is not needed any more.
  void take_back(Loan& loan);

  /// Whether a SYN that would get a cookie is answered now.
  [[nodiscard]] bool cookie_allowed(const FlowKey& key, SeqNum irs, Instant now);

  // --- for tests and tools
  [[nodiscard]] const CounterSet<Counter>& counters() const { return counters_; }
  [[nodiscard]] std::size_t connection_count() const { return connection_count_; }
  /// ... and of these sleep.
  [[nodiscard]] std::size_t dormant_count() const { return dormant_count_; }
  [[nodiscard]] std::size_t time_wait_count() const { return time_wait_count_; }
  [[nodiscard]] std::size_t request_count() const { return request_count_; }

  // --- for the other classes of this room
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] ip::IpLayer& ip() { return ip_; }
  [[nodiscard]] PacketPool& pool() { return pool_; }
  /// For what a connection consists of.
  [[nodiscard]] ObjectSlabs& slabs() { return slabs_; }
  [[nodiscard]] TimerWheel& timers() { return timers_; }
  [[nodiscard]] ReadyList& ready_list() { return ready_; }
  [[nodiscard]] Rng& rng() { return rng_; }
  [[nodiscard]] FlowTable& flows() { return flows_; }
  [[nodiscard]] const FlowTable& flows() const { return flows_; }
  [[nodiscard]] PortTable& ports() { return ports_; }
  [[nodiscard]] MemoryBudget& send_budget() { return send_budget_; }
  [[nodiscard]] MemoryBudget& receive_budget() { return receive_budget_; }
  [[nodiscard]] const MemoryBudget& receive_budget() const { return receive_budget_; }
  [[nodiscard]] SentSegmentPool& sent_segments() { return sent_segments_; }
  [[nodiscard]] const IsnGenerator& isn() const { return isn_; }
  [[nodiscard]] const SynCookies& syn_cookies() const { return syn_cookies_; }
  [[nodiscard]] const FastOpenCookies& fast_open_cookies() const { return fast_open_cookies_; }
  [[nodiscard]] FastOpenCache& fast_open_cache() { return fast_open_cache_; }
  [[nodiscard]] LiveTable& live() { return live_; }
  /// There are so many that no near cache has what belongs to them.
  [[nodiscard]] bool has_many_flows() const { return lookahead_.worthwhile(); }
  /// For when there are.
  [[nodiscard]] DelayedAcks& delayed_acks() { return delayed_acks_; }
  void count(Counter counter, std::uint64_t n = 1) { counters_.add(counter, n); }

  /// Puts it on the list that flush() works through.
  void mark_pending(Connection& connection);
  /// A connection that nobody needs any more: destroyed at the end of the batch.
  void bury(Connection& connection);
  void connection_born() { ++connection_count_; }
  /// So many connections fall asleep in one turn, and others later, as many in each such time: their memory
  /// goes back to the system, which may take long, and meanwhile nobody is served.
  static constexpr std::size_t kSleepersATurn = 64;
  static constexpr Duration kTurnOfSleepers = 1ms;
  /// Nothing has happened on it for long: at the end of the batch it becomes a Dormant, if it can. Else when
  /// to ask again, as many others came first.
  [[nodiscard]] std::optional<Instant> consider_dormant(Connection& connection, Instant now);
  /// It is a Connection again, of the same socket, which learns of it from its caller.
  [[nodiscard]] Connection& wake(Dormant& dormant, Instant now);
  /// What it would be awake, for a look: ends with let_go() before it is deleted.
  [[nodiscard]] Connection* connection_of(const Dormant& dormant, Instant now);
  void enter_time_wait(Connection& connection, Instant now);
  void remove_time_wait(TimeWait& entry);
  /// Of this address with that endpoint, among the oldest there are; null: none of those is.
  [[nodiscard]] TimeWait* oldest_time_wait(const IpAddress& local, const Endpoint& remote);
  void request_born() { ++request_count_; }
  void request_gone() { --request_count_; }
  /// RFC 5961 §7: true when a challenge ACK may be sent now.
  [[nodiscard]] bool challenge_ack_allowed(Instant now);
  /// Waits until send memory is there again; the socket is then signalled kWritable.
  void wait_for_memory(TcpSocket& socket);
  /// The connection's output() comes again when its device has room.
  void wait_for_device(Connection& connection, std::uint8_t interface_id);
  /// RFC 6056 §3.3.4: what to add to a flow's port offset.
  [[nodiscard]] std::uint32_t next_port_increment();

  /// Builds and sends one segment. `payload` has headroom for all headers (or is null: a control segment,
  /// taken from the pool's reserve).
  struct Outgoing {
    SeqNum seq, ack;
    std::uint8_t flags = 0;
    std::uint16_t window = 0;
    std::uint16_t urgent_pointer = 0;
    std::uint16_t gso_size = 0;
    std::uint8_t tos = 0, ttl = 64;
    bool dont_fragment = true;
    bool ecn_capable = false;  ///< ECT(0) (RFC 3168 §5)
    const wire::TcpOptions* options = nullptr;
    /// Without `options`: those of a segment in the middle of a connection.
    std::optional<wire::TcpOptions::Timestamps> timestamps;
  };
  Result<void> send_segment(const FlowKey& key, const Outgoing& outgoing, PacketPtr payload,
                            const ip::RouteResult* route, Instant now);
  /// The same of the usual segment, with all its headers written at once (usual_segment.h): whole, atomic, in
  /// one piece behind room for headers, and nothing left to be done for it below. False: nothing was done.
  [[nodiscard]] inline bool send_usual(const FlowKey& key, const Outgoing& outgoing, PacketPtr& payload,
                                       const ip::RouteResult& route, Instant now);
  /// For whoever ends the connections of a stack that died: tells the peer, whose next segment would be
  /// answered by a reset anyway.
  void reset_abandoned(const LiveEntry& entry, Instant now);
  /// The reset that RFC 9293 §3.10.7.1 prescribes for a segment without a connection.
  void send_reset_for(const FlowKey& key, const Segment& segment, const ip::PacketInfo& info, Instant now);

 private:
  /// All but the options. `length`: with options and payload. The checksum is the pseudo-header's sum.
  inline void write_header(std::uint8_t* at, const FlowKey& key, const Outgoing& outgoing,
                           std::uint32_t header_length, std::uint32_t length) const;
  bool resume_waiting(Instant now);
  void on_time_wait_segment(TimeWait& entry, Segment& segment, const ip::PacketInfo& info, Instant now);
  /// What falls asleep, and what is dead. Apart from flush(), which every turn calls.
  [[gnu::noinline]] void put_away();
  void put_to_sleep(Connection& connection);
  [[nodiscard]] inline Flow* find_flow(const ip::PacketInfo& info, const wire::TcpHeader& header) const;
  void on_orphan_segment(const FlowKey& key, Segment& segment, const ip::PacketInfo& info, Instant now);

  Config config_;
  ip::IpLayer& ip_;
  PacketPool& pool_;
  ObjectSlabs& slabs_;
  TimerWheel& timers_;
  ReadyList& ready_;
  Rng& rng_;
  IsnGenerator isn_;
  SentSegmentPool sent_segments_;
  SynCookies syn_cookies_;
  ip::TokenBucket cookie_rate_;
  std::unique_ptr<SynMemory> syn_memory_;  ///< since there was a flood
  FastOpenCookies fast_open_cookies_;
  FastOpenCache fast_open_cache_;
  FlowTable flows_;
  Lookahead lookahead_{flows_};
  PortTable ports_;
  MemoryBudget send_budget_, receive_budget_;
  LiveTable live_;
  DelayedAcks delayed_acks_;
  CounterSet<Counter> counters_;
  bool senders_waited_ = false;  ///< for a device, some time
  std::size_t connection_count_ = 0, dormant_count_ = 0, time_wait_count_ = 0, request_count_ = 0;
  Instant challenge_window_start_{};
  unsigned challenge_count_ = 0;
  std::array<std::uint32_t, 64> port_increments_{};
  struct Lists;
  std::unique_ptr<Lists> lists_;
};

}  // namespace millrace::tcp
