// Sends SYNs from addresses that are nobody's, as fast as an interface takes them: for tests of what a
// listener does under a flood. Counted and timed, and only ever for an interface of a test's own namespace.

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/pseudo_header.h"
#include "wire/tcp.h"
#include "wire/tcp_options.h"

namespace millrace::test {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kHeaders =
    wire::EthernetHeader::kSize + wire::Ipv4Header::kSize + wire::TcpHeader::kSize;

struct Settings {
  std::string device, target, mac, network = "198.19.0.0/16";
  std::uint16_t port = 7;
  std::uint64_t count = 100'000;
  double seconds = 30;     ///< it stops then, whatever was sent
  std::uint64_t rate = 0;  ///< SYNs a second; 0: as fast as can be
  std::uint32_t seed = 1;
};

int open_socket(const std::string& device, MacAddress& own) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
  ifreq request{};
  device.copy(request.ifr_name, sizeof request.ifr_name - 1);
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) throw std::runtime_error(device + ": " + std::strerror(errno));
  std::memcpy(own.bytes.data(), request.ifr_hwaddr.sa_data, own.bytes.size());
  if (ioctl(fd, SIOCGIFINDEX, &request) != 0) throw std::runtime_error(device + ": " + std::strerror(errno));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = request.ifr_ifindex;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error(std::string("bind: ") + std::strerror(errno));
  const int on = 1;
  static_cast<void>(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on));
  return fd;
}

/// What a Linux client's SYN looks like.
class SynFrames {
 public:
  SynFrames(const Settings& settings, const MacAddress& own, const MacAddress& target_mac)
      : random_(settings.seed), network_(*IpPrefix::parse(settings.network)) {
    options_.mss = 1460;
    options_.sack_permitted = true;
    options_.window_scale = 7;
    options_.timestamps = wire::TcpOptions::Timestamps{1, 0};
    ip_.destination = *IpAddress::parse(settings.target);
    ip_.protocol = wire::kProtocolTcp;
    ip_.ttl = 64;
    ip_.dont_fragment = true;
    tcp_.destination_port = settings.port;
    tcp_.flags = wire::TcpFlags::kSyn;
    tcp_.window = 64'240;
    tcp_.header_length = static_cast<std::uint8_t>(wire::TcpHeader::kSize + options_.size());
    for (auto& frame : frames_) {
      frame.resize(kHeaders + options_.size());
      wire::EthernetHeader{target_mac, own, wire::kEtherTypeIpv4}.emit(frame);
    }
  }

  std::vector<std::uint8_t>& next(std::size_t place) {
    std::vector<std::uint8_t>& frame = frames_[place];
    const std::span<std::uint8_t> packet = std::span{frame}.subspan(wire::EthernetHeader::kSize);
    const std::span<std::uint8_t> segment = packet.subspan(wire::Ipv4Header::kSize);
    const std::uint32_t hosts = network_.length >= 31 ? 0 : (std::uint32_t{1} << (32 - network_.length)) - 1;
    const std::uint32_t host = hosts > 1 ? 1 + static_cast<std::uint32_t>(random_()) % (hosts - 1) : 0;
    ip_.source = IpAddress::v4(network_.address.v4_value() + host);
    ip_.total_length = static_cast<std::uint16_t>(packet.size());
    ip_.emit(packet);
    tcp_.source_port = static_cast<std::uint16_t>(1024 + random_() % 64'512);
    tcp_.seq = SeqNum{static_cast<std::uint32_t>(random_())};
    tcp_.checksum = 0;
    options_.timestamps->value = static_cast<std::uint32_t>(random_());
    tcp_.emit(segment);
    options_.emit(segment.subspan(wire::TcpHeader::kSize));
    tcp_.checksum = wire::transport_checksum(ip_.source, ip_.destination, wire::kProtocolTcp, segment);
    tcp_.emit(segment);
    return frame;
  }

 private:
  std::mt19937 random_;
  IpPrefix network_;
  wire::Ipv4Header ip_;
  wire::TcpHeader tcp_;
  wire::TcpOptions options_;
  std::array<std::vector<std::uint8_t>, kBatch> frames_;
};

std::uint64_t flood(int fd, SynFrames& frames, const Settings& settings) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto elapsed = [start] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::uint64_t sent = 0;
  while (sent < settings.count && elapsed() < settings.seconds) {
    if (settings.rate != 0 && static_cast<double>(sent) > elapsed() * static_cast<double>(settings.rate)) {
      usleep(200);
      continue;
    }
    const auto n = static_cast<unsigned>(std::min<std::uint64_t>(kBatch, settings.count - sent));
    std::array<iovec, kBatch> pieces{};
    std::array<mmsghdr, kBatch> messages{};
    for (unsigned i = 0; i < n; ++i) {
      std::vector<std::uint8_t>& frame = frames.next(i);
      pieces[i] = {frame.data(), frame.size()};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (unsigned done = 0; done < n && elapsed() < settings.seconds;) {
      const int taken = sendmmsg(fd, messages.data() + done, n - done, 0);
      if (taken < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN)
        throw std::runtime_error(std::string("sendmmsg: ") + std::strerror(errno));
      if (taken <= 0) continue;
      done += static_cast<unsigned>(taken);
      sent += static_cast<unsigned>(taken);
    }
  }
  std::printf("sent %llu SYNs in %.3f s\n", static_cast<unsigned long long>(sent), elapsed());
  return sent;
}

int run(int argc, char** argv) {
  Settings settings;
  CLI::App app{"Sends SYNs from addresses that are nobody's."};
  app.add_option("--device", settings.device)->required();
  app.add_option("--target", settings.target)->required();
  app.add_option("--mac", settings.mac, "where frames for the target go")->required();
  app.add_option("--network", settings.network, "where the sources are from")->capture_default_str();
  app.add_option("--port", settings.port)->capture_default_str();
  app.add_option("--count", settings.count)->capture_default_str();
  app.add_option("--seconds", settings.seconds)->capture_default_str()->check(CLI::Range(0.1, 600.0));
  app.add_option("--rate", settings.rate, "SYNs a second; 0: as fast as can be")->capture_default_str();
  app.add_option("--seed", settings.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto target_mac = MacAddress::parse(settings.mac);
  if (!target_mac || !IpAddress::parse(settings.target) || !IpPrefix::parse(settings.network)) {
    std::fprintf(stderr, "syn-flood: an address is malformed\n");
    return 2;
  }
  MacAddress own;
  const int fd = open_socket(settings.device, own);
  SynFrames frames(settings, own, *target_mac);
  std::printf("flooding\n");
  std::fflush(stdout);
  flood(fd, frames, settings);
  close(fd);
  return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  try {
    return millrace::test::run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "syn-flood: %s\n", problem.what());
    return 1;
  }
}
