#pragma once

#include <cstdint>
#include <memory>

#include <boost/intrusive/list.hpp>

#include "ip/ip_layer.h"
#include "socket/report.h"
#include "socket/socket.h"
#include "udp/udp.h"

namespace millrace::udp {

/// One UDP socket, with the errors Linux gives. Registered in the SocketTable while it has a port.
///
/// Queued datagrams have data() at the payload and their headers in front, from which receive() reads who
/// sent them. The queue is charged with the storage that datagrams hold, as the pool sees it.
class UdpSocket final : public Socket {
 public:
  UdpSocket(Udp& udp, IpAddress::Family family, ReadyList& ready);
  /// See Stack::create_twin().
  UdpSocket(Udp& udp, const UdpSocket& model, bool guest, ReadyList& ready);
  ~UdpSocket() override;

  // --- Socket
  Result<void> bind(const Endpoint& local) override;
  Result<void> connect(const Endpoint& remote, Instant now) override;
  Result<void> disconnect(Instant now) override;
  Result<void> listen(int backlog, Instant now) override;
  Result<std::unique_ptr<Socket>> accept(Instant now) override;
  Result<std::size_t> send(std::span<const ConstIoSlice> data, const Endpoint* to, SendFlags flags,
                           Instant now) override;
  Result<Received> receive(std::span<const IoSlice> out, ReceiveFlags flags, Instant now) override;
  Result<void> shutdown(Shutdown how, Instant now) override;
  void close(Instant now) override;
  [[nodiscard]] Endpoint local_endpoint() const override { return local_; }
  [[nodiscard]] Result<Endpoint> remote_endpoint() const override;
  Result<void> set_option(SocketOption option, std::int64_t value, Instant now) override;
  [[nodiscard]] Result<std::int64_t> option(SocketOption option) const override;
  [[nodiscard]] std::size_t readable_bytes() const override;
  [[nodiscard]] std::size_t unsent_bytes() const override;
  [[nodiscard]] Ready readiness() const override;

  // --- for Udp and the SocketTable
  /// A datagram, data() at the payload.
  void on_datagram(PacketPtr datagram);
  void on_icmp_error(const ip::IcmpError& error);
  [[nodiscard]] bool is_connected() const { return connected_; }
  /// Precondition: is_connected().
  [[nodiscard]] const Endpoint& remote() const { return remote_; }
  [[nodiscard]] bool reuse_address() const { return reuse_address_; }
  [[nodiscard]] bool reuse_port() const { return reuse_port_; }
  /// Stands for a socket of another stack's.
  [[nodiscard]] bool is_guest() const { return guest_; }
  void fill(SocketReport& report) const;
  [[nodiscard]] bool v6_only() const { return v6_only_; }
  /// True when it waited for its device and may go on.
  [[nodiscard]] bool may_resume() const;
  void resume();
  /// In the list of those who wait for their device.
  boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> wait_hook;

 private:
  /// IP_MTU_DISCOVER's values.
  enum class MtuDiscover : std::uint8_t { kDont, kWant, kDo, kProbe, kInterface, kOmit };

  /// Linux's meaning of a wildcard as a destination: this host.
  [[nodiscard]] Endpoint meant(Endpoint to) const;
  /// False: a socket bound to an address of one family cannot speak to the other.
  [[nodiscard]] bool may_speak_to(const IpAddress& destination) const;
  [[nodiscard]] Result<void> bind_to(const IpAddress& address, std::uint16_t port,
                                     const Udp::PeerOf* peer = nullptr);
  /// Linux binds a socket without a port when it first sends or connects.
  [[nodiscard]] Result<void> ensure_bound(const Udp::PeerOf* peer = nullptr);
  /// Changes the endpoints under which the table knows this socket.
  template <typename Change>
  void rebind(Change&& change);
  /// True when the device, or this socket's share of what waits for it, has no room.
  [[nodiscard]] bool must_wait_for(const link::Interface& interface) const;
  [[nodiscard]] Result<ip::RouteResult> route_to(const IpAddress& destination, Instant now);
  [[nodiscard]] Result<void> transmit(std::span<const ConstIoSlice> data, std::size_t size,
                                      const Endpoint& to, const SendFlags& flags, ip::RouteResult route,
                                      Instant now);
  /// The address a datagram goes out from, or why it cannot.
  [[nodiscard]] Result<IpAddress> source_for(const Endpoint& to, const SendFlags& flags,
                                             const ip::RouteResult& route) const;
  /// Header and payload, the checksum filled in or left to the layers below.
  [[nodiscard]] PacketPtr build(std::span<const ConstIoSlice> data, std::size_t size, const IpAddress& source,
                                const Endpoint& to, const ip::RouteResult& route, std::uint32_t mtu);
  [[nodiscard]] static std::uint32_t device_mtu(const ip::RouteResult& route);

  Udp& udp_;
  Endpoint local_;
  Endpoint remote_;
  bool connected_ = false;
  bool address_chosen_ = false;  ///< by bind(), not by connect()
  bool port_chosen_ = false;     ///< likewise
  bool closed_ = false;
  bool read_shut_ = false, write_shut_ = false;

  bool reuse_address_ = false, reuse_port_ = false, broadcast_ = false, v6_only_ = false;
  bool free_bind_ = false, bind_without_port_ = false;
  bool guest_ = false;
  MtuDiscover mtu_discover_ = MtuDiscover::kWant;
  std::uint8_t tos_ = 0, ttl_;
  std::size_t receive_limit_, send_limit_;

  PacketQueue received_;
  std::size_t received_storage_ = 0;
  std::uint64_t drops_ = 0;  ///< datagrams refused for want of room

  ip::RouteResult route_;  ///< to remote_, while connected and of the generation below
  std::uint32_t route_generation_ = 0;
  link::Interface* sent_to_ = nullptr;      ///< by which interface the last datagram left
  std::size_t unsent_ = 0;                  ///< storage given to it since its transmit queue was last empty
  link::Interface* waiting_for_ = nullptr;  ///< who had no room
};

}  // namespace millrace::udp
