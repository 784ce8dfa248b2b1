#include "support/tcp_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "support/frames.h"

namespace millrace::test {

namespace {

constexpr MacAddress kOwnMac{{0x02, 0, 0, 0, 0, 1}};
constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 2}};
constexpr std::uint16_t kFirstPeerPort = 40000;
constexpr std::size_t kTranscriptLines = 60;
constexpr std::size_t kBudget = 64;
/// A round trip of no time at all counts as a nanosecond in the RTO.
constexpr Duration kTolerance = 1us;

Rng::Seed seed_bytes(std::uint64_t number) {
  Rng::Seed seed{};
  for (std::size_t i = 0; i < 8; ++i) seed[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return seed;
}

}  // namespace

void rfc(std::string_view number, std::string_view section, std::string_view rule) {
  static int count = 0;
  static const testing::TestInfo* last = nullptr;
  const testing::TestInfo* running = testing::UnitTest::GetInstance()->current_test_info();
  if (running != last) count = 0;
  last = running;
  testing::Test::RecordProperty("rfc" + std::to_string(count++),
                                std::string(number) + "|" + std::string(section) + "|" + std::string(rule));
}

// --- life

TcpScript::TcpScript(const Options& options)
    : start_(kEpoch + 1000s), now_(start_), keep_frames_(options.keep_frames), arp_(options.arp) {
  device_.capabilities = options.caps;
  device_.address = kOwnMac;
  device_.link_mtu = options.mtu;
  stack_ = std::make_unique<Stack>(options.stack, seed_bytes(options.seed), now_);
  link::InterfaceConfig interface;
  interface.addresses = {*IpPrefix::parse("198.18.0.1/24")};
  interface.probe_addresses = false;
  auto& neighbours = stack_->add_interface(device_, interface, now_).neighbours();
  if (arp_) {
    inject_frame(ethernet(kOwnMac, kPeerMac, wire::kEtherTypeArp,
                          arp({wire::ArpPacket::kRequest, kPeerMac, kPeer, MacAddress{}, kOwn})));
  } else {
    neighbours.add_static(kPeer, kPeerMac, now_);
  }
  from_port(kFirstPeerPort);
}

TcpScript::~TcpScript() {
  collect();
  if (!sent_.empty()) {
    fail("sent, and not expected by the end of the test: " + sent_.front().segment.to_string() + " and " +
             std::to_string(sent_.size() - 1) + " more",
         __FILE__, __LINE__);
  }
  socket_.reset();
  listener_.reset();
}

TcpScript& TcpScript::from_port(std::uint16_t port) {
  port_ = port;
  if (!conversations_.contains(port)) open_conversation(port);
  return *this;
}

TcpScript& TcpScript::from_host(const IpAddress& address) {
  current().peer_address = address;
  stack_->interfaces().front()->neighbours().add_static(address, kPeerMac, now_);
  return *this;
}

TcpScript::Conversation& TcpScript::open_conversation(std::uint16_t port) {
  Conversation& conversation = conversations_[port];
  conversation = Conversation{};
  conversation.peer_port = port;
  // Close to the wrap-around, so that every longer test crosses it.
  conversation.peer_iss = SeqNum{0xfffff000u + port};
  conversation.ts_start = now_;
  conversation.first_ts_value = 0xfffffc00u + port;
  return conversation;
}

// --- time

void TcpScript::turn() {
  stack_->flush(now_);
  while (stack_->poll(now_, kBudget) == kBudget) {
  }
  stack_->flush(now_);
  collect();
}

void TcpScript::run_until(Instant end) {
  int stuck = 0;
  while (true) {
    const Instant next = stack_->next_deadline();
    if (next > end) break;
    if (next <= now_ && ++stuck > 1000) {
      fail("next_deadline() stays in the past", __FILE__, __LINE__);
      break;
    }
    if (next > now_) stuck = 0;
    now_ = std::max(now_, next);
    turn();
  }
  now_ = end;
  turn();
}

TcpScript& TcpScript::after(Duration by) {
  run_until(now_ + by);
  return *this;
}

TcpScript& TcpScript::at(Duration since_start) {
  run_until(start_ + since_start);
  return *this;
}

// --- the peer

Seg TcpScript::complete(Seg segment) {
  Conversation& conversation = current();
  if (!segment.at) segment.at = conversation.peer_next;
  if (segment.has(Seg::Flags::kAck) && !segment.acknowledges) segment.acknowledges = conversation.last_ack;
  if (!segment.window) segment.window = conversation.window;
  if (segment.has(Seg::Flags::kSyn)) {
    conversation.offered_timestamps =
        segment.timestamps.has_value() || segment.has_timestamps.value_or(false);
    if (segment.has(Seg::Flags::kAck)) conversation.timestamps = conversation.offered_timestamps;
  }
  if (segment.timestamps) {
    // Its clock goes on from here.
    conversation.first_ts_value = segment.timestamps->value;
    conversation.ts_start = now_;
  }
  const bool stamped = segment.has_timestamps.value_or(conversation.timestamps);
  if (stamped && !segment.timestamps) {
    const auto elapsed = static_cast<std::uint32_t>(to_ms(now_ - conversation.ts_start));
    segment.timestamps =
        wire::TcpOptions::Timestamps{conversation.first_ts_value + elapsed, conversation.last_ts_value};
  }
  segment.has_timestamps = stamped;
  if (segment.has(Seg::Flags::kAck)) conversation.last_ack = *segment.acknowledges;
  conversation.window = *segment.window;
  if (!segment.has(Seg::Flags::kRst)) {
    const std::uint32_t end = *segment.at + segment.sequence_length();
    if (static_cast<std::int32_t>(end - conversation.peer_next) > 0) conversation.peer_next = end;
  }
  return segment;
}

std::vector<std::uint8_t> TcpScript::frame_of(const Seg& wanted) {
  const Seg segment = complete(wanted);
  const Conversation& conversation = current();
  wire::TcpOptions options;
  options.mss = segment.max_segment;
  options.window_scale = segment.scale;
  options.sack_permitted = segment.sack_permitted.value_or(false);
  options.timestamps = segment.timestamps;
  options.fast_open = segment.fast_open;
  options.user_timeout = segment.user_timeout;
  for (const auto& [left, right] : segment.blocks) {
    const SeqNum iss = conversation.our_iss.value_or(SeqNum{});
    options.sack[options.sack_count++] = {iss + left, iss + right};
  }
  const std::size_t header_length = wire::TcpHeader::kSize + options.size();
  Bytes message(header_length + segment.length);
  wire::TcpHeader header;
  header.source_port = conversation.peer_port;
  header.destination_port = conversation.own_port;
  header.seq = conversation.peer_iss + *segment.at;
  header.ack =
      segment.acknowledges ? conversation.our_iss.value_or(SeqNum{}) + *segment.acknowledges : SeqNum{};
  header.flags = segment.flags;
  header.window = *segment.window;
  header.urgent_pointer = segment.urgent;
  header.header_length = static_cast<std::uint8_t>(header_length);
  header.emit(message);
  options.emit(std::span{message}.subspan(wire::TcpHeader::kSize));
  const std::uint32_t first = *segment.at + (segment.has(Seg::Flags::kSyn) ? 1u : 0u);
  for (std::uint32_t i = 0; i < segment.length; ++i) message[header_length + i] = pattern_byte(first + i - 1);
  header.checksum = wire::transport_checksum(conversation.peer_address, kOwn, wire::kProtocolTcp, message);
  header.emit(message);
  note("<", segment, conversation.peer_port, now_);
  wire::Ipv4Header outer = ipv4_header(conversation.peer_address, kOwn, wire::kProtocolTcp);
  outer.tos = segment.type_of_service.value_or(0);
  return ethernet(kOwnMac, kPeerMac, wire::kEtherTypeIpv4, ipv4(outer, message));
}

void TcpScript::inject_frame(const std::vector<std::uint8_t>& frame) {
  device_.inject(frame);
  turn();
}

void TcpScript::inject(const Seg& segment, const char* /*file*/, int /*line*/) {
  inject_frame(frame_of(segment));
}

void TcpScript::inject_batch(std::initializer_list<Seg> segments) {
  for (const Seg& segment : segments) device_.inject(frame_of(segment));
  turn();
}

void TcpScript::inject_icmp(std::uint8_t type, std::uint8_t code, std::uint32_t seq, std::uint16_t mtu) {
  const Conversation& conversation = current();
  Bytes quoted_tcp(8);
  store_be16(&quoted_tcp[0], conversation.own_port);
  store_be16(&quoted_tcp[2], conversation.peer_port);
  store_be32(&quoted_tcp[4], (conversation.our_iss.value_or(SeqNum{}) + seq).value());
  wire::Ipv4Header quoted = ipv4_header(kOwn, kPeer, wire::kProtocolTcp);
  quoted.total_length = 1500;
  quoted.dont_fragment = true;
  wire::Icmpv4Header header;
  header.type = type;
  header.code = code;
  header.rest = mtu;
  inject_frame(
      ethernet(kOwnMac, kPeerMac, wire::kEtherTypeIpv4,
               ipv4(ipv4_header(kPeer, kOwn, wire::kProtocolIcmp), icmp(header, ipv4(quoted, quoted_tcp)))));
}

// --- what the stack sent

void TcpScript::collect() {
  for (SentFrame& frame : device_.take_sent()) {
    on_sent_frame(frame);
    if (keep_frames_) frames_.push_back(std::move(frame));
  }
}

void TcpScript::on_sent_frame(const SentFrame& frame) {
  const auto link = wire::EthernetHeader::parse(frame.bytes);
  if (arp_ && link && link->ether_type == wire::kEtherTypeArp) {
    ++arp_sent_;
    return;
  }
  if (!link || link->ether_type != wire::kEtherTypeIpv4) {
    fail("a frame that is not IPv4 was sent", __FILE__, __LINE__);
    return;
  }
  const auto packet = wire::Ipv4View::parse(std::span{frame.bytes}.subspan(wire::EthernetHeader::kSize));
  if (!packet || !packet->checksum_ok() || link->destination != kPeerMac) {
    fail("a malformed or misdirected IPv4 packet was sent", __FILE__, __LINE__);
    return;
  }
  if (packet->protocol() == wire::kProtocolIcmp) {
    ++icmp_sent_;
    return;
  }
  take_tcp(*packet, frame.at);
}

void TcpScript::take_tcp(const wire::Ipv4View& packet, Instant at) {
  const auto bytes = packet.payload();
  const auto header = wire::TcpHeader::parse(bytes);
  if (!header) {
    fail("a malformed TCP header was sent", __FILE__, __LINE__);
    return;
  }
  if (!device_.capabilities.tx_checksum &&
      wire::transport_checksum(packet.source(), packet.destination(), wire::kProtocolTcp, bytes) != 0) {
    fail("a segment with a wrong checksum was sent", __FILE__, __LINE__);
  }
  if (!conversations_.contains(header->destination_port)) open_conversation(header->destination_port);
  Conversation& conversation = conversations_.at(header->destination_port);
  const bool is_syn = header->has(Seg::Flags::kSyn);
  if (is_syn) {
    conversation.our_iss = header->seq;
    conversation.own_port = header->source_port;
  }
  // A reset for a segment without a connection takes its number from that segment's ACK.
  const SeqNum base = conversation.our_iss.value_or(SeqNum{});
  const wire::TcpOptions options = wire::TcpOptions::parse(header->options(bytes));
  Sent sent;
  sent.at = at;
  sent.peer_port = header->destination_port;
  Seg& segment = sent.segment;
  segment.flags = header->flags;
  segment.time_to_live = packet.ttl();
  segment.type_of_service = packet.tos();
  segment.dont_fragment = packet.dont_fragment();
  segment.at = SeqNum::distance(base, header->seq);
  if (header->has(Seg::Flags::kAck))
    segment.acknowledges = SeqNum::distance(conversation.peer_iss, header->ack);
  segment.length = static_cast<std::uint32_t>(bytes.size() - header->header_length);
  segment.window = header->window;
  segment.urgent = header->urgent_pointer;
  segment.max_segment = options.mss;
  segment.scale = options.window_scale;
  segment.timestamps = options.timestamps;
  segment.fast_open = options.fast_open;
  segment.user_timeout = options.user_timeout;
  segment.has_timestamps = options.timestamps.has_value();
  if (is_syn) segment.sack_permitted = options.sack_permitted;
  for (std::uint8_t i = 0; i < options.sack_count; ++i) {
    segment.blocks.emplace_back(SeqNum::distance(conversation.peer_iss, options.sack[i].left),
                                SeqNum::distance(conversation.peer_iss, options.sack[i].right));
  }
  if (is_syn && header->has(Seg::Flags::kAck)) {
    conversation.timestamps = options.timestamps.has_value();
  } else if (is_syn) {
    conversation.timestamps = false;  // until the peer has answered
  }
  if (options.timestamps) conversation.last_ts_value = options.timestamps->value;
  note(">", segment, sent.peer_port, at);
  if (options.malformed) fail("malformed options were sent", __FILE__, __LINE__);
  check_payload(segment, bytes.subspan(header->header_length));
  sent_.push_back(std::move(sent));
}

void TcpScript::check_payload(const Seg& segment, std::span<const std::uint8_t> payload) {
  const std::uint32_t first = *segment.at + (segment.has(Seg::Flags::kSyn) ? 1u : 0u);
  for (std::size_t i = 0; i < payload.size(); ++i) {
    if (payload[i] != pattern_byte(first + i - 1)) {
      fail("wrong byte at stream position " + std::to_string(first + i) + " in " + segment.to_string(),
           __FILE__, __LINE__);
      return;
    }
  }
}

std::vector<Seg> TcpScript::take_sent() {
  std::vector<Seg> result;
  for (Sent& sent : sent_) result.push_back(std::move(sent.segment));
  sent_.clear();
  return result;
}

// --- expectations

void TcpScript::check(const Sent& sent, const Seg& wanted, const char* file, int line) {
  const Seg& got = sent.segment;
  const std::uint8_t mask = wanted.push_matters ? 0xff : static_cast<std::uint8_t>(0xff & ~Seg::Flags::kPsh);
  bool same = (got.flags & mask) == (wanted.flags & mask) && got.length == wanted.length &&
              got.blocks == wanted.blocks && sent.peer_port == port_;
  const auto compare = [&same](const auto& want, const auto& have) {
    same = same && (!want || want == have);
  };
  compare(wanted.at, got.at);
  compare(wanted.acknowledges, got.acknowledges);
  compare(wanted.window, got.window);
  compare(wanted.max_segment, got.max_segment);
  compare(wanted.scale, got.scale);
  compare(wanted.sack_permitted, got.sack_permitted);
  compare(wanted.timestamps, got.timestamps);
  // A cookie that nobody mentions is not there.
  same = same && wanted.fast_open == got.fast_open && wanted.user_timeout == got.user_timeout;
  compare(wanted.has_timestamps, got.has_timestamps);
  compare(wanted.time_to_live, got.time_to_live);
  compare(wanted.type_of_service, got.type_of_service);
  compare(wanted.dont_fragment, got.dont_fragment);
  if (wanted.has(Seg::Flags::kUrg)) same = same && wanted.urgent == got.urgent;
  if (!same) {
    fail("expected  " + wanted.to_string() + "\n     sent " + got.to_string() +
             (sent.peer_port != port_ ? " to port " + std::to_string(sent.peer_port) : ""),
         file, line);
  }
}

void TcpScript::expect(const Seg& segment, const char* file, int line) {
  if (sent_.empty()) {
    fail("expected  " + segment.to_string() + "\n     sent nothing", file, line);
    return;
  }
  const Sent sent = sent_.front();
  sent_.pop_front();
  check(sent, segment, file, line);
}

void TcpScript::expect_stream(std::uint32_t from, std::uint32_t to, const char* file, int line) {
  std::uint32_t next = from;
  while (next != to) {
    if (sent_.empty() || sent_.front().segment.at != next || sent_.front().segment.length == 0 ||
        sent_.front().segment.length > to - next || sent_.front().peer_port != port_) {
      fail("expected  the bytes " + std::to_string(next) + ":" + std::to_string(to) + " of " +
               std::to_string(from) + ":" + std::to_string(to) + "\n     sent " +
               (sent_.empty() ? std::string("nothing") : sent_.front().segment.to_string()),
           file, line);
      return;
    }
    next += sent_.front().segment.length;
    sent_.pop_front();
  }
}

void TcpScript::expect_nothing(const char* file, int line) {
  if (sent_.empty()) return;
  fail("expected nothing\n     sent " + sent_.front().segment.to_string() +
           (sent_.size() > 1 ? " and " + std::to_string(sent_.size() - 1) + " more" : ""),
       file, line);
  sent_.clear();
}

void TcpScript::expect_after(Duration by, const Seg& segment, const char* file, int line) {
  expect_nothing(file, line);
  const Instant due = now_ + by;
  after(by);
  if (sent_.empty()) after(kTolerance);
  if (!sent_.empty() && sent_.front().at + kTolerance < due) {
    fail("sent " + std::to_string(to_ms(due - sent_.front().at)) +
             " ms early: " + sent_.front().segment.to_string(),
         file, line);
  }
  expect(segment, file, line);
}

void TcpScript::expect_nothing_for(Duration by, const char* file, int line) {
  expect_nothing(file, line);
  after(by);
  expect_nothing(file, line);
}

void TcpScript::fail(const std::string& what, const char* file, int line) const {
  std::ostringstream text;
  text << what << "\nThe conversation (the last " << kTranscriptLines
       << " segments, > is sent by the stack):\n";
  const std::size_t from = transcript_.size() > kTranscriptLines ? transcript_.size() - kTranscriptLines : 0;
  for (std::size_t i = from; i < transcript_.size(); ++i) text << transcript_[i] << '\n';
  testing::internal::AssertHelper(testing::TestPartResult::kNonFatalFailure, file, line, "") =
      testing::Message() << text.str();
}

void TcpScript::note(std::string_view direction, const Seg& segment, std::uint16_t port, Instant at) {
  std::ostringstream line;
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(at - start_).count();
  line << "  " << us / 1'000'000 << '.' << std::to_string(1'000'000 + us % 1'000'000).substr(1) << ' '
       << direction << ' ';
  if (port != kFirstPeerPort) line << '[' << port << "] ";
  line << segment.to_string();
  transcript_.push_back(line.str());
}

// --- the application

void TcpScript::listen(int backlog) {
  listener_ = std::move(*stack_->create_socket(SocketType::kStream));
  ASSERT_TRUE(listener_->bind({kOwn, kServerPort}).ok());
  ASSERT_TRUE(listener_->listen(backlog, now_).ok());
  turn();
}

bool TcpScript::try_accept() {
  auto result = listener_->accept(now_);
  if (!result) return false;
  socket_ = std::move(*result);
  written_ = read_ = 0;
  turn();
  return true;
}

Socket* TcpScript::accept(const char* file, int line) {
  if (!try_accept()) {
    fail("accept: no connection", file, line);
    return nullptr;
  }
  return socket_.get();
}

Error TcpScript::connect(std::uint16_t port) {
  from_port(port);
  if (socket_ == nullptr) socket_ = std::move(*stack_->create_socket(SocketType::kStream));
  written_ = read_ = 0;
  const auto result = socket_->connect({kPeer, port}, now_);
  turn();
  return result.error();
}

Result<std::size_t> TcpScript::connect_with(std::size_t n, std::uint16_t port) {
  from_port(port);
  if (socket_ == nullptr) socket_ = std::move(*stack_->create_socket(SocketType::kStream));
  written_ = read_ = 0;
  SendFlags flags;
  flags.fast_open = true;
  return try_write(n, flags);
}

void TcpScript::establish(const Seg& first, const char* file, int line) {
  if (listener_ == nullptr) listen();
  inject(first);
  expect(synack(), file, line);
  Seg third = ack(1);
  if (first.window && first.scale) third.win(static_cast<std::uint16_t>(*first.window >> *first.scale));
  inject(third);
  static_cast<void>(accept(file, line));
}

void TcpScript::establish_active(const Seg& answer, const char* file, int line) {
  EXPECT_EQ(connect(), Error::kInProgress);
  expect(syn(), file, line);
  Conversation& conversation = current();
  inject(answer);
  expect(ack(1).seq(1), file, line);
  if (answer.window && answer.scale) {
    conversation.window = static_cast<std::uint16_t>(*answer.window >> *answer.scale);
  }
}

Result<std::size_t> TcpScript::try_write(std::size_t n, SendFlags flags) {
  std::vector<std::uint8_t> bytes(n);
  for (std::size_t i = 0; i < n; ++i) bytes[i] = pattern_byte(written_ + i);
  const ConstIoSlice slice{bytes.data(), bytes.size()};
  const Endpoint to{kPeer, port_};
  auto result = socket_->send({&slice, 1}, flags.fast_open ? &to : nullptr, flags, now_);
  if (result) written_ += *result;
  turn();
  return result;
}

void TcpScript::write(std::size_t n, const char* file, int line) {
  const auto result = try_write(n);
  if (!result || *result != n) {
    fail("write(" + std::to_string(n) + ") took " +
             (result ? std::to_string(*result) : std::string(to_string(result.error()))),
         file, line);
  }
}

std::size_t TcpScript::read(std::size_t n, const char* file, int line) {
  std::vector<std::uint8_t>& bytes = read_room_;
  if (bytes.size() < n) bytes.resize(n);
  const IoSlice slice{bytes.data(), n};
  const auto result = socket_->receive({&slice, 1}, {}, now_);
  turn();
  if (!result) return 0;
  for (std::size_t i = 0; i < result->bytes; ++i) {
    if (bytes[i] != pattern_byte(read_ + i)) {
      fail("read a wrong byte at stream position " + std::to_string(read_ + i + 1), file, line);
      break;
    }
  }
  read_ += result->bytes;
  return result->bytes;
}

Error TcpScript::read_error() {
  std::uint8_t byte = 0;
  const IoSlice slice{&byte, 1};
  const auto result = socket_->receive({&slice, 1}, {.peek = true}, now_);
  return result.error();
}

void TcpScript::make_interactive() {
  inject(data(1, 2));
  expect(ack(2));
  EXPECT_EQ(read(), 1u);
  write(1);
  expect(data(1, 2).ack(2));
  inject(ack(2));
  expect_nothing();
}

bool TcpScript::at_end_of_file() {
  std::uint8_t byte = 0;
  const IoSlice slice{&byte, 1};
  const auto result = socket_->receive({&slice, 1}, {.peek = true}, now_);
  return result.ok() && result->bytes == 0;
}

void TcpScript::set_option(SocketOption option, std::int64_t value) {
  if (socket_ == nullptr && listener_ == nullptr)
    socket_ = std::move(*stack_->create_socket(SocketType::kStream));
  Socket& target = socket_ != nullptr ? *socket_ : *listener_;
  const auto result = target.set_option(option, value, now_);
  EXPECT_TRUE(result.ok()) << to_string(result.error());
  turn();
}

void TcpScript::shutdown(Shutdown how) {
  const auto result = socket_->shutdown(how, now_);
  EXPECT_TRUE(result.ok()) << to_string(result.error());
  turn();
}

void TcpScript::close() {
  socket_->close(now_);
  turn();
  socket_.reset();
  turn();
}

void TcpScript::close_listener() {
  listener_->close(now_);
  listener_.reset();
  turn();
}

TcpInfo TcpScript::info() const {
  TcpInfo info;
  EXPECT_TRUE(socket_->tcp_info(info, now_));
  return info;
}

void TcpScript::expect_state(tcp::State wanted, const char* file, int line) const {
  if (state() != wanted) {
    fail("state " + std::to_string(static_cast<int>(wanted)) + " expected, is " +
             std::to_string(static_cast<int>(state())),
         file, line);
  }
}

void TcpScript::expect_clean(const char* file, int line) {
  turn();
  const tcp::Tcp& tcp = stack_->tcp();
  if (tcp.connection_count() != 0 || tcp.time_wait_count() != 0 || tcp.request_count() != 0 ||
      stack_->pool().bytes_in_use() != 0 || stack_->pool().packets_in_use() != 0) {
    fail("left: " + std::to_string(tcp.connection_count()) + " connections, " +
             std::to_string(tcp.time_wait_count()) + " in TIME-WAIT, " + std::to_string(tcp.request_count()) +
             " requests, " + std::to_string(stack_->pool().packets_in_use()) + " packets, " +
             std::to_string(stack_->pool().bytes_in_use()) + " bytes",
         file, line);
  }
}

}  // namespace millrace::test
