#include "frames.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>

namespace millrace::link {

namespace {

void put16(Bytes& to, std::uint32_t v) {
  to.push_back(static_cast<std::uint8_t>(v >> 8));
  to.push_back(static_cast<std::uint8_t>(v));
}
void put32(Bytes& to, std::uint32_t v) {
  put16(to, v >> 16);
  put16(to, v & 0xffff);
}
std::uint16_t get16(const Bytes& from, std::size_t at) {
  return static_cast<std::uint16_t>(from.at(at) << 8 | from.at(at + 1));
}
std::uint32_t get32(const Bytes& from, std::size_t at) {
  return std::uint32_t{get16(from, at)} << 16 | get16(from, at + 2);
}
void set16(Bytes& to, std::size_t at, std::uint16_t v) {
  to.at(at) = static_cast<std::uint8_t>(v >> 8);
  to.at(at + 1) = static_cast<std::uint8_t>(v);
}
Bytes part(const Bytes& from, std::size_t begin, std::size_t end) {
  return {from.begin() + static_cast<std::ptrdiff_t>(begin), from.begin() + static_cast<std::ptrdiff_t>(end)};
}
std::uint16_t inverted(std::uint16_t sum) {
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

std::uint16_t naive_sum(const Bytes& bytes, std::uint32_t start) {
  std::uint64_t sum = start;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint64_t{bytes[i]} << 8 : std::uint64_t{bytes[i]};
  }
  while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
  return static_cast<std::uint16_t>(sum);
}

std::uint16_t naive_transport_sum(const Bytes& packet, std::size_t transport_at, std::uint8_t protocol) {
  const bool v6 = packet.at(0) >> 4 == 6;
  Bytes summed = v6 ? part(packet, 8, 40) : part(packet, 12, 20);
  put32(summed, static_cast<std::uint32_t>(packet.size() - transport_at));
  put32(summed, protocol);
  summed.insert(summed.end(), packet.begin() + static_cast<std::ptrdiff_t>(transport_at), packet.end());
  return naive_sum(summed);
}

Bytes TcpFrame::packet() const {
  Bytes p;
  const auto total = static_cast<std::uint32_t>(network_length() + transport_length() + payload.size());
  if (v6) {
    put32(p, 0x60000000U | std::uint32_t{tos} << 20 | 0x54321);
    put16(p, total - 40);
    p.push_back(6);
    p.push_back(ttl);
    for (std::uint8_t last : {host, std::uint8_t{2}}) {
      put32(p, 0x20010db8);
      put32(p, 0);
      put32(p, 0);
      put32(p, last);
    }
  } else {
    p.push_back(static_cast<std::uint8_t>(0x40 | network_length() / 4));
    p.push_back(tos);
    put16(p, total);
    put16(p, id);
    put16(p, df ? 0x4000 : 0);
    p.push_back(ttl);
    p.push_back(6);
    put16(p, 0);
    put32(p, 0xc6120000U | host);
    put32(p, 0xc6120002U);
    p.insert(p.end(), ip_options.begin(), ip_options.end());
    set16(p, 10, inverted(naive_sum(p)));
  }
  const std::size_t tcp_at = p.size();
  put16(p, source_port);
  put16(p, 7777);
  put32(p, seq);
  put32(p, ack);
  p.push_back(static_cast<std::uint8_t>(transport_length() / 4 << 4 | reserved));
  p.push_back(flags);
  put16(p, window);
  put16(p, 0);
  put16(p, urgent);
  p.insert(p.end(), tcp_options.begin(), tcp_options.end());
  p.insert(p.end(), payload.begin(), payload.end());
  set16(p, tcp_at + 16, inverted(naive_transport_sum(p, tcp_at, 6)));
  return p;
}

Bytes TcpFrame::frame() const {
  Bytes f{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  for (int i = 0; i < vlan_tags; ++i) {
    put16(f, 0x8100);
    put16(f, 0x2005);
  }
  put16(f, v6 ? 0x86dd : 0x0800);
  const Bytes p = packet();
  f.insert(f.end(), p.begin(), p.end());
  return f;
}

TcpFrame TcpFrame::read_packet(const Bytes& p, bool checksums) {
  TcpFrame t;
  t.v6 = p.at(0) >> 4 == 6;
  std::size_t tcp_at = 40;
  if (t.v6) {
    EXPECT_EQ(get16(p, 4) + 40u, p.size());
    t.tos = static_cast<std::uint8_t>(get16(p, 0) >> 4);
    t.ttl = p.at(7);
    t.host = p.at(23);
  } else {
    tcp_at = (p.at(0) & 0xf) * 4U;
    EXPECT_EQ(get16(p, 2), p.size());
    t.tos = p.at(1);
    t.id = get16(p, 4);
    t.df = (p.at(6) & 0x40) != 0;
    t.ttl = p.at(8);
    t.host = p.at(15);
    t.ip_options = part(p, 20, tcp_at);
    EXPECT_EQ(naive_sum(part(p, 0, tcp_at)), 0xffff) << "IPv4 header checksum";
  }
  t.source_port = get16(p, tcp_at);
  t.seq = get32(p, tcp_at + 4);
  t.ack = get32(p, tcp_at + 8);
  t.reserved = p.at(tcp_at + 12) & 0xf;
  t.flags = p.at(tcp_at + 13);
  t.window = get16(p, tcp_at + 14);
  t.urgent = get16(p, tcp_at + 18);
  const std::size_t payload_at = tcp_at + (p.at(tcp_at + 12) >> 4) * 4U;
  t.tcp_options = part(p, tcp_at + 20, payload_at);
  t.payload = part(p, payload_at, p.size());
  if (checksums) {
    EXPECT_EQ(naive_transport_sum(p, tcp_at, 6), 0xffff) << "TCP checksum";
  }
  return t;
}

TcpFrame TcpFrame::read_frame(const Bytes& f, bool checksums) {
  std::size_t at = 12;
  int tags = 0;
  while (get16(f, at) == 0x8100) {
    ++tags;
    at += 4;
  }
  TcpFrame t = read_packet(part(f, at + 2, f.size()), checksums);
  EXPECT_EQ(get16(f, at), t.v6 ? 0x86dd : 0x0800);
  t.vlan_tags = tags;
  return t;
}

void PrintTo(const TcpFrame& f, std::ostream* out) {
  *out << (f.v6 ? "IPv6" : "IPv4") << " tags " << f.vlan_tags << " host " << +f.host << " tos " << +f.tos
       << " ttl " << +f.ttl << " id " << f.id << " df " << f.df << " IP options "
       << ::testing::PrintToString(f.ip_options) << " port " << f.source_port << " seq " << f.seq << " ack "
       << f.ack << " flags " << std::hex << +f.flags << std::dec << " reserved " << +f.reserved << " window "
       << f.window << " urgent " << f.urgent << " TCP options " << ::testing::PrintToString(f.tcp_options)
       << " payload of " << f.payload.size() << ", sum " << naive_sum(f.payload);
}

Bytes contents(const Packet& packet) {
  Bytes bytes(packet.length());
  packet.copy_out(0, bytes);
  return bytes;
}

PacketPtr linear_packet(PacketPool& pool, const Bytes& bytes) {
  PacketPtr packet = pool.allocate(bytes.size());
  std::copy(bytes.begin(), bytes.end(), packet->put(static_cast<std::uint32_t>(bytes.size())));
  packet->set_network_header();
  return packet;
}

PacketPtr scattered_packet(PacketPool& pool, const Bytes& bytes, std::size_t linear,
                           const std::vector<std::size_t>& sizes) {
  PacketPtr packet = linear_packet(pool, part(bytes, 0, std::min(linear, bytes.size())));
  std::size_t next = 0;
  for (std::size_t at = packet->length(); at < bytes.size();) {
    const std::size_t n = std::min(sizes[std::min(next++, sizes.size() - 1)], bytes.size() - at);
    BufferRef buffer = pool.allocate_buffer(n);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), n, buffer->bytes());
    EXPECT_TRUE(packet->append_fragment(std::move(buffer), 0, static_cast<std::uint32_t>(n)));
    at += n;
  }
  return packet;
}

Bytes random_bytes(std::mt19937_64& random, std::size_t n) {
  Bytes bytes(n);
  for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random());
  return bytes;
}

}  // namespace millrace::link
