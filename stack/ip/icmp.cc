#include "ip/icmp.h"

#include <algorithm>
#include <array>

#include "base/checksum.h"
#include "ip/ip_layer.h"
#include "ip/v6_loopback.h"

namespace millrace::ip {

namespace {

using wire::Icmpv4Header;
using wire::Ipv4Header;

constexpr std::uint32_t kIcmpHeader = Icmpv4Header::kSize;
constexpr std::uint32_t kIpHeader = Ipv4Header::kSize;
constexpr std::size_t kErrorBurst = 50;
/// RFC 1812 §4.3.2.3: as much of the offending packet as fits a datagram of 576 bytes.
constexpr std::uint32_t kLargestError = 576;
constexpr std::uint8_t kInternetworkControl = 0xc0;  ///< RFC 1812 §4.3.2.5, as Linux sets it

[[nodiscard]] bool checksum_is_right(const Packet& packet) {
  if (packet.offload.rx_checksum != Offload::RxChecksum::kUnknown) return true;
  ChecksumSum sum;
  std::size_t at = 0;
  packet.for_each_piece(0, packet.length(), [&](std::span<const std::uint8_t> piece) {
    sum.add_at(at, piece);
    at += piece.size();
  });
  return sum.finish() == 0;
}

}  // namespace

std::optional<IcmpError::Kind> kind_of(std::uint8_t type, std::uint8_t code) {
  using Kind = IcmpError::Kind;
  if (type == Icmpv4Header::kTimeExceeded) return Kind::kTimeExceeded;
  if (type == Icmpv4Header::kParameterProblem) return Kind::kParameterProblem;
  if (type != Icmpv4Header::kDestinationUnreachable) return std::nullopt;
  switch (code) {
    case Icmpv4Header::kNetworkUnreachable:
    case Icmpv4Header::kNetworkUnknown:
    case Icmpv4Header::kNetworkUnreachableForTos:
      return Kind::kNetworkUnreachable;
    case Icmpv4Header::kHostUnreachable:
    case Icmpv4Header::kHostUnknown:
    case Icmpv4Header::kSourceRouteFailed:
    case Icmpv4Header::kSourceHostIsolated:
    case Icmpv4Header::kHostUnreachableForTos:
      return Kind::kHostUnreachable;
    case Icmpv4Header::kProtocolUnreachable:
      return Kind::kProtocolUnreachable;
    case Icmpv4Header::kPortUnreachable:
      return Kind::kPortUnreachable;
    case Icmpv4Header::kFragmentationNeeded:
      return Kind::kFragmentationNeeded;
    case Icmpv4Header::kNetworkProhibited:
    case Icmpv4Header::kHostProhibited:
    case Icmpv4Header::kAdministrativelyProhibited:
    case Icmpv4Header::kHostPrecedenceViolation:
    case Icmpv4Header::kPrecedenceCutoff:
      return Kind::kProhibited;
    default:
      return std::nullopt;
  }
}

std::uint32_t plateau_below(std::uint32_t length) {
  static constexpr std::array<std::uint32_t, 11> kPlateaus{65535, 32000, 17914, 8166, 4352, 2002,
                                                           1492,  1006,  508,   296,  68};
  for (const std::uint32_t plateau : kPlateaus) {
    if (plateau < length) return plateau;
  }
  return kPlateaus.back();
}

Icmp::Icmp(const Config& config, IpLayer& ip, PacketPool& pool, CounterSet<Counter>& counters)
    : config_(config),
      ip_(ip),
      pool_(pool),
      counters_(counters),
      errors_(config.icmp_errors_per_second, kErrorBurst) {}

// --- in

void Icmp::on_packet(PacketPtr packet, const PacketInfo& info, Instant now) {
  counters_.add(Counter::kIcmpInMsgs);
  // An error must be readable through its quoted header and 8 bytes behind it; others need only their own.
  constexpr std::uint32_t kEnough = kIcmpHeader + 60 + 8;
  if (packet->length() < kIcmpHeader || !packet->gather(std::min(packet->length(), kEnough))) {
    counters_.add(packet->length() < kIcmpHeader ? Counter::kIcmpInErrors : Counter::kInDiscards);
    return;
  }
  if (!checksum_is_right(*packet)) {
    counters_.add(Counter::kIcmpInCsumErrors);
    counters_.add(Counter::kIcmpInErrors);
    return;
  }
  const auto header = *Icmpv4Header::parse(packet->linear());
  count_in(header.type);
  if (header.type == Icmpv4Header::kEchoRequest) {
    on_echo_request(*packet, header, info, now);
  } else if (header.is_error()) {
    on_error(*packet, header, info, now);
  }
}

void Icmp::count_in(std::uint8_t type) {
  switch (type) {
    case Icmpv4Header::kDestinationUnreachable:
      return counters_.add(Counter::kIcmpInDestUnreachs);
    case Icmpv4Header::kTimeExceeded:
      return counters_.add(Counter::kIcmpInTimeExcds);
    case Icmpv4Header::kParameterProblem:
      return counters_.add(Counter::kIcmpInParmProbs);
    case Icmpv4Header::kSourceQuench:
      return counters_.add(Counter::kIcmpInSrcQuenchs);
    case Icmpv4Header::kRedirect:
      return counters_.add(Counter::kIcmpInRedirects);
    case Icmpv4Header::kEchoRequest:
      return counters_.add(Counter::kIcmpInEchos);
    case Icmpv4Header::kEchoReply:
      return counters_.add(Counter::kIcmpInEchoReps);
    default:
      return counters_.add(Counter::kIcmpInOther);
  }
}

void Icmp::on_echo_request(const Packet& packet, const Icmpv4Header& request, const PacketInfo& info,
                           Instant now) {
  // RFC 1122 §3.2.2.6: one to a broadcast address MAY be discarded, and smurf attacks say it should.
  if (info.broadcast) {
    counters_.add(Counter::kIcmpInBroadcastEcho);
    return;
  }
  const std::uint32_t length = packet.length();
  PacketPtr reply = pool_.allocate(length);
  if (reply == nullptr) {
    counters_.add(Counter::kOutDiscards);
    return;
  }
  // §3.2.2.6: the data comes back entire, and from the address that was asked.
  const std::span<std::uint8_t> bytes{reply->put(length), length};
  packet.copy_out(0, bytes);
  Icmpv4Header header = request;
  header.type = Icmpv4Header::kEchoReply;
  header.checksum = 0;
  header.emit(bytes);
  header.checksum = internet_checksum(bytes);
  header.emit(bytes);
  reply->set_transport_header();
  OutputOptions options;
  options.source = info.destination;
  options.destination = info.source;
  options.protocol = wire::kProtocolIcmp;
  options.ttl = config_.default_ttl;
  options.tos = info.tos;
  if (!ip_.output(std::move(reply), options, now)) return;  // counted there
  counters_.add(Counter::kIcmpOutMsgs);
  counters_.add(Counter::kIcmpOutEchoReps);
}

void Icmp::on_error(const Packet& packet, const Icmpv4Header& header, const PacketInfo& info, Instant now) {
  const std::optional<IcmpError::Kind> kind = kind_of(header.type, header.code);
  if (!kind) return;  // redirects, source quenches and unknown codes
  const auto quoted = Ipv4Header::parse(packet.linear().subspan(kIcmpHeader));
  // RFC 1122 §3.2.2: what is passed up must quote a packet that this host can have sent.
  if (!quoted || packet.linear_length() < kIcmpHeader + quoted->header_length + 8U ||
      !ip_.is_local(quoted->source) || quoted->fragment_offset != 0) {
    counters_.add(Counter::kIcmpInErrors);
    return;
  }
  Transport* const transport = ip_.transport(quoted->protocol);
  if (transport == nullptr) return;  // our echo replies

  IcmpError error;
  error.kind = *kind;
  error.source = from_carried(quoted->source);
  error.destination = from_carried(quoted->destination);
  error.reporter = info.source;
  std::copy_n(packet.linear().begin() + kIcmpHeader + quoted->header_length, error.transport_header.size(),
              error.transport_header.begin());
  if (*kind == IcmpError::Kind::kFragmentationNeeded) {
    const std::uint32_t claimed = header.next_hop_mtu();
    error.mtu = ip_.path_mtu_claim(error.destination,
                                   claimed != 0 ? claimed : plateau_below(quoted->total_length), now);
  }
  transport->on_icmp_error(error, now);
}

// --- out

bool Icmp::may_answer(const Packet& packet, const Ipv4Header& header) {
  // RFC 1122 §3.2.2: no error about an error, ...
  if (header.protocol == wire::kProtocolIcmp) {
    std::array<std::uint8_t, 1> type{};
    if (packet.length() == 0) return false;
    packet.copy_out(0, type);
    if (type[0] != Icmpv4Header::kEchoRequest && type[0] != Icmpv4Header::kEchoReply) return false;
  }
  // ... about a fragment other than the first, or to a source that is no single host.
  const IpAddress& source = header.source;
  return header.fragment_offset == 0 && !source.is_unspecified() && !source.is_multicast() &&
         !source.is_limited_broadcast() && (source.v4_value() >> 28) != 0xf;
}

void Icmp::send_error(const Packet& packet, bool broadcast, std::uint8_t type, std::uint8_t code,
                      Instant now) {
  const std::uint8_t* const quoted = packet.network_header();
  const auto quoted_length = static_cast<std::uint32_t>((quoted[0] & 0xf) * 4);
  const auto header = Ipv4Header::parse({quoted, quoted_length});
  if (broadcast || packet.link_broadcast || !header || !may_answer(packet, *header)) {
    counters_.add(Counter::kIcmpOutSuppressed);
    return;
  }
  // The loopback needs no limit, as in Linux: who asks there is this host.
  if (!ip_.is_local(header->source) && !errors_.take(now)) {
    counters_.add(Counter::kIcmpOutRateLimitHost);
    return;
  }
  const std::uint32_t data =
      std::min(packet.length(), kLargestError - kIpHeader - kIcmpHeader - quoted_length);
  const std::uint32_t length = kIcmpHeader + quoted_length + data;
  PacketPtr error = pool_.allocate(length, PacketPool::kHeadroom, Priority::kControl);
  if (error == nullptr) {
    counters_.add(Counter::kOutDiscards);
    return;
  }
  const std::span<std::uint8_t> bytes{error->put(length), length};
  std::copy_n(quoted, quoted_length, bytes.begin() + kIcmpHeader);
  packet.copy_out(0, bytes.subspan(kIcmpHeader + quoted_length));
  Icmpv4Header icmp;
  icmp.type = type;
  icmp.code = code;
  icmp.emit(bytes);
  icmp.checksum = internet_checksum(bytes);
  icmp.emit(bytes);
  error->set_transport_header();
  OutputOptions options;
  options.source = from_carried(header->destination);
  options.destination = from_carried(header->source);
  options.protocol = wire::kProtocolIcmp;
  options.ttl = config_.default_ttl;
  options.tos = static_cast<std::uint8_t>(header->tos | kInternetworkControl);
  if (!ip_.output(std::move(error), options, now)) return;  // counted there
  counters_.add(Counter::kIcmpOutMsgs);
  counters_.add(type == Icmpv4Header::kTimeExceeded ? Counter::kIcmpOutTimeExcds
                                                    : Counter::kIcmpOutDestUnreachs);
}

}  // namespace millrace::ip
