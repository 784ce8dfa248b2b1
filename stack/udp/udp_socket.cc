#include "udp/udp_socket.h"

#include <algorithm>
#include <cstring>

#include "ip/v6_loopback.h"
#include "wire/pseudo_header.h"
#include "wire/udp.h"

namespace millrace::udp {

namespace {

using wire::UdpHeader;
constexpr std::uint32_t kUdpHeader = UdpHeader::kSize;
constexpr std::uint32_t kIpHeader = wire::Ipv4Header::kSize;
constexpr std::size_t kLargestPayload = 65535 - kIpHeader - kUdpHeader;
constexpr std::uint16_t kChecksumOffset = 6;
[[nodiscard]] std::size_t size_of(std::span<const ConstIoSlice> data) {
  std::size_t size = 0;
  for (const ConstIoSlice& slice : data) size += slice.size;
  return size;
}

}  // namespace

UdpSocket::UdpSocket(Udp& udp, IpAddress::Family family, ReadyList& ready)
    : Socket(SocketType::kDatagram, family, ready),
      udp_(udp),
      local_{IpAddress::any(family), 0},
      ttl_(udp.ip_.config().default_ttl),
      receive_limit_(udp.config_.receive_buffer),
      send_limit_(udp.config_.send_buffer) {}

UdpSocket::UdpSocket(Udp& udp, const UdpSocket& model, bool guest, ReadyList& ready)
    : Socket(SocketType::kDatagram, model.family(), ready),
      udp_(udp),
      local_{IpAddress::any(model.family()), 0},
      reuse_address_(model.reuse_address_),
      reuse_port_(model.reuse_port_),
      broadcast_(model.broadcast_),
      v6_only_(model.v6_only_),
      free_bind_(model.free_bind_),
      bind_without_port_(model.bind_without_port_),
      guest_(guest),
      mtu_discover_(model.mtu_discover_),
      tos_(model.tos_),
      ttl_(model.ttl_),
      receive_limit_(model.receive_limit_),
      send_limit_(model.send_limit_) {}

UdpSocket::~UdpSocket() {
  close(Instant{});
}

void UdpSocket::close(Instant now) {
  (void)now;
  if (local_.port != 0) udp_.table_.erase(*this);
  local_ = remote_ = Endpoint{};
  connected_ = false;
  closed_ = true;
  received_.clear();
  received_storage_ = 0;
  waiting_for_ = nullptr;
  wait_hook.unlink();
}

// --- addresses

template <typename Change>
void UdpSocket::rebind(Change&& change) {
  if (local_.port != 0) udp_.table_.erase(*this);
  change();
  if (local_.port != 0) udp_.table_.insert(*this);
}

Endpoint UdpSocket::meant(Endpoint to) const {
  if (!to.address.is_unspecified()) return to;
  const bool v6 = to.address.is_v6() && (local_.address.is_v6() || local_.address.is_unspecified());
  to.address = v6 ? ip::kV6Loopback : IpAddress::v4(127, 0, 0, 1);
  return to;
}

bool UdpSocket::may_speak_to(const IpAddress& destination) const {
  const bool other = destination.family() != local_.address.family();
  return !other || (local_.address.is_unspecified() && family() == IpAddress::Family::kV6 && !v6_only_);
}

Result<void> UdpSocket::bind(const Endpoint& local) {
  if (local.address.is_v6() && family() == IpAddress::Family::kV4) return Error::kAddressFamily;
  if (!udp_.ip_.is_bindable(local.address) && !free_bind_) return Error::kAddressNotAvailable;
  if (local_.port != 0 || closed_) return Error::kInvalid;
  if (local.port == 0 && bind_without_port_) {
    local_.address = local.address;
  } else if (Result<void> bound = bind_to(local.address, local.port); !bound) {
    return bound;
  }
  address_chosen_ = !local.address.is_unspecified();
  if (local.address.is_v6() && address_chosen_) v6_only_ = true;  // as Linux
  port_chosen_ = local.port != 0;
  return {};
}

Result<void> UdpSocket::bind_to(const IpAddress& address, std::uint16_t port, const Udp::PeerOf* peer) {
  if (port == 0) {
    port = udp_.choose_port(*this, address, peer);
    if (port == 0) return Error::kAddressInUse;
  } else if (udp_.table_.conflicts(*this, {address, port})) {
    return Error::kAddressInUse;
  }
  rebind([&] { local_ = {address, port}; });
  return {};
}

Result<void> UdpSocket::ensure_bound(const Udp::PeerOf* peer) {
  if (local_.port != 0) return {};
  if (closed_) return Error::kInvalid;
  return bind_to(local_.address, 0, peer) ? Result<void>{} : Result<void>{Error::kAgain};
}

Result<void> UdpSocket::connect(const Endpoint& remote, Instant now) {
  if (remote.address.is_v6() && family() == IpAddress::Family::kV4) return Error::kAddressFamily;
  const Endpoint peer = meant(remote);
  const Result<ip::RouteResult> route = udp_.ip_.route(peer.address, now);
  const IpAddress source = address_chosen_ || !route ? local_.address : route->source;
  const Udp::PeerOf answering{route ? *route : ip::RouteResult{}, source, peer};
  if (Result<void> bound = ensure_bound(&answering); !bound) return bound;
  if (address_chosen_ && !may_speak_to(peer.address)) return Error::kNetworkUnreachable;
  if (!route) return route.error();
  if (route->broadcast && !broadcast_) return Error::kAccess;
  rebind([&] {
    connected_ = true;
    remote_ = peer;
    if (!address_chosen_) local_.address = route->source;
  });
  route_ = *route;
  route_generation_ = udp_.ip_.route_generation();
  return {};
}

Result<void> UdpSocket::disconnect(Instant now) {
  (void)now;
  rebind([&] {
    connected_ = false;
    remote_ = Endpoint{};
    if (!address_chosen_) local_.address = IpAddress::any(family());
    if (!port_chosen_) local_.port = 0;
  });
  return {};
}

Result<void> UdpSocket::listen(int backlog, Instant now) {
  (void)backlog, (void)now;
  return Error::kNotSupported;
}

Result<std::unique_ptr<Socket>> UdpSocket::accept(Instant now) {
  (void)now;
  return Error::kNotSupported;
}

Result<Endpoint> UdpSocket::remote_endpoint() const {
  if (!connected_) return Error::kNotConnected;
  return remote_;
}

// --- sending

Result<std::size_t> UdpSocket::send(std::span<const ConstIoSlice> data, const Endpoint* to, SendFlags flags,
                                    Instant now) {
  // The order of these checks is Linux's.
  const std::size_t size = size_of(data);
  if (size > 0xffff) return Error::kMessageSize;
  if (flags.out_of_band) return Error::kNotSupported;
  if (to != nullptr && to->address.is_v6() && family() == IpAddress::Family::kV4)
    return Error::kAddressFamily;
  if (to != nullptr && to->port == 0) return Error::kInvalid;
  if (to == nullptr && !connected_) return Error::kDestinationRequired;
  if (Result<void> bound = ensure_bound(); !bound) return bound.error();

  const Endpoint destination = to != nullptr ? meant(*to) : remote_;
  if (!may_speak_to(destination.address)) return Error::kNetworkUnreachable;
  const Result<ip::RouteResult> route = route_to(destination.address, now);
  if (!route) return route.error();
  if (route->broadcast && !broadcast_) return Error::kAccess;
  if (size > kLargestPayload) return Error::kMessageSize;
  if (const Error pending = take_error(); pending != Error::kNone) return pending;
  if (write_shut_) return Error::kPipe;
  if (route->interface != nullptr && must_wait_for(*route->interface)) {
    udp_.counters_.add(Counter::kOutBlocked);
    waiting_for_ = route->interface;
    if (!wait_hook.is_linked()) udp_.wait(*this);
    return Error::kAgain;
  }
  if (Result<void> sent = transmit(data, size, destination, flags, *route, now); !sent) return sent.error();
  return size;
}

Result<ip::RouteResult> UdpSocket::route_to(const IpAddress& destination, Instant now) {
  if (!connected_ || destination != remote_.address) return udp_.ip_.route(destination, now);
  if (route_generation_ != udp_.ip_.route_generation()) {
    const Result<ip::RouteResult> route = udp_.ip_.route(destination, now);
    if (!route) return route;
    route_ = *route;
    route_generation_ = udp_.ip_.route_generation();
  }
  return route_;
}

std::uint32_t UdpSocket::device_mtu(const ip::RouteResult& route) {
  return route.interface != nullptr ? route.interface->mtu() : route.mtu;
}

Result<IpAddress> UdpSocket::source_for(const Endpoint& to, const SendFlags& flags,
                                        const ip::RouteResult& route) const {
  // No address of ours is on both sides of the loopback.
  if (flags.interface_id && route.interface != nullptr && route.interface->id() != *flags.interface_id)
    return Error::kNetworkUnreachable;
  const IpAddress& asked = flags.source.value_or(local_.address);
  if (asked.is_unspecified()) return route.source;
  if (udp_.ip_.is_local(asked) && asked.family() == to.address.family()) return asked;
  // A socket bound to a broadcast or multicast address cannot speak from it.
  if (udp_.ip_.is_bindable(asked)) return flags.source ? Result<IpAddress>(Error::kInvalid) : route.source;
  return Error::kNetworkUnreachable;
}

Result<void> UdpSocket::transmit(std::span<const ConstIoSlice> data, std::size_t size, const Endpoint& to,
                                 const SendFlags& flags, ip::RouteResult route, Instant now) {
  const auto total = static_cast<std::uint32_t>(size) + kUdpHeader + kIpHeader;
  ip::OutputOptions options;
  switch (mtu_discover_) {
    case MtuDiscover::kDont:
      break;
    case MtuDiscover::kWant:
      options.dont_fragment = total <= route.mtu;
      break;
    case MtuDiscover::kDo:
      if (total > route.mtu) return Error::kMessageSize;
      options.dont_fragment = true;
      break;
    case MtuDiscover::kProbe:
    case MtuDiscover::kInterface:
      route.mtu = device_mtu(route);
      if (total > route.mtu) return Error::kMessageSize;
      options.dont_fragment = mtu_discover_ == MtuDiscover::kProbe;
      break;
    case MtuDiscover::kOmit:
      route.mtu = device_mtu(route);
      break;
  }
  const Result<IpAddress> source = source_for(to, flags, route);
  if (!source) return source.error();
  options.source = *source;
  options.destination = to.address;
  options.protocol = wire::kProtocolUdp;
  options.tos = flags.tos.value_or(tos_);
  options.ttl = flags.ttl.value_or(to.address.is_multicast() ? std::uint8_t{1} : ttl_);  // RFC 1112 §6.1
  PacketPtr packet = build(data, size, options.source, to, route, route.mtu);
  if (packet == nullptr) {
    udp_.counters_.add(Counter::kOutNoMemory);
    return Error::kNoBuffers;
  }
  packet->timestamp = now;
  if (route.interface != sent_to_ || unsent_bytes() == 0) {
    sent_to_ = route.interface;
    unsent_ = 0;
  }
  unsent_ += packet->storage_held();
  Result<void> sent = udp_.ip_.output(std::move(packet), options, route, now);
  if (sent) udp_.counters_.add(Counter::kOutDatagrams);
  return sent;
}

PacketPtr UdpSocket::build(std::span<const ConstIoSlice> data, std::size_t size, const IpAddress& source,
                           const Endpoint& to, const ip::RouteResult& route, std::uint32_t mtu) {
  const auto length = static_cast<std::uint32_t>(size) + kUdpHeader;
  PacketPtr packet = udp_.ip_.pool().allocate(length);
  if (packet == nullptr) return nullptr;
  const std::span<std::uint8_t> bytes{packet->put(length), length};
  packet->set_transport_header();

  UdpHeader header{local_.port, to.port, static_cast<std::uint16_t>(length), 0};
  ChecksumSum sum = wire::pseudo_header_sum(source, to.address, wire::kProtocolUdp, length);
  const bool offloaded = length + kIpHeader <= mtu &&
                         (route.interface == nullptr || route.interface->device().caps().tx_checksum);
  if (!offloaded && data.size() == 1) {
    // Nobody below will sum it: once over the bytes is enough.
    sum.add_word(copy_and_sum(bytes.subspan(kUdpHeader), {data[0].data, data[0].size}));
    header.emit(bytes);
    header.checksum = sum.add(bytes.first(kUdpHeader)).finish();
    if (header.checksum == 0) header.checksum = 0xffff;  // RFC 768
  } else {
    std::uint8_t* out = bytes.data() + kUdpHeader;
    for (const ConstIoSlice& slice : data) {
      if (slice.size == 0) continue;
      std::memcpy(out, slice.data, slice.size);
      out += slice.size;
    }
    header.checksum = sum.folded();
    packet->offload.needs_checksum = true;
    packet->offload.checksum_start = 0;
    packet->offload.checksum_offset = kChecksumOffset;
  }
  header.emit(bytes);
  return packet;
}

bool UdpSocket::must_wait_for(const link::Interface& interface) const {
  return interface.tx_congested() || (&interface == sent_to_ && unsent_bytes() >= send_limit_);
}

/// Nobody tells us of single frames: what waits is what was sent since nothing waited.
std::size_t UdpSocket::unsent_bytes() const {
  return sent_to_ != nullptr && sent_to_->tx_pending() ? unsent_ : 0;
}

bool UdpSocket::may_resume() const {
  return waiting_for_ == nullptr || !must_wait_for(*waiting_for_);
}

void UdpSocket::resume() {
  waiting_for_ = nullptr;
  wait_hook.unlink();
  signal(kWritable);
}

// --- receiving

void UdpSocket::on_datagram(PacketPtr datagram) {
  // As in Linux, one datagram may go over the limit, however large it is.
  if (received_storage_ > receive_limit_) {
    ++drops_;
    udp_.counters_.add(Counter::kRcvbufErrors);
    udp_.counters_.add(Counter::kInErrors);
    return;
  }
  // A driver's storage is lent for one turn only, and small payloads shall not hold large storage.
  if (!datagram->compact(true)) {
    ++drops_;
    udp_.counters_.add(Counter::kInErrors);
    return;
  }
  udp_.counters_.add(Counter::kInDatagrams);
  received_storage_ += datagram->storage_held();
  received_.push_back(std::move(datagram));
  signal(kReadable);
}

Result<Received> UdpSocket::receive(std::span<const IoSlice> out, ReceiveFlags flags, Instant now) {
  (void)now;
  if (flags.out_of_band) return Error::kNotSupported;
  if (const Error pending = take_error(); pending != Error::kNone) return pending;
  if (received_.empty()) {
    if (read_shut_) return Received{};
    return Error::kAgain;
  }
  const Packet& datagram = received_.front();
  const auto ip = *wire::Ipv4Header::parse({datagram.network_header(), kIpHeader});
  const auto udp = *UdpHeader::parse({datagram.transport_header(), kUdpHeader});
  Received received;
  received.datagram_bytes = datagram.length();
  received.from = {ip::from_carried(ip.source), udp.source_port};
  received.to = ip::from_carried(ip.destination);
  received.interface_id = datagram.interface_id;
  received.tos = ip.tos;
  received.ttl = ip.ttl;
  received.timestamp = datagram.timestamp;
  for (const IoSlice& slice : out) {
    const std::size_t n = std::min(slice.size, datagram.length() - received.bytes);
    datagram.copy_out(static_cast<std::uint32_t>(received.bytes), {slice.data, n});
    received.bytes += n;
  }
  if (!flags.peek) {
    received_storage_ -= datagram.storage_held();
    (void)received_.pop_front();
  }
  return received;
}

void UdpSocket::fill(SocketReport& report) const {
  report.type = SocketType::kDatagram;
  report.state = connected_ ? 1 : 7;  // TCP_ESTABLISHED, TCP_CLOSE
  report.local = local_;
  report.remote = remote_;
  // As Linux counts them: storage, not payload.
  report.receive_queue = report.receive_memory = received_storage_;
  report.send_queue = report.send_memory = unsent_bytes();
  report.receive_limit = receive_limit_;
  report.send_limit = send_limit_;
  report.drops = drops_;
  report.socket = this;
}

std::size_t UdpSocket::readable_bytes() const {
  return received_.empty() ? 0 : const_cast<PacketQueue&>(received_).front().length();
}

void UdpSocket::on_icmp_error(const ip::IcmpError& error) {
  using Kind = ip::IcmpError::Kind;
  // Linux reports the hard errors to a socket without IP_RECVERR; unreachable networks and hosts, and expired
  // packets, may be transient and are not told.
  switch (error.kind) {
    case Kind::kPortUnreachable:
      set_error(Error::kConnectionRefused);
      break;
    case Kind::kProtocolUnreachable:
      set_error(Error::kProtocolNotAvailable);
      break;
    case Kind::kProhibited:
      set_error(Error::kHostUnreachable);
      break;
    case Kind::kParameterProblem:
      set_error(Error::kProtocol);
      break;
    case Kind::kFragmentationNeeded:
      if (mtu_discover_ == MtuDiscover::kDont) return;
      set_error(Error::kMessageSize);
      break;
    case Kind::kNetworkUnreachable:
    case Kind::kHostUnreachable:
    case Kind::kTimeExceeded:
      return;
  }
  signal(kError);
}

Result<void> UdpSocket::shutdown(Shutdown how, Instant now) {
  (void)now;
  if (how != Shutdown::kWrite) read_shut_ = true;
  if (how != Shutdown::kRead) write_shut_ = true;
  Ready events = 0;
  if (read_shut_) events |= kReadHangup | kReadable;
  if (read_shut_ && write_shut_) events |= kHangup;
  if (events != 0) signal(events);
  // Linux does it and complains all the same.
  return connected_ ? Result<void>{} : Result<void>{Error::kNotConnected};
}

Ready UdpSocket::readiness() const {
  Ready ready = waiting_for_ == nullptr ? kWritable : Ready{0};
  if (!received_.empty()) ready |= kReadable;
  if (pending_error() != Error::kNone) ready |= kError;
  if (read_shut_) ready |= kReadHangup | kReadable;
  if (read_shut_ && write_shut_) ready |= kHangup;
  return ready;
}

}  // namespace millrace::udp
