#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

#include "command.h"
#include "numbers.h"
#include "server.h"

namespace millrace::kv::commands {

namespace {

class Section {
 public:
  explicit Section(const char* title) : text_(std::string("# ") + title + "\r\n") {}
  template <typename Number>
  Section& add(const char* name, Number value) requires std::is_arithmetic_v<Number> {
    return add(name, std::to_string(value));
  }
  Section& add(const char* name, std::string_view value) {
    text_ += name;
    text_ += ':';
    text_ += value;
    text_ += "\r\n";
    return *this;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::string for_people(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "K", "M", "G", "T"};
  auto amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; amount >= 1024 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  std::array<char, 32> text{};
  static_cast<void>(
      snprintf(text.data(), text.size(), unit == 0 ? "%.0f%s" : "%.2f%s", amount, kUnits[unit]));
  return text.data();
}

std::string server_section(const Call& call) {
  const Server& server = call.server;
  const std::int64_t seconds = (server.now_ms() - server.started_ms()) / 1000;
  return Section("Server")
      .add("redis_version", "7.0.15")
      .add("redis_mode", "standalone")
      .add("millrace_version", MILLRACE_VERSION)
      .add("sockets", server.config().kernel ? "kernel" : "millrace")
      .add("threads", call.servers.size())
      .add("arch_bits", 64)
      .add("process_id", getpid())
      .add("run_id", server.run_id())
      .add("tcp_port", server.config().port)
      .add("server_time_usec", server.now_ms() * 1000)
      .add("uptime_in_seconds", seconds)
      .add("uptime_in_days", seconds / 86400)
      .text();
}

std::string clients_section(const Call& call) {
  return Section("Clients")
      .add("connected_clients", call.server.client_count())
      .add("maxclients", call.server.limits().clients)
      .add("blocked_clients", 0)
      .text();
}

std::string memory_section(const Call& call) {
  std::size_t data = 0, clients = 0;
  for (Server* server : call.servers) {
    data += server->keys().memory();
    clients += server->clients_memory();
  }
  const std::size_t resident = resident_bytes();
  return Section("Memory")
      .add("used_memory", data + clients)
      .add("used_memory_human", for_people(data + clients))
      .add("used_memory_rss", resident)
      .add("used_memory_rss_human", for_people(resident))
      .add("used_memory_dataset", data)
      .add("mem_clients_normal", clients)
      .add("maxmemory", call.server.limits().memory)
      .add("maxmemory_human", for_people(call.server.limits().memory))
      .add("maxmemory_policy", to_text(call.server.limits().eviction))
      .text();
}

std::string persistence_section(const Call& call) {
  const Server& server = call.server;
  Section section("Persistence");
  section.add("loading", 0).add("aof_enabled", server.storage() != nullptr ? 1 : 0);
  if (server.storage() == nullptr) return section.text();
  ChangeLog::Counters counters;
  for (Server* one : call.servers) {
    const ChangeLog::Counters& own = one->log().counters();
    counters.commits += own.commits;
    counters.keys += own.keys;
    counters.bytes += own.bytes;
  }
  return section.add("store", server.config().store)
      .add("store_fsync", to_text(server.config().sync))
      .add("store_commits", counters.commits)
      .add("store_keys_written", counters.keys)
      .add("store_bytes_written", counters.bytes)
      .text();
}

std::string stats_section(const Call& call) {
  Counters counters;
  Keyspace::Counters keys;
  for (Server* server : call.servers) {
    counters.add(server->counters());
    keys.add(server->keys().counters());
  }
  return Section("Stats")
      .add("total_connections_received", counters.connections)
      .add("total_commands_processed", counters.commands)
      .add("total_net_input_bytes", counters.bytes_in)
      .add("total_net_output_bytes", counters.bytes_out)
      .add("rejected_connections", counters.rejected)
      .add("expired_keys", keys.expired)
      .add("evicted_keys", keys.evicted)
      .add("keyspace_hits", keys.hits)
      .add("keyspace_misses", keys.misses)
      .add("client_output_buffer_limit_disconnections", counters.slow_clients_closed)
      .text();
}

std::string cpu_section(const Call& /*call*/) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return Section("CPU")
      .add("used_cpu_sys", seconds(usage.ru_stime))
      .add("used_cpu_user", seconds(usage.ru_utime))
      .text();
}

std::string replication_section(const Call& /*call*/) {
  return Section("Replication").add("role", "master").add("connected_slaves", 0).text();
}

std::string keyspace_section(const Call& call) {
  Section section("Keyspace");
  std::size_t keys = 0, expiring = 0;
  for (Server* server : call.servers) {
    keys += server->keys().size();
    expiring += server->keys().expiring();
  }
  if (keys > 0) {
    section.add("db0",
                "keys=" + std::to_string(keys) + ",expires=" + std::to_string(expiring) + ",avg_ttl=0");
  }
  return section.text();
}

struct NamedSection {
  const char* name;
  std::string (*make)(const Call&);
};
constexpr std::array kSections{
    NamedSection{"server", server_section}, NamedSection{"clients", clients_section},
    NamedSection{"memory", memory_section}, NamedSection{"persistence", persistence_section},
    NamedSection{"stats", stats_section},   NamedSection{"replication", replication_section},
    NamedSection{"cpu", cpu_section},       NamedSection{"keyspace", keyspace_section},
};

bool wants(const Call& call, const char* section) {
  if (call.count() == 1) return true;
  for (std::size_t i = 1; i < call.count(); ++i) {
    for (const char* name : {section, "default", "all", "everything"}) {
      if (same_ignoring_case(call.text(i), name)) return true;
    }
  }
  return false;
}

}  // namespace

void info(Call& call) {
  std::string text;
  for (const NamedSection& one : kSections) {
    if (!wants(call, one.name)) continue;
    if (!text.empty()) text += "\r\n";
    text += one.make(call);
  }
  call.reply.text(text);
}

}  // namespace millrace::kv::commands
