#pragma once

#include <optional>
#include <vector>

#include "ip/ip_layer.h"
#include "support/frames.h"

namespace millrace::test {

/// A transport protocol that writes down what it is given.
class RecordingTransport final : public ip::Transport {
 public:
  struct Arrival {
    Bytes data;
    ip::PacketInfo info;
    Offload offload;
    std::optional<wire::Ipv4Header> header;  ///< as network_header() shows it
  };

  void on_packet(PacketPtr packet, const ip::PacketInfo& info, Instant) override {
    Arrival arrival;
    arrival.data.resize(packet->length());
    packet->copy_out(0, arrival.data);
    arrival.info = info;
    arrival.offload = packet->offload;
    arrival.header = wire::Ipv4Header::parse(
        {packet->network_header(), static_cast<std::size_t>((packet->network_header()[0] & 0xf) * 4)});
    arrivals.push_back(std::move(arrival));
  }
  void on_icmp_error(const ip::IcmpError& error, Instant) override { errors.push_back(error); }

  std::vector<Arrival> arrivals;
  std::vector<ip::IcmpError> errors;
};

}  // namespace millrace::test
