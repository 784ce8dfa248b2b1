#pragma once

#include <cstddef>
#include <cstdint>

#include <boost/intrusive/list.hpp>

#include "base/timer_wheel.h"
#include "ip/ip.h"
#include "tcp/connection.h"
#include "tcp/flow_table.h"
#include "tcp/options.h"
#include "tcp/segment.h"
#include "tcp/syn_sources.h"

namespace millrace::tcp {

class Tcp;

/// Connections made of a SYN with data whose handshake is not through (RFC 7413 §5.1: how many there may be).
using FastOpenList = boost::intrusive::list<Connection, boost::intrusive::base_hook<FastOpenHook>,
                                            boost::intrusive::constant_time_size<true>>;

/// A connection in SYN-RECEIVED after a passive open: all that a SYN told, and nothing more. It becomes a
/// Connection when the handshake's third segment comes.
class Request final
    : public Flow,
      public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  Request(Tcp& tcp, Listener& listener, const FlowKey& key);
  ~Request();

  Handshake handshake;
  std::uint32_t ts_offset = 0;
  std::uint32_t source_hash = 0;  ///< of the peer's address, for SynSources
  std::uint16_t mss = 536;        ///< ours, advertised
  std::uint8_t retries = 0;
  bool give_cookie = false;   ///< the SYN-ACK brings a Fast Open cookie
  bool acknowledged = false;  ///< by a bare ACK, which TCP_DEFER_ACCEPT does not take for enough
  Instant last_answer{};
  Timer timer;
  Listener& listener;

 private:
  Tcp& tcp_;
};

/// A listening endpoint: requests half open, and connections that wait for accept().
class Listener {
 public:
  Listener(Tcp& tcp, TcpSocket& socket, const Endpoint& local, const Options& options, int backlog);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  /// Resets what nobody accepted.
  ~Listener();

  void set_backlog(int backlog);
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const Endpoint& local() const { return local_; }
  [[nodiscard]] const TcpSocket& socket() const { return socket_; }
  /// Connections that wait for accept(), and how many may.
  [[nodiscard]] std::size_t queued() const { return queued_; }
  [[nodiscard]] std::size_t backlog() const { return backlog_; }
  Result<void> set_option(SocketOption option, std::int64_t value) { return options_.set(option, value); }

  /// A SYN for this endpoint. `iss_after`: the new ISS must lie behind it (a TIME-WAIT entry was recycled),
  /// or null.
  void on_syn(const FlowKey& key, Segment& segment, const ip::PacketInfo& info, const SeqNum* iss_after,
              Instant now);
  /// Whether a SYN that ends a TIME-WAIT entry would be taken: it never gets a cookie, whose number may lie
  /// among those of the old connection.
  [[nodiscard]] bool has_room_for_reuse() const {
    return !accept_queue_full() && request_count_ < 2 * syn_backlog();
  }
  /// A segment with ACK that belongs to nothing: false when it brings no cookie of ours back. Or to
  /// `request`, of the same SYN when it came again, which goes when the cookie makes a connection.
  [[nodiscard]] bool on_cookie(const FlowKey& key, Segment& segment, Instant now, Request* request = nullptr);
  /// A segment for a request of ours; `request` may be gone afterwards.
  void on_request_segment(Request& request, Segment& segment, Instant now);
  /// About our SYN-ACK; `request` may be gone afterwards.
  void on_request_icmp(Request& request, const ip::IcmpError& error);

  /// The handshake of a Fast Open connection is through, or it ended before.
  void fast_open_done(Connection& connection, bool was_reset, Instant now);

  [[nodiscard]] bool has_connection() const { return !accept_queue_.empty(); }
  /// Null when there is none.
  [[nodiscard]] Connection* accept();
  /// Ends everything; the listener accepts nothing more.
  void stop(Instant now);

 private:
  [[nodiscard]] bool accept_queue_full() const { return queued_ > backlog_; }
  [[nodiscard]] static std::uint32_t source_hash_of(const Tcp& tcp, const FlowKey& key);
  [[nodiscard]] static std::uint32_t timestamp(std::uint32_t offset, Instant now) {
    return offset + static_cast<std::uint32_t>(to_ms(now.time_since_epoch()));
  }
  // listener_syn.cc
  [[nodiscard]] std::size_t syn_backlog() const;
  /// A full SYN queue, or a source that has its share of it: false when the SYN is dealt with.
  [[nodiscard]] bool admit(const FlowKey& key, const Segment& segment, Instant now);
  [[nodiscard]] bool evict();
  [[nodiscard]] Handshake read_syn(const Segment& segment) const;
  [[nodiscard]] std::uint16_t own_mss(const ip::RouteResult& route) const;
  void send_cookie(const FlowKey& key, const Segment& segment, Instant now);
  // listener.cc
  void send_syn_ack(const FlowKey& key, const Handshake& handshake, std::uint16_t mss, std::uint32_t ts_value,
                    bool give_cookie, Instant now);
  void answer(Request& request, Instant now);
  void send_ack(const Request& request, Instant now);
  void on_request_timer(Request& request, Instant now);
  // listener_fast_open.cc
  /// What a SYN's Fast Open option leads to: whether the SYN may become a connection at once, and whether its
  /// SYN-ACK brings a cookie.
  struct FastOpen {
    bool open = false, give_cookie = false;
  };
  [[nodiscard]] FastOpen judge_fast_open(const FlowKey& key, const Segment& segment, Instant now);
  void open_fast(const FlowKey& key, const Handshake& handshake, const ip::RouteResult& route,
                 Segment& segment, Instant now);
  void become_connection(const FlowKey& key, const Handshake& handshake, const ip::RouteResult& route,
                         Segment& segment, Instant now);
  [[nodiscard]] bool request_acceptable(const Request& request, const Segment& segment) const;

  Tcp& tcp_;
  TcpSocket& socket_;
  Endpoint local_;
  Options options_;
  std::size_t backlog_ = 0;
  std::size_t queued_ = 0;
  std::size_t request_count_ = 0;
  Instant cookie_sent_ = kNever;  ///< the last one; kNever: none
  SynSources sources_;
  boost::intrusive::list<Connection, boost::intrusive::base_hook<AcceptHook>,
                         boost::intrusive::constant_time_size<false>>
      accept_queue_;
  FastOpenList fast_open_;
  std::size_t fast_open_resets_ = 0;  ///< of them that ended by a RST not long ago
  Instant fast_open_reset_at_{};
  boost::intrusive::list<Request, boost::intrusive::constant_time_size<false>> requests_;

  friend class Request;
};

}  // namespace millrace::tcp
