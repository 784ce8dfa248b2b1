#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/ip_address.h"
#include "base/result.h"
#include "base/time.h"
#include "packet/packet.h"
#include "socket/readiness.h"

namespace millrace {

enum class SocketType : std::uint8_t { kStream, kDatagram };

/// A piece of the caller's memory.
struct IoSlice {
  std::uint8_t* data = nullptr;
  std::size_t size = 0;
};
struct ConstIoSlice {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
};

/// Of who sends memory that stays his: makes Buffers of it that a queue can hold and a packet can share.
class MemoryLender {
 public:
  MemoryLender(const MemoryLender&) = delete;
  MemoryLender& operator=(const MemoryLender&) = delete;
  /// These bytes stay as they are until the Buffer is released. Null: no memory.
  [[nodiscard]] virtual BufferRef lend(const std::uint8_t* bytes, std::uint32_t size) = 0;

 protected:
  MemoryLender() = default;
  ~MemoryLender() = default;
};

/// Received payload that was given out instead of copied: the packets as they came, the first byte first.
struct Loan {
  PacketQueue packets;
  std::size_t storage = 0;  ///< that they keep, charged until Tcp::take_back()
};

struct SendFlags {
  bool more = false;           ///< MSG_MORE: hold back a partial segment
  bool out_of_band = false;    ///< MSG_OOB
  bool fast_open = false;      ///< MSG_FASTOPEN: connect to `to`, with data in the SYN where that can be
  bool end_of_record = false;  ///< MSG_EOR, accepted and without effect on a stream
  /// Of a stream: its Buffers are queued in the place of copies, where that is worth it.
  MemoryLender* lender = nullptr;
  // --- of this datagram only
  std::optional<std::uint8_t> tos = {}, ttl = {};
  std::optional<IpAddress> source = {};  ///< a wildcard: the route's, whatever the socket is bound to
  std::optional<std::uint8_t> interface_id = {};  ///< by which it must leave
};
struct ReceiveFlags {
  bool peek = false;         ///< MSG_PEEK
  bool out_of_band = false;  ///< MSG_OOB
  bool discard = false;      ///< MSG_TRUNC on a stream: count and drop, write nothing
  /// Of a stream: an empty loan, into which payload goes in the place of the slices: in no more pieces than
  /// they are, no more than their sizes. kNoBuffers: too much is lent or queued already.
  Loan* loan = nullptr;
};
struct Received {
  std::size_t bytes = 0;           ///< written to the slices (stream: 0 is end of file)
  std::size_t datagram_bytes = 0;  ///< datagram: its full length, which may be larger (MSG_TRUNC)
  Endpoint from;                   ///< datagram: who sent it
  IpAddress to;                    ///< datagram: to which address (IP_PKTINFO)
  std::uint8_t interface_id = 0;   ///< datagram: by which interface
  std::uint8_t tos = 0, ttl = 0;   ///< datagram: of its IP header
  Instant timestamp{};             ///< arrival (stream: of the last byte); kEpoch when not taken
  std::size_t bytes_left = 0;      ///< stream: what a next receive would find; 1 for nothing but the end
};

enum class Shutdown : std::uint8_t { kRead, kWrite, kBoth };

/// Options below the level of files. Values are integers in the unit of the Linux option of the same name;
/// the posix room translates structures (linger, timeval). What a protocol does not implement is
/// kProtocolNotAvailable, never a false success.
enum class SocketOption : std::uint8_t {
  kReuseAddress,        ///< SO_REUSEADDR
  kReusePort,           ///< SO_REUSEPORT
  kBroadcast,           ///< SO_BROADCAST
  kKeepalive,           ///< SO_KEEPALIVE
  kLinger,              ///< SO_LINGER: seconds, or -1 for off
  kSendBuffer,          ///< SO_SNDBUF: as Linux, reads back doubled
  kReceiveBuffer,       ///< SO_RCVBUF
  kReceiveBufferForce,  ///< SO_RCVBUFFORCE: without the limit for everybody
  kSendBufferForce,     ///< SO_SNDBUFFORCE
  kReceiveLowWater,     ///< SO_RCVLOWAT
  kOutOfBandInline,     ///< SO_OOBINLINE
  kTypeOfService,       ///< IP_TOS
  kTimeToLive,          ///< IP_TTL
  kMtuDiscover,         ///< IP_MTU_DISCOVER
  kPathMtu,             ///< IP_MTU, read only
  kFreeBind,            ///< IP_FREEBIND: bind to an address that is not ours
  kBindWithoutPort,     ///< IP_BIND_ADDRESS_NO_PORT: port 0 is chosen when the peer is known
  kNoDelay,             ///< TCP_NODELAY
  kCork,                ///< TCP_CORK
  kQuickAck,            ///< TCP_QUICKACK
  kMaxSegment,          ///< TCP_MAXSEG
  kKeepaliveIdle,       ///< TCP_KEEPIDLE, seconds
  kKeepaliveInterval,   ///< TCP_KEEPINTVL, seconds
  kKeepaliveCount,      ///< TCP_KEEPCNT
  kUserTimeout,         ///< TCP_USER_TIMEOUT, milliseconds
  kDeferAccept,         ///< TCP_DEFER_ACCEPT, seconds
  kLinger2,             ///< TCP_LINGER2, seconds
  kSynCount,            ///< TCP_SYNCNT
  kFastOpen,            ///< TCP_FASTOPEN on a listener: connections that may wait for their handshake's end
  kFastOpenConnect,     ///< TCP_FASTOPEN_CONNECT: connect() waits for the first data, when there is a cookie
  kFastOpenNoCookie,    ///< TCP_FASTOPEN_NO_COOKIE
  kCongestion,          ///< TCP_CONGESTION: the place in tcp::congestion_list()
  kNotSentLowWater,     ///< TCP_NOTSENT_LOWAT
  kV6Only,              ///< IPV6_V6ONLY: the wildcard leaves IPv4 alone; only before bind
};

/// A snapshot for TCP_INFO and ss. Times in microseconds unless said otherwise; sequence space in bytes.
struct TcpInfo {
  std::uint8_t state = 0;  ///< Linux's numbers: 1 ESTABLISHED ... 11 CLOSING
  std::uint8_t retransmits = 0, probes = 0, backoff = 0;
  bool timestamps = false, sack = false, window_scaling = false, ecn = false;
  bool syn_data = false;      ///< Fast Open: data in the SYN was acknowledged
  std::uint8_t ca_state = 0;  ///< Linux's numbers: 0 Open, 1 Disorder, 2 CWR, 3 Recovery, 4 Loss
  std::uint8_t snd_wscale = 0, rcv_wscale = 0;
  std::uint32_t rto = 0, ato = 0, snd_mss = 0, rcv_mss = 0, advmss = 0, pmtu = 0;
  std::uint32_t unacked = 0, sacked = 0, lost = 0, retrans = 0;             ///< segments
  std::uint32_t last_data_sent = 0, last_data_recv = 0, last_ack_recv = 0;  ///< milliseconds ago
  std::uint32_t rcv_ssthresh = 0, snd_ssthresh = 0, snd_cwnd = 0;           ///< segments for the last two
  std::uint32_t rtt = 0, rttvar = 0, min_rtt = 0, rcv_rtt = 0, rcv_space = 0;
  std::uint32_t reordering = 0, total_retrans = 0;
  std::uint32_t reord_seen = 0, dsack_dups = 0, rcv_ooopack = 0;  ///< events; segments
  std::uint64_t bytes_acked = 0, bytes_received = 0, bytes_sent = 0, bytes_retrans = 0;
  std::uint32_t segs_out = 0, segs_in = 0, data_segs_in = 0, data_segs_out = 0, notsent_bytes = 0;
  std::uint32_t snd_wnd = 0;
  std::uint64_t delivery_rate = 0, pacing_rate = 0;  ///< bytes/s; pacing 0: not paced
  bool delivery_rate_app_limited = false;
};

/// Sockets that have something to tell since the list was last drained. The Stack owns one; the posix room
/// drains it after each poll and each call, and wakes whoever waits.
class ReadyList {
 public:
  [[nodiscard]] bool empty() const { return list_.empty(); }
  void add(Socket& socket);
  /// Null when empty. The caller then reads take_events().
  [[nodiscard]] Socket* pop();

 private:
  boost::intrusive::list<Socket, boost::intrusive::base_hook<ReadyHook>,
                         boost::intrusive::constant_time_size<false>>
      list_;
};

/// What every socket has, whatever its protocol: readiness, an error, the calls. Nonblocking throughout:
/// kAgain says that the call would block. Owned by who created or accepted it; destroying it means close()
/// for it. Used only under the context's lock. `now` is the time of the call.
class Socket : public ReadyHook {
 public:
  Socket(SocketType type, IpAddress::Family family, ReadyList& ready)
      : type_(type), family_(family), ready_list_(&ready) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  virtual ~Socket() = default;

  [[nodiscard]] SocketType type() const { return type_; }
  /// Of IPv6: takes both, and unless kV6Only says otherwise its wildcard stands for IPv4 too.
  [[nodiscard]] IpAddress::Family family() const { return family_; }

  // --- calls, as the BSD calls of the same name
  virtual Result<void> bind(const Endpoint& local) = 0;
  /// TCP: kInProgress when the handshake was started; then kWritable or kError tells. Again: kAlready,
  /// kIsConnected.
  virtual Result<void> connect(const Endpoint& remote, Instant now) = 0;
  /// connect() with AF_UNSPEC: a datagram socket forgets its peer.
  virtual Result<void> disconnect(Instant now) = 0;
  virtual Result<void> listen(int backlog, Instant now) = 0;
  virtual Result<std::unique_ptr<Socket>> accept(Instant now) = 0;
  /// `to` is null for a connected socket. Returns bytes taken (a stream may take fewer).
  virtual Result<std::size_t> send(std::span<const ConstIoSlice> data, const Endpoint* to, SendFlags flags,
                                   Instant now) = 0;
  virtual Result<Received> receive(std::span<const IoSlice> out, ReceiveFlags flags, Instant now) = 0;
  /// Of a stream, as most calls are: send() of one piece that is taken whole, which no more than kMostWhole
  /// bytes are, and receive() of all that is there. `data` is not null. Returns the bytes; 0: nothing is
  /// done, and the general call has more to say.
  static constexpr std::size_t kMostWhole = 384;
  [[nodiscard]] virtual std::size_t send_whole(ConstIoSlice data, Instant now) {
    (void)data, (void)now;
    return 0;
  }
  [[nodiscard]] virtual std::size_t receive_whole(IoSlice out, Instant now) {
    (void)out, (void)now;
    return 0;
  }
  virtual Result<void> shutdown(Shutdown how, Instant now) = 0;
  /// The application lets go. TCP goes on in the background (FIN, retransmission, TIME-WAIT) without this
  /// object. With SO_LINGER 0 a reset is sent. Idempotent.
  virtual void close(Instant now) = 0;

  [[nodiscard]] virtual Endpoint local_endpoint() const = 0;
  /// kNotConnected when there is none.
  [[nodiscard]] virtual Result<Endpoint> remote_endpoint() const = 0;
  /// For accept(): who connected, known even when the connection has died since.
  [[nodiscard]] virtual Endpoint accepted_from() const {
    const Result<Endpoint> remote = remote_endpoint();
    return remote ? *remote : Endpoint{};
  }
  virtual Result<void> set_option(SocketOption option, std::int64_t value, Instant now) = 0;
  [[nodiscard]] virtual Result<std::int64_t> option(SocketOption option) const = 0;
  /// False for what is not TCP.
  [[nodiscard]] virtual bool tcp_info(TcpInfo& info, Instant now) const {
    (void)info, (void)now;
    return false;
  }
  [[nodiscard]] virtual bool is_listening() const { return false; }
  /// FIONREAD: bytes that a receive would return (datagram: of the first one).
  [[nodiscard]] virtual std::size_t readable_bytes() const = 0;
  /// TIOCOUTQ: bytes not acknowledged yet.
  [[nodiscard]] virtual std::size_t unsent_bytes() const { return 0; }
  /// sockatmark(3).
  [[nodiscard]] virtual bool at_mark() const { return false; }
  /// SO_LINGER with close: true while unsent or unacknowledged data, or a FIN, is outstanding.
  [[nodiscard]] virtual bool draining() const { return false; }

  // --- readiness
  /// The state now, level-triggered: what poll() would report.
  [[nodiscard]] virtual Ready readiness() const = 0;
  /// Events since the last call, edge-triggered: what EPOLLET would report. New data sets kReadable again
  /// even if it was.
  [[nodiscard]] Ready take_events() { return std::exchange(events_, Ready{0}); }
  /// Called by the protocol: these events happened.
  void signal(Ready events) {
    events_ |= events;
    ready_list_->add(*this);
  }
  /// Pending error (SO_ERROR): read and cleared.
  [[nodiscard]] Error take_error() { return std::exchange(error_, Error::kNone); }
  [[nodiscard]] Error pending_error() const { return error_; }
  void set_error(Error error) { error_ = error; }

  /// The posix room's object for this socket; opaque here.
  void* user = nullptr;

 private:
  SocketType type_;
  IpAddress::Family family_;
  Error error_ = Error::kNone;
  Ready events_ = 0;
  ReadyList* ready_list_;
};

inline void ReadyList::add(Socket& socket) {
  if (!socket.ReadyHook::is_linked()) list_.push_back(socket);
}
inline Socket* ReadyList::pop() {
  if (list_.empty()) return nullptr;
  Socket* socket = &list_.front();
  list_.pop_front();
  return socket;
}

}  // namespace millrace
