#include "posix/control_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace millrace::posix {

namespace {

/// By Linux's numbers.
constexpr std::array<std::string_view, 13> kStates{
    "UNKNOWN", "ESTAB",      "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2",  "TIME-WAIT",
    "UNCONN",  "CLOSE-WAIT", "LAST-ACK", "LISTEN",   "CLOSING",    "NEW-SYN-RECV"};
constexpr std::array<std::string_view, 5> kTimers{"off", "on", "keepalive", "timewait", "persist"};

void append_value(std::string& line, std::uint64_t value) {
  std::array<char, 20> digits;
  line.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void append_info(std::string& line, const SocketReport& report) {
  const TcpInfo& info = report.info;
  struct Field {
    const char* key;
    std::uint64_t value;
  };
  if (!report.congestion.empty()) line.append(" cc=").append(report.congestion);
  if (info.window_scaling) {
    append_number(line, "wscale", info.snd_wscale);
    line += ',';
    append_value(line, info.rcv_wscale);
  }
  for (const Field& field : {Field{"ts", info.timestamps},
                             {"sack", info.sack},
                             {"rto", info.rto},
                             {"backoff", info.backoff},
                             {"rtt", info.rtt},
                             {"rttvar", info.rttvar},
                             {"ato", info.ato},
                             {"mss", info.snd_mss},
                             {"pmtu", info.pmtu},
                             {"rcvmss", info.rcv_mss},
                             {"advmss", info.advmss},
                             {"cwnd", info.snd_cwnd},
                             {"ssthresh", info.snd_ssthresh},
                             {"bytes_sent", info.bytes_sent},
                             {"bytes_retrans", info.bytes_retrans},
                             {"bytes_acked", info.bytes_acked},
                             {"bytes_received", info.bytes_received},
                             {"segs_out", info.segs_out},
                             {"segs_in", info.segs_in},
                             {"data_segs_out", info.data_segs_out},
                             {"data_segs_in", info.data_segs_in},
                             {"lastsnd", info.last_data_sent},
                             {"lastrcv", info.last_data_recv},
                             {"lastack", info.last_ack_recv},
                             {"delivery_rate", info.delivery_rate},
                             {"unacked", info.unacked},
                             {"retrans", info.retrans},
                             {"retrans_total", info.total_retrans},
                             {"lost", info.lost},
                             {"sacked", info.sacked},
                             {"dsack_dups", info.dsack_dups},
                             {"reordering", info.reordering},
                             {"reord_seen", info.reord_seen},
                             {"rcv_rtt", info.rcv_rtt},
                             {"rcv_space", info.rcv_space},
                             {"rcv_ssthresh", info.rcv_ssthresh},
                             {"notsent", info.notsent_bytes},
                             {"minrtt", info.min_rtt},
                             {"rcv_ooopack", info.rcv_ooopack},
                             {"snd_wnd", info.snd_wnd}}) {
    if (field.value != 0) append_number(line, field.key, field.value);
  }
}

}  // namespace

void append_number(std::string& line, const char* key, std::uint64_t value) {
  line.append(" ").append(key).append("=");
  append_value(line, value);
}

void append_socket(std::string& line, const SocketReport& report) {
  line.append("socket net=").append(report.type == SocketType::kStream ? "tcp" : "udp");
  line.append(" state=").append(kStates[report.state < kStates.size() ? report.state : 0]);
  append_number(line, "recvq", report.receive_queue);
  append_number(line, "sendq", report.send_queue);
  line.append(" local=").append(report.local.to_string());
  line.append(" peer=").append(report.remote.to_string());
  if (report.orphan) line += " orphan=1";
  if (report.timer != SocketReport::Timer::kNone) {
    line.append(" timer=").append(kTimers[static_cast<std::size_t>(report.timer)]);
    append_number(line, "expires",
                  static_cast<std::uint64_t>(std::max<std::int64_t>(to_ms(report.timer_left), 0)));
    line += ',';
    append_value(line, report.timer_count);
  }
  append_number(line, "mem", report.receive_memory);
  for (const std::uint64_t value :
       {report.receive_limit, report.send_memory, report.send_limit, report.drops}) {
    line += ',';
    append_value(line, value);
  }
  if (report.has_info) append_info(line, report);
}

}  // namespace millrace::posix
