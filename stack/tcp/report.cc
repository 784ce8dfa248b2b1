#include "tcp/report.h"

#include <algorithm>

#include "tcp/connection.h"
#include "tcp/dormant.h"
#include "tcp/listener.h"
#include "tcp/tcp.h"
#include "tcp/tcp_socket.h"
#include "tcp/time_wait.h"

namespace millrace::tcp {

namespace {

Duration left(Instant deadline, Instant now) {
  return deadline == kNever ? Duration{0} : std::max(deadline - now, Duration{0});
}

void fill(SocketReport& report, const Listener& listener, const Config& config) {
  report.state = static_cast<std::uint8_t>(State::kListen);
  report.local = listener.local();
  report.remote.address =
      report.local.address.is_v4() ? IpAddress{} : IpAddress::v6(std::array<std::uint8_t, 16>{});
  report.receive_queue = listener.queued();
  report.send_queue = listener.backlog();
  // What an accepted connection starts with.
  const Options& options = listener.options();
  report.receive_limit = options.receive_buffer != 0 ? options.receive_buffer : config.receive_window_initial;
  report.send_limit = options.send_buffer != 0 ? options.send_buffer : config.send_buffer;
  report.socket = &listener.socket();
}

void fill(SocketReport& report, const Request& request, Instant now) {
  report.state = static_cast<std::uint8_t>(State::kSynReceived);
  report.timer = SocketReport::Timer::kRetransmit;
  report.timer_count = request.retries;
  report.timer_left = left(request.timer.deadline(), now);
}

void fill(SocketReport& report, const TimeWait& entry, Instant now) {
  report.state = static_cast<std::uint8_t>(State::kTimeWait);
  report.orphan = true;
  report.timer = SocketReport::Timer::kTimeWait;
  report.timer_left = left(entry.timer.deadline(), now);
}

void fill(SocketReport& report, const Connection& connection, bool info, Instant now) {
  connection.fill(report, now);
  if (!info) return;
  connection.fill(report.info, now);
  if (const CongestionControl* congestion = connection.sender().congestion())
    report.congestion = congestion->name();
  report.has_info = true;
}

void fill(SocketReport& report, Tcp& tcp, const Flow& flow, bool info, Instant now) {
  report.local = flow.local();
  report.remote = flow.remote();
  switch (flow.kind()) {
    case Flow::Kind::kConnection:
      fill(report, static_cast<const Connection&>(flow), info, now);
      break;
    case Flow::Kind::kDormant: {
      Connection* const connection = tcp.connection_of(static_cast<const Dormant&>(flow), now);
      fill(report, *connection, info, now);
      connection->let_go();
      delete connection;
      break;
    }
    case Flow::Kind::kRequest:
      fill(report, static_cast<const Request&>(flow), now);
      break;
    case Flow::Kind::kTimeWait:
      fill(report, static_cast<const TimeWait&>(flow), now);
      break;
  }
}

}  // namespace

void Connection::fill(SocketReport& report, Instant now) const {
  report.state = static_cast<std::uint8_t>(state_);
  report.receive_queue = receiver_.queue().bytes();
  // Linux counts in sequence space: a SYN or FIN that is not acknowledged is one more.
  report.send_queue =
      sender_.queue().bytes() +
      (state_ == State::kSynSent || (sender_.fin_queued() && !sender_.fin_acknowledged()) ? 1u : 0u);
  report.socket = socket_;
  report.orphan = closed_by_application_;
  report.receive_memory = receiver_.queue().bytes();
  report.receive_limit = receiver_.limit();
  report.send_memory = queued().charge();
  report.send_limit = send_buffer_.limit();
  if (in_handshake() && state_deadline_ != kNever) {
    report.timer = SocketReport::Timer::kRetransmit;
    report.timer_count = syn_tries_;
    report.timer_left = left(state_deadline_, now);
  } else if (sender_.timer_deadline() != kNever) {
    const bool probing = sender_.probing();
    report.timer = probing ? SocketReport::Timer::kPersist : SocketReport::Timer::kRetransmit;
    report.timer_count = static_cast<std::uint8_t>(probing ? sender_.probes() : sender_.timeouts());
    report.timer_left = left(sender_.timer_deadline(), now);
  } else if (fin_wait_2_deadline_ != kNever) {
    report.timer = SocketReport::Timer::kTimeWait;
    report.timer_left = left(fin_wait_2_deadline_, now);
  } else if (keepalive_deadline_ != kNever) {
    report.timer = SocketReport::Timer::kKeepalive;
    report.timer_count = keepalive_probes_;
    report.timer_left = left(keepalive_deadline_, now);
  }
}

void Walk::next_listeners(Tcp& tcp, std::vector<SocketReport>& out, std::size_t limit) {
  for (std::uint32_t looks = 0; port_ < kPorts && looks < kLooks && out.size() < limit; ++looks, ++port_) {
    for (const PortTable::Binding& binding : tcp.ports().bindings(static_cast<std::uint16_t>(port_))) {
      if (binding.listener != nullptr) fill(out.emplace_back(), *binding.listener, tcp.config());
    }
  }
}

bool Walk::next(Tcp& tcp, std::vector<SocketReport>& out, std::size_t limit, bool info, Instant now) {
  if (port_ < kPorts) {
    next_listeners(tcp, out, limit);
    return true;
  }
  if (out.size() >= limit) return true;
  bucket_ = tcp.flows().visit_from(bucket_, limit - out.size(), kLooks,
                                   [&](const Flow& flow) { fill(out.emplace_back(), tcp, flow, info, now); });
  return bucket_ != 0;
}

}  // namespace millrace::tcp
