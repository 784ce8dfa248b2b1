// millrace ss: the sockets of every running Millrace program, told as ss(8) of iproute2 tells the kernel's.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "command.h"
#include "instances.h"
#include "socket_details.h"
#include "table.h"

namespace millrace::command {

namespace {

struct SsOptions {
  bool tcp = false, udp = false, v4 = false, v6 = false;
  bool all = false, listening = false;
  bool numeric = false, no_header = false;
  bool processes = false, info = false, extended = false, memory = false, options = false, summary = false;
  int pid = 0;

  [[nodiscard]] bool both_nets() const { return tcp == udp; }
};

/// What `-s` counts.
struct Summary {
  std::size_t tcp[2] = {}, udp[2] = {};  // by family: IPv4, IPv6
  std::size_t established = 0, closed = 0, orphaned = 0, time_wait = 0;

  void count(const Record& socket);
  void print() const;
};

bool is_v6(const Record& socket) {
  return socket.text("local").starts_with('[');
}

void Summary::count(const Record& socket) {
  ++(socket.text("net") == "udp" ? udp : tcp)[is_v6(socket) ? 1 : 0];
  if (socket.text("net") == "udp") return;
  const std::string_view state = socket.text("state");
  if (state == "ESTAB") ++established;
  if (state == "TIME-WAIT") {
    ++time_wait;
  } else if (socket.number("orphan") != 0) {
    ++orphaned;
  }
  // As ss counts: what no socket table of the kernel's holds any more, but for its memory.
  if (state == "TIME-WAIT" || state == "UNCONN") ++closed;
}

void Summary::print() const {
  const std::size_t tcps = tcp[0] + tcp[1], udps = udp[0] + udp[1];
  std::printf("Total: %zu\n", tcps - time_wait + udps);
  std::printf("TCP:   %zu (estab %zu, closed %zu, orphaned %zu, timewait %zu)\n\n", tcps, established, closed,
              orphaned, time_wait);
  const auto line = [](const char* name, std::size_t v4, std::size_t v6) {
    std::printf("%s\t  %-9zu %-9zu %zu\n", name, v4 + v6, v4, v6);
  };
  std::printf("Transport Total     IP        IPv6\n");
  line("RAW", 0, 0);
  line("UDP", udp[0], udp[1]);
  line("TCP", tcp[0], tcp[1]);
  line("INET", tcp[0] + udp[0], tcp[1] + udp[1]);
  std::printf("\n");
}

bool wanted(const SsOptions& options, const Record& socket) {
  const bool is_tcp = socket.text("net") == "tcp";
  if (!options.both_nets() && is_tcp != options.tcp) return false;
  if (options.v4 != options.v6 && is_v6(socket) != options.v6) return false;
  if (options.all) return true;
  const std::string_view state = socket.text("state");
  const bool idle = state == "LISTEN" || state == "UNCONN";
  return options.listening ? idle : !idle && state != "TIME-WAIT" && state != "SYN-RECV";
}

/// "198.18.0.2:7" → {"198.18.0.2", ":7"}; port 0 is any.
std::pair<std::string, std::string> split(std::string_view endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return {std::string(endpoint), ""};
  const std::string_view port = endpoint.substr(colon);
  return {std::string(endpoint.substr(0, colon)), port == ":0" ? ":*" : std::string(port)};
}

SocketTable::Row row_of(const SsOptions& options, const Instance& instance, const Record& socket) {
  SocketTable::Row row;
  row.net = socket.text("net");
  row.state = socket.text("state");
  row.receive_queue = socket.text("recvq");
  row.send_queue = socket.text("sendq");
  std::tie(row.local_address, row.local_port) = split(socket.text("local"));
  std::tie(row.peer_address, row.peer_port) = split(socket.text("peer"));
  if (options.processes) row.process = users_text(instance, socket);
  if (options.options) row.process += timer_text(socket);
  if (options.extended) row.process += extended_text(instance, socket);
  if (!row.process.empty() && row.process.front() == ' ') row.process.erase(0, 1);
  if (options.memory) row.details += memory_text(socket);
  if (options.info) row.details += info_text(socket, options.numeric);
  return row;
}

/// What a program has as one socket may be in several stacks of its: told in parts, listed once.
class Parts {
 public:
  /// True when `socket` is a further part of what is in `rows` already, or is not to be there. `shown`: it is
  /// wanted.
  bool merge(const Instance& instance, const Record& socket, bool shown,
             std::vector<SocketTable::Row>& rows) {
    const std::uint64_t number = socket.number("part_of");
    if (number == 0) return false;
    const auto [first, is_first] = rows_.try_emplace({instance.pid, number}, shown ? rows.size() : kNoRow);
    if (is_first) return false;
    if (first->second == kNoRow) return true;
    SocketTable::Row& row = rows[first->second];
    add(row.receive_queue, socket.number("recvq"));
    if (row.state != "LISTEN") add(row.send_queue, socket.number("sendq"));  // a listener's is the backlog
    return true;
  }

 private:
  static constexpr std::size_t kNoRow = ~std::size_t{0};
  static void add(std::string& number, std::uint64_t more) {
    number = std::to_string(std::strtoull(number.c_str(), nullptr, 10) + more);
  }

  std::map<std::pair<pid_t, std::uint64_t>, std::size_t> rows_;
};

int run(const SsOptions& options) {
  const std::string request =
      std::string("sockets 1") + (options.info ? " info" : "") + (options.processes ? " fds" : "") + "\n";
  Summary summary;
  // Datagram sockets first, whosever they are, as ss has them.
  std::vector<SocketTable::Row> datagrams, streams;
  Parts parts;
  const Asked asked = ask(request, options.pid, [&](const Instance& instance, std::string_view line) {
    const Record socket(line);
    if (socket.kind() != "socket") return;
    const bool shown = wanted(options, socket);
    auto& rows = socket.text("net") == "udp" ? datagrams : streams;
    if (parts.merge(instance, socket, shown, rows)) return;
    summary.count(socket);
    if (shown) rows.push_back(row_of(options, instance, socket));
  });
  if (options.summary) summary.print();
  const bool filtered =
      options.tcp || options.udp || options.all || options.listening || options.v4 || options.v6;
  if (!options.summary || filtered) {
    SocketTable table(options.both_nets(), !options.no_header);
    for (auto* rows : {&datagrams, &streams}) {
      for (SocketTable::Row& row : *rows) table.add(std::move(row));
    }
    std::fputs(table.render(terminal_width()).c_str(), stdout);
  }
  std::fflush(stdout);
  return report_problems(asked, options.pid);
}

}  // namespace

void add_ss(CLI::App& parent, Action& action) {
  auto options = std::make_shared<SsOptions>();
  CLI::App& app = add_command(parent, "ss", "list the sockets of running Millrace programs, as ss(8)");
  app.footer(
      "Flags and columns are those of ss(8). Without -a or -l: connections that are neither listening, half "
      "open nor in TIME-WAIT. Names are never looked up.");
  app.add_flag("-t,--tcp", options->tcp, "TCP sockets");
  app.add_flag("-u,--udp", options->udp, "UDP sockets");
  app.add_flag("-4,--ipv4", options->v4, "IPv4 sockets");
  app.add_flag("-6,--ipv6", options->v6, "IPv6 sockets");
  app.add_flag("-a,--all", options->all, "sockets in every state");
  app.add_flag("-l,--listening", options->listening, "listening sockets, and UDP sockets without a peer");
  app.add_flag("-n,--numeric", options->numeric, "rates as exact numbers");
  app.add_flag("-i,--info", options->info, "what TCP knows of each connection");
  app.add_flag("-p,--processes", options->processes, "the process, and its Millrace descriptor");
  app.add_flag("-e,--extended", options->extended,
               "owner, a number of each socket's own, and its queue if there are several; implies -o");
  app.add_flag("-m,--memory", options->memory, "bytes of memory held, and their limits");
  app.add_flag("-o,--options", options->options, "timers");
  app.add_flag("-s,--summary", options->summary, "counts");
  app.add_flag("-H,--no-header", options->no_header, "no line of headings");
  add_pid_option(app, options->pid);
  app.callback([options, &action] {
    options->options |= options->extended;
    action = [options] { return run(*options); };
  });
}

}  // namespace millrace::command
