#pragma once

#include <memory>
#include <optional>

#include <boost/intrusive/list.hpp>

#include "base/object_slabs.h"
#include "base/seq.h"
#include "ip/ip.h"
#include "socket/socket.h"
#include "tcp/options.h"

namespace millrace::tcp {

class Connection;
class Dormant;
class Listener;
class TimeWait;
class Tcp;

struct MemoryWaiterTag;
using MemoryWaiterHook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<MemoryWaiterTag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// The application's handle: unbound, bound, listening, or the owner of a Connection.
class TcpSocket final : public Socket, public MemoryWaiterHook, public LivesInSlabs {
 public:
  TcpSocket(Tcp& tcp, IpAddress::Family family);
  /// See Stack::create_twin().
  TcpSocket(Tcp& tcp, const TcpSocket& model, bool guest);
  /// Accepted.
  TcpSocket(Tcp& tcp, const TcpSocket& listener, Connection& connection);
  ~TcpSocket() override;

  Result<void> bind(const Endpoint& local) override;
  Result<void> connect(const Endpoint& remote, Instant now) override;
  Result<void> disconnect(Instant now) override;
  Result<void> listen(int backlog, Instant now) override;
  Result<std::unique_ptr<Socket>> accept(Instant now) override;
  Result<std::size_t> send(std::span<const ConstIoSlice> data, const Endpoint* to, SendFlags flags,
                           Instant now) override;
  Result<Received> receive(std::span<const IoSlice> out, ReceiveFlags flags, Instant now) override;
  [[nodiscard]] std::size_t send_whole(ConstIoSlice data, Instant now) override;
  [[nodiscard]] std::size_t receive_whole(IoSlice out, Instant now) override;
  Result<void> shutdown(Shutdown how, Instant now) override;
  void close(Instant now) override;

  [[nodiscard]] Endpoint local_endpoint() const override;
  [[nodiscard]] Result<Endpoint> remote_endpoint() const override;
  [[nodiscard]] Endpoint accepted_from() const override;
  Result<void> set_option(SocketOption option, std::int64_t value, Instant now) override;
  [[nodiscard]] Result<std::int64_t> option(SocketOption option) const override;
  [[nodiscard]] bool tcp_info(TcpInfo& info, Instant now) const override;
  [[nodiscard]] bool is_listening() const override { return listener_ != nullptr; }
  [[nodiscard]] std::size_t readable_bytes() const override;
  [[nodiscard]] std::size_t unsent_bytes() const override;
  [[nodiscard]] bool at_mark() const override;
  [[nodiscard]] bool draining() const override;
  [[nodiscard]] Ready readiness() const override;

  /// Null: none, or it sleeps.
  [[nodiscard]] Connection* connection() const { return connection_; }
  /// Precondition: it sleeps. It does not any more.
  Connection& wake(Instant now) const;
  /// The connection is about to go, and this stands for it.
  void fall_asleep(Dormant& dormant);
  /// Those of the connection, while there is none that is awake.
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  [[nodiscard]] Result<void> bind_port(std::uint16_t port);
  [[nodiscard]] Result<void> bind_ephemeral();
  /// RFC 6056 algorithm 4 with random increments: a port whose 4-tuple is free.
  /// One whose answers come in by our queue of the device.
  [[nodiscard]] Result<std::uint16_t> choose_port(const IpAddress& local, const Endpoint& remote,
                                                  const ip::RouteResult& route,
                                                  std::optional<SeqNum>& iss_after, Instant now);
  /// May end a TIME-WAIT entry; `iss_after` is then what the new ISS must lie behind.
  [[nodiscard]] bool flow_free(const Endpoint& local, const Endpoint& remote,
                               std::optional<SeqNum>& iss_after, Instant now);
  [[nodiscard]] bool may_take_over(const TimeWait& entry, Instant now) const;
  void take_over(TimeWait& entry, std::optional<SeqNum>& iss_after);
  /// Of the TIME-WAIT entries of these two hosts, the oldest ends, if it may, and leaves its port.
  [[nodiscard]] std::optional<std::uint16_t> take_oldest_port(const IpAddress& local, const Endpoint& remote,
                                                              std::optional<SeqNum>& iss_after, Instant now);
  void unbind();
  /// A call at this time, for which a connection must be awake.
  void begin(Instant now) {
    last_now_ = now;
    if (dormant_ != nullptr) [[unlikely]]
      wake(now);
  }
  [[nodiscard]] Connection* awake(Instant now) const {
    return dormant_ != nullptr ? &wake(now) : connection_;
  }
  /// How an active open begins: with its SYN, with one that asks for a Fast Open cookie, or with the data
  /// that is written first.
  enum class Opening : std::uint8_t { kNow, kAskCookie, kWithData };
  [[nodiscard]] Result<void> open(const Endpoint& remote, Opening how, Instant now);
  [[nodiscard]] bool may_fast_open(const IpAddress& remote, Instant now) const;
  /// MSG_FASTOPEN, up to where send_data() goes on.
  [[nodiscard]] Result<void> begin_fast_open(const Endpoint* to, Instant now);

  Tcp& tcp_;
  // Of these one at most. What a call finds asleep it may wake, whatever it asks for.
  mutable Connection* connection_ = nullptr;
  mutable Dormant* dormant_ = nullptr;
  Instant last_now_{};
  std::unique_ptr<Listener> listener_;
  std::optional<Endpoint> bound_;
  bool in_port_table_ : 1 = false;
  bool reuse_address_ : 1 = false, reuse_port_ : 1 = false, broadcast_ : 1 = false, v6_only_ : 1 = false;
  bool free_bind_ : 1 = false, bind_without_port_ : 1 = false;
  bool guest_ : 1 = false;
  bool connecting_ : 1 = false;
  bool closed_ : 1 = false;
  Options options_;
};

}  // namespace millrace::tcp
