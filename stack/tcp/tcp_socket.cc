#include "tcp/tcp_socket.h"

#include <array>
#include <utility>

#include "ip/v6_loopback.h"
#include "tcp/connection.h"
#include "tcp/dormant.h"
#include "tcp/listener.h"
#include "tcp/tcp.h"
#include "tcp/time_wait.h"

namespace millrace::tcp {

TcpSocket::TcpSocket(Tcp& tcp, IpAddress::Family family)
    : Socket(SocketType::kStream, family, tcp.ready_list()), tcp_(tcp), options_(tcp.config()) {}

TcpSocket::TcpSocket(Tcp& tcp, const TcpSocket& model, bool guest)
    : Socket(SocketType::kStream, model.family(), tcp.ready_list()),
      tcp_(tcp),
      reuse_address_(model.reuse_address_),
      reuse_port_(model.reuse_port_),
      broadcast_(model.broadcast_),
      v6_only_(model.v6_only_),
      free_bind_(model.free_bind_),
      bind_without_port_(model.bind_without_port_),
      guest_(guest),
      options_(model.options_) {}

TcpSocket::TcpSocket(Tcp& tcp, const TcpSocket& listener, Connection& connection)
    : Socket(SocketType::kStream, listener.family(), tcp.ready_list()),
      tcp_(tcp),
      connection_(&connection),
      v6_only_(listener.v6_only_),
      options_(connection.options()) {
  bound_ = connection.local();
  connection.attach(this);
}

TcpSocket::~TcpSocket() {
  close(last_now_);
  if (connection_ != nullptr) connection_->detach(last_now_);
}

Connection& TcpSocket::wake(Instant now) const {
  connection_ = &tcp_.wake(*std::exchange(dormant_, nullptr), now);
  return *connection_;
}

void TcpSocket::fall_asleep(Dormant& dormant) {
  options_ = connection_->options();
  connection_ = nullptr;
  dormant_ = &dormant;
}

// --- naming

void TcpSocket::unbind() {
  if (in_port_table_) tcp_.ports().unbind(bound_->port, *this);
  in_port_table_ = false;
}

Result<void> TcpSocket::bind_port(std::uint16_t port) {
  const PortTable::Binding binding{this,    bound_->address, reuse_address_, reuse_port_,
                                   nullptr, v6_only_,        guest_};
  if (auto result = tcp_.ports().bind(port, binding, tcp_.flows().flows_on_port(port) != 0); !result)
    return result;
  bound_->port = port;
  in_port_table_ = true;
  return {};
}

Result<void> TcpSocket::bind_ephemeral() {
  const std::uint32_t first = tcp_.config().ephemeral_first;
  const std::uint32_t count = tcp_.config().ephemeral_last - first + 1u;
  const std::uint32_t start = tcp_.rng().below(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(first + (start + i) % count);
    if (tcp_.ports().is_bound(port)) continue;
    if (bind_port(port)) return {};
  }
  return Error::kAddressInUse;
}

Result<void> TcpSocket::bind(const Endpoint& local) {
  if (local.address.is_v6() && family() == IpAddress::Family::kV4) return Error::kAddressFamily;
  if (bound_ || connection_ != nullptr || dormant_ != nullptr || closed_) return Error::kInvalid;
  if (local.address.is_multicast() || local.address.is_limited_broadcast() ||
      (!tcp_.ip().is_bindable(local.address) && !free_bind_)) {
    return Error::kAddressNotAvailable;
  }
  bound_ = Endpoint{local.address, 0};
  if (local.address.is_v6() && !local.address.is_unspecified()) v6_only_ = true;  // as Linux
  if (local.port == 0 && bind_without_port_) return {};
  auto result = local.port == 0 ? bind_ephemeral() : bind_port(local.port);
  if (!result) bound_.reset();
  return result;
}

bool TcpSocket::may_take_over(const TimeWait& entry, Instant now) const {
  // RFC 6191: with timestamps, and once the clock has moved on, the old incarnation cannot be confused with
  // the new one.
  const Config::TimeWaitReuse reuse = tcp_.config().time_wait_reuse;
  if (reuse == Config::TimeWaitReuse::kOff) return false;
  if (reuse == Config::TimeWaitReuse::kLoopback && !entry.remote().address.is_loopback()) return false;
  return entry.timestamps && now - entry.ts_recent_at >= 1s;
}

void TcpSocket::take_over(TimeWait& entry, std::optional<SeqNum>& iss_after) {
  iss_after = entry.snd_nxt;
  tcp_.count(Counter::kTimeWaitRecycled);
  tcp_.remove_time_wait(entry);
}

bool TcpSocket::flow_free(const Endpoint& local, const Endpoint& remote, std::optional<SeqNum>& iss_after,
                          Instant now) {
  Flow* flow = tcp_.flows().find(FlowKey{local, remote});
  if (flow == nullptr) return true;
  if (flow->kind() != Flow::Kind::kTimeWait) return false;
  auto& entry = *static_cast<TimeWait*>(flow);
  if (!may_take_over(entry, now)) return false;
  take_over(entry, iss_after);
  return true;
}

std::optional<std::uint16_t> TcpSocket::take_oldest_port(const IpAddress& local, const Endpoint& remote,
                                                         std::optional<SeqNum>& iss_after, Instant now) {
  TimeWait* oldest = tcp_.oldest_time_wait(local, remote);
  if (oldest == nullptr) return std::nullopt;
  const std::uint16_t port = oldest->local().port;
  if (port < tcp_.config().ephemeral_first || port > tcp_.config().ephemeral_last) return std::nullopt;
  if (tcp_.ports().is_bound(port) || !may_take_over(*oldest, now)) return std::nullopt;
  take_over(*oldest, iss_after);
  return port;
}

Result<std::uint16_t> TcpSocket::choose_port(const IpAddress& local, const Endpoint& remote,
                                             const ip::RouteResult& route, std::optional<SeqNum>& iss_after,
                                             Instant now) {
  const std::uint32_t first = tcp_.config().ephemeral_first;
  const std::uint32_t count = tcp_.config().ephemeral_last - first + 1u;
  const std::uint32_t offset = tcp_.isn().port_offset(local, remote) + tcp_.next_port_increment();
  const auto candidate = [&](std::uint32_t i) {
    return static_cast<std::uint16_t>(first + (offset + i) % count);
  };
  const auto usable = [&](std::uint16_t port) {
    return !tcp_.ports().is_bound(port) && route.comes_home({local, port}, remote);
  };
  constexpr std::uint32_t kLookForUnused = 16;
  std::uint32_t taken = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint16_t port = candidate(i);
    if (!usable(port)) continue;
    // A client that has been through all ports would look at each of them for ever: after some that are
    // taken, the one that has been in TIME-WAIT for longest will do, or any that may be taken again.
    if (taken == kLookForUnused) {
      if (const auto oldest = take_oldest_port(local, remote, iss_after, now)) return *oldest;
    }
    if (taken >= kLookForUnused ? flow_free({local, port}, remote, iss_after, now)
                                : tcp_.flows().find(FlowKey{{local, port}, remote}) == nullptr)
      return port;
    ++taken;
  }
  std::uint32_t left = std::min(taken, kLookForUnused);  // those of which only unused ones were taken above
  for (std::uint32_t i = 0; left > 0; ++i) {
    const std::uint16_t port = candidate(i);
    if (!usable(port)) continue;
    if (flow_free({local, port}, remote, iss_after, now)) return port;
    --left;
  }
  return Error::kAddressNotAvailable;
}

Endpoint TcpSocket::local_endpoint() const {
  if (connection_ != nullptr) return connection_->local();
  if (dormant_ != nullptr) return dormant_->local();
  return bound_.value_or(Endpoint{IpAddress::any(family()), 0});
}

Result<Endpoint> TcpSocket::remote_endpoint() const {
  if (dormant_ != nullptr) return dormant_->remote();
  if (connection_ == nullptr || connection_->state() == State::kClosed ||
      connection_->state() == State::kSynSent) {
    return Error::kNotConnected;
  }
  return connection_->remote();
}

Endpoint TcpSocket::accepted_from() const {
  if (dormant_ != nullptr) return dormant_->remote();
  return connection_ != nullptr ? connection_->remote() : Endpoint{};
}

// --- connect

Result<void> TcpSocket::connect(const Endpoint& remote, Instant now) {
  begin(now);
  if (listener_ != nullptr) return Error::kIsConnected;
  if (connection_ != nullptr) {
    if (!connecting_) return Error::kIsConnected;
    switch (connection_->state()) {
      case State::kSynSent:
      case State::kSynReceived:
        return connection_->deferred() ? Error::kIsConnected : Error::kAlready;
      case State::kClosed: {
        const Error error = take_error();
        static_cast<void>(disconnect(now));
        return error != Error::kNone ? error : Error::kConnectionAborted;
      }
      default:
        connecting_ = false;
        return {};
    }
  }
  Opening how = Opening::kNow;
  if (options_.fast_open_connect && (tcp_.config().fast_open & FastOpenBits::kClient) != 0)
    how = may_fast_open(remote.address, now) ? Opening::kWithData : Opening::kAskCookie;
  return open(remote, how, now);
}

bool TcpSocket::may_fast_open(const IpAddress& remote, Instant now) const {
  const FastOpenCache::Entry* known = tcp_.fast_open_cache().find(remote, now);
  if (known != nullptr && FastOpenCache::black_hole(*known, now)) return false;
  if ((tcp_.config().fast_open & FastOpenBits::kClientNoCookie) != 0 || options_.fast_open_no_cookie)
    return true;
  return known != nullptr && known->cookie.length != 0;
}

Result<void> TcpSocket::begin_fast_open(const Endpoint* to, Instant now) {
  if ((tcp_.config().fast_open & FastOpenBits::kClient) == 0) return Error::kNotSupported;
  if (listener_ != nullptr) return Error::kIsConnected;
  if (connection_ != nullptr) {
    if (connection_->deferred()) return {};
    const bool opening =
        connection_->state() == State::kSynSent || connection_->state() == State::kSynReceived;
    return opening ? Error::kAlready : Error::kIsConnected;
  }
  if (to == nullptr) return Error::kInvalid;
  return open(*to, Opening::kWithData, now);
}

Result<void> TcpSocket::open(const Endpoint& remote, Opening how, Instant now) {
  Endpoint to = remote;
  Endpoint local = bound_.value_or(Endpoint{IpAddress::any(family()), 0});
  if (to.address.is_unspecified()) {
    const bool v6 = to.address.is_v6() && (local.address.is_v6() || local.address.is_unspecified());
    to.address = v6 ? ip::kV6Loopback : IpAddress::v4(127, 0, 0, 1);
  }
  // Bound to an address of one family, it cannot speak to the other.
  if (to.address.is_v6() ? family() == IpAddress::Family::kV4
                         : v6_only_ || (local.address.is_v6() && !local.address.is_unspecified()))
    return Error::kNetworkUnreachable;
  if (to.address.is_v6() && local.address.is_v4() && !local.address.is_unspecified())
    return Error::kNetworkUnreachable;
  if (to.address.is_multicast() || to.address.is_limited_broadcast()) return Error::kNetworkUnreachable;
  const auto route = tcp_.ip().route(to.address, now);
  if (!route) return route.error();
  if (route->broadcast) return Error::kAccess;
  if (tcp_.connection_count() >= tcp_.config().max_connections) return Error::kNoMemory;
  if (bound_ && !local.address.is_unspecified() && !tcp_.ip().is_local(local.address))
    return Error::kNetworkUnreachable;  // IP_FREEBIND: listening there is all one can do
  std::optional<SeqNum> iss_after;
  const bool bound_to_port = bound_ && local.port != 0;
  if (local.address.is_unspecified()) local.address = route->source;
  if (!bound_to_port) {
    const auto port = choose_port(local.address, to, *route, iss_after, now);
    if (!port) return port.error();
    local.port = *port;
  } else if (!flow_free(local, to, iss_after, now)) {
    return Error::kAddressNotAvailable;
  }
  auto* connection = new (tcp_.slabs()) Connection(tcp_, FlowKey{local, to}, options_, *route);
  tcp_.connection_born();
  tcp_.flows().insert(*connection);
  connection_ = connection;
  connecting_ = true;
  connection->attach(this);
  if (how == Opening::kNow) {
    connection->open_active(iss_after, now);
    return Error::kInProgress;
  }
  connection->open_deferred(iss_after, now);
  if (how == Opening::kAskCookie) return connection->begin_with({}, now).error();
  return {};
}

Result<void> TcpSocket::disconnect(Instant now) {
  begin(now);
  if (connection_ != nullptr) {
    connection_->abort(now);
    Connection* connection = std::exchange(connection_, nullptr);
    options_ = connection->options();
    connection->detach(now);
    connecting_ = false;
  }
  if (listener_ != nullptr) {
    static_cast<void>(tcp_.ports().set_listener(bound_->port, *this, nullptr));
    listener_.reset();
  }
  return {};
}

// --- listen and accept

Result<void> TcpSocket::listen(int backlog, Instant now) {
  begin(now);
  if (connection_ != nullptr || closed_) return Error::kInvalid;
  if (listener_ != nullptr) {
    listener_->set_backlog(backlog);
    return {};
  }
  if (!bound_) {
    bound_ = Endpoint{IpAddress::any(family()), 0};
    if (auto result = bind_ephemeral(); !result) {
      bound_.reset();
      return result;
    }
  } else if (!in_port_table_) {
    if (auto result = bound_->port == 0 ? bind_ephemeral() : bind_port(bound_->port); !result) return result;
  }
  auto listener = std::make_unique<Listener>(tcp_, *this, *bound_, options_, backlog);
  if (auto result = tcp_.ports().set_listener(bound_->port, *this, listener.get()); !result) return result;
  listener_ = std::move(listener);
  return {};
}

Result<std::unique_ptr<Socket>> TcpSocket::accept(Instant now) {
  begin(now);
  if (listener_ == nullptr) return Error::kInvalid;
  Connection* connection = listener_->accept();
  if (connection == nullptr) return Error::kAgain;
  std::unique_ptr<TcpSocket> socket(new (tcp_.slabs()) TcpSocket(tcp_, *this, *connection));
  socket->last_now_ = now;
  if (connection->state() == State::kClosed) socket->set_error(connection->final_error());
  return std::unique_ptr<Socket>(std::move(socket));
}

// --- data

Result<std::size_t> TcpSocket::send(std::span<const ConstIoSlice> data, const Endpoint* to, SendFlags flags,
                                    Instant now) {
  begin(now);
  if (const Error error = take_error(); error != Error::kNone) return error;
  if (flags.fast_open) {
    if (auto result = begin_fast_open(to, now); !result) return result.error();
  }
  if (connection_ == nullptr) return Error::kPipe;
  return connection_->send_data(data, flags, now);
}

Result<Received> TcpSocket::receive(std::span<const IoSlice> out, ReceiveFlags flags, Instant now) {
  begin(now);
  if (connection_ == nullptr) return Error::kNotConnected;
  if (connection_->state() == State::kClosed && connection_->receiver().queue().empty()) {
    if (const Error error = take_error(); error != Error::kNone) return error;
  }
  return connection_->receive(out, flags);
}

std::size_t TcpSocket::send_whole(ConstIoSlice data, Instant now) {
  if (connection_ == nullptr || pending_error() != Error::kNone) return 0;
  begin(now);
  return connection_->send_whole(data, now) ? data.size : 0;
}

std::size_t TcpSocket::receive_whole(IoSlice out, Instant now) {
  if (connection_ == nullptr) return 0;
  begin(now);
  return connection_->receive_whole(out);
}

Result<void> TcpSocket::shutdown(Shutdown how, Instant now) {
  begin(now);
  if (listener_ != nullptr) {
    if (how == Shutdown::kWrite) return {};
    static_cast<void>(disconnect(now));
    signal(kReadable | kHangup | kReadHangup);
    return {};
  }
  if (connection_ == nullptr || connection_->state() == State::kClosed) return Error::kNotConnected;
  if (connection_->state() == State::kSynSent) {
    connection_->abort(now);
    return {};
  }
  if (how != Shutdown::kRead) connection_->shutdown_write(now);
  if (how != Shutdown::kWrite) connection_->shutdown_read();
  return {};
}

void TcpSocket::close(Instant now) {
  if (closed_) return;
  closed_ = true;
  begin(now);
  if (listener_ != nullptr) {
    static_cast<void>(tcp_.ports().set_listener(bound_->port, *this, nullptr));
    listener_->stop(now);
    listener_.reset();
  }
  unbind();
  if (connection_ != nullptr) connection_->close(now);
}

// --- options and state

Result<void> TcpSocket::set_option(SocketOption option, std::int64_t value, Instant now) {
  begin(now);
  switch (option) {
    case SocketOption::kReuseAddress:
      reuse_address_ = value != 0;
      return {};
    case SocketOption::kReusePort:
      reuse_port_ = value != 0;
      return {};
    case SocketOption::kBroadcast:
      broadcast_ = value != 0;
      return {};
    case SocketOption::kFreeBind:
      free_bind_ = value != 0;
      return {};
    case SocketOption::kBindWithoutPort:
      bind_without_port_ = value != 0;
      return {};
    case SocketOption::kV6Only:
      if (family() != IpAddress::Family::kV6) return Error::kProtocolNotAvailable;
      if (bound_ || connection_ != nullptr) return Error::kInvalid;
      v6_only_ = value != 0;
      return {};
    case SocketOption::kFastOpenConnect:
      if (value < 0 || value > 1) return Error::kInvalid;
      if ((tcp_.config().fast_open & FastOpenBits::kClient) == 0) return Error::kNotSupported;
      if (connection_ != nullptr || listener_ != nullptr) return Error::kInvalid;
      break;
    case SocketOption::kFastOpen:
    case SocketOption::kFastOpenNoCookie:
      if (connection_ != nullptr) return Error::kInvalid;
      break;
    default:
      break;
  }
  if (connection_ != nullptr) return connection_->set_option(option, value, now);
  if (listener_ != nullptr) {
    if (auto result = listener_->set_option(option, value); !result) return result;
  }
  return options_.set(option, value);
}

Result<std::int64_t> TcpSocket::option(SocketOption option) const {
  Connection* const connection = awake(last_now_);
  const Options& options = connection != nullptr ? connection->options() : options_;
  switch (option) {
    case SocketOption::kReuseAddress:
      return std::int64_t{reuse_address_};
    case SocketOption::kReusePort:
      return std::int64_t{reuse_port_};
    case SocketOption::kBroadcast:
      return std::int64_t{broadcast_};
    case SocketOption::kFreeBind:
      return std::int64_t{free_bind_};
    case SocketOption::kBindWithoutPort:
      return std::int64_t{bind_without_port_};
    case SocketOption::kV6Only:
      if (family() != IpAddress::Family::kV6) return Error::kProtocolNotAvailable;
      return std::int64_t{v6_only_};
    case SocketOption::kSendBuffer:
      if (connection != nullptr) return static_cast<std::int64_t>(connection->send_buffer().limit());
      return static_cast<std::int64_t>(options.send_buffer != 0 ? options.send_buffer
                                                                : tcp_.config().send_buffer);
    case SocketOption::kReceiveBuffer: {
      if (options.receive_buffer != 0) break;
      // None yet, or none any more, outside of a connection that is established.
      const std::size_t limit = connection != nullptr ? connection->receiver().limit() : 0;
      return static_cast<std::int64_t>(2 * (limit != 0 ? limit : tcp_.config().receive_window_initial));
    }
    case SocketOption::kMaxSegment:
      if (connection != nullptr && connection->state() != State::kSynSent) {
        return static_cast<std::int64_t>(connection->sender().mss());
      }
      return std::int64_t{options.max_segment != 0 ? options.max_segment : 536};
    case SocketOption::kPathMtu:
      if (connection == nullptr) return Error::kNotConnected;
      return static_cast<std::int64_t>(connection->path_mtu());
    default:
      break;
  }
  return options.get(option);
}

bool TcpSocket::tcp_info(TcpInfo& info, Instant now) const {
  info.state = static_cast<std::uint8_t>(listener_ != nullptr ? State::kListen : State::kClosed);
  if (const Connection* connection = awake(now)) connection->fill(info, now);
  if (listener_ != nullptr) {  // Linux: how many wait for accept(), and how many may
    info.unacked = static_cast<std::uint32_t>(listener_->queued());
    info.sacked = static_cast<std::uint32_t>(listener_->backlog());
  }
  return true;
}

std::size_t TcpSocket::readable_bytes() const {
  return connection_ != nullptr ? connection_->readable_bytes() : 0;
}

std::size_t TcpSocket::unsent_bytes() const {
  return connection_ != nullptr ? connection_->sender().queue().bytes() : 0;
}

bool TcpSocket::at_mark() const {
  return connection_ != nullptr && connection_->at_mark();
}

bool TcpSocket::draining() const {
  return connection_ != nullptr && connection_->state() != State::kClosed &&
         !connection_->sender().everything_acknowledged();
}

Ready TcpSocket::readiness() const {
  const Ready error = pending_error() != Error::kNone ? kError : Ready{0};
  if (listener_ != nullptr) return (listener_->has_connection() ? kReadable : Ready{0}) | error;
  if (dormant_ != nullptr) return kWritable | error;  // nothing is queued in either direction
  if (connection_ == nullptr)
    return kWritable | kHangup | error;  // as Linux reports an unconnected stream socket
  return connection_->readiness() | error;
}

}  // namespace millrace::tcp
