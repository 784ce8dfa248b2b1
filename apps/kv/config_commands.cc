#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "command.h"
#include "glob.h"
#include "numbers.h"
#include "server.h"

namespace millrace::kv::commands {

namespace {

constexpr const char* kNotMemory = "argument must be a memory value";

/// A setting that clients can ask for. `change` says what is wrong with the value, or null; without it the
/// setting stays what it is.
struct Parameter {
  const char* name;
  std::string (*tell)(Server&);
  const char* (*change)(Server&, std::string_view value);
};

const char* change_memory(std::uint64_t& field, std::string_view value) {
  const auto bytes = parse_memory(c_string(value));
  if (!bytes) return kNotMemory;
  field = *bytes;
  return nullptr;
}

const char* change_number(std::uint32_t& field, std::string_view value, std::int64_t low, std::int64_t high,
                          const char* range) {
  const auto number = parse_integer(value);
  if (!number) return "argument couldn't be parsed into an integer";
  if (*number < low || *number > high) return range;
  field = static_cast<std::uint32_t>(*number);
  return nullptr;
}

const char* change_bulk(Server& server, std::string_view value) {
  constexpr std::uint64_t kLeast = std::uint64_t{1} << 20;
  std::uint64_t bytes = 0;
  if (const char* problem = change_memory(bytes, value)) return problem;
  if (bytes < kLeast || bytes > Value::kMaxSize) return "argument must be between 1048576 and 536870912";
  server.limits().bulk = static_cast<std::int64_t>(bytes);
  return nullptr;
}

const char* change_eviction(Server& server, std::string_view value) {
  const auto eviction = parse_eviction(c_string(value));
  if (!eviction) return "argument(s) must be one of the following: allkeys-lru, noeviction";
  server.limits().eviction = *eviction;
  return nullptr;
}

constexpr std::array kParameters{
    Parameter{"appendfsync", [](Server& server) { return std::string(to_text(server.config().sync)); },
              nullptr},
    Parameter{"appendonly",
              [](Server& server) { return std::string(server.storage() != nullptr ? "yes" : "no"); },
              nullptr},
    Parameter{"bind", [](Server& server) { return server.config().stack.address; }, nullptr},
    Parameter{
        "client-output-buffer-limit",
        [](Server& server) { return "normal " + std::to_string(server.limits().output_buffer) + " 0 0"; },
        nullptr},
    Parameter{"client-query-buffer-limit",
              [](Server& server) { return std::to_string(server.limits().query_buffer); },
              [](Server& server, std::string_view value) {
                return change_memory(server.limits().query_buffer, value);
              }},
    Parameter{"databases", [](Server&) { return std::string("1"); }, nullptr},
    Parameter{"maxclients", [](Server& server) { return std::to_string(server.limits().clients); },
              [](Server& server, std::string_view value) {
                return change_number(server.limits().clients, value, 1, 10'000'000,
                                     "argument must be between 1 and 10000000 inclusive");
              }},
    Parameter{
        "maxmemory", [](Server& server) { return std::to_string(server.limits().memory); },
        [](Server& server, std::string_view value) { return change_memory(server.limits().memory, value); }},
    Parameter{"maxmemory-policy",
              [](Server& server) { return std::string(to_text(server.limits().eviction)); }, change_eviction},
    Parameter{"maxmemory-samples", [](Server& server) { return std::to_string(server.limits().samples); },
              [](Server& server, std::string_view value) {
                return change_number(server.limits().samples, value, 1, INT32_MAX,
                                     "argument must be between 1 and 2147483647 inclusive");
              }},
    Parameter{"port", [](Server& server) { return std::to_string(server.config().port); }, nullptr},
    Parameter{"proto-max-bulk-len", [](Server& server) { return std::to_string(server.limits().bulk); },
              change_bulk},
    Parameter{"requirepass", [](Server& server) { return server.limits().password; },
              [](Server& server, std::string_view value) -> const char* {
                server.limits().password = value;
                return nullptr;
              }},
    Parameter{"save", [](Server&) { return std::string(); }, nullptr},
    Parameter{"timeout", [](Server& server) { return std::to_string(server.limits().timeout); },
              [](Server& server, std::string_view value) {
                return change_number(server.limits().timeout, value, 0, INT32_MAX,
                                     "argument must be between 0 and 2147483647 inclusive");
              }},
};

const Parameter* find_parameter(std::string_view name) {
  const auto* found = std::find_if(kParameters.begin(), kParameters.end(), [&](const Parameter& known) {
    return same_ignoring_case(known.name, name);
  });
  return found != kParameters.end() ? found : nullptr;
}

/// A name without a pattern comes back as it was spelled.
void get_parameters(Call& call) {
  std::vector<std::pair<std::string_view, const Parameter*>> wanted;
  const auto add = [&](std::string_view name, const Parameter& one) {
    const bool twice =
        std::any_of(wanted.begin(), wanted.end(), [&](const auto& known) { return known.second == &one; });
    if (!twice) wanted.emplace_back(name, &one);
  };
  for (std::size_t i = 2; i < call.count(); ++i) {
    const bool pattern = call.text(i).find_first_of("[*?") != std::string_view::npos;
    const Parameter* named = pattern ? nullptr : find_parameter(call.text(i));
    if (named != nullptr) add(call.text(i), *named);
    for (const Parameter& one : kParameters) {
      if (pattern && matches(call.text(i), one.name, Case::kIgnored)) add(one.name, one);
    }
  }
  call.reply.map(wanted.size());
  for (const auto& [name, one] : wanted) {
    call.reply.bulk(name);
    call.reply.bulk(one->tell(call.server));
  }
}

std::string failed(std::string_view name, std::string_view why) {
  return "ERR CONFIG SET failed (possibly related to argument '" + std::string(c_string(name)) + "') - " +
         std::string(why);
}

/// All of them or none.
void set_parameters(Call& call) {
  if (call.count() % 2 == 1) return call.reply.error(kSyntaxError);
  std::vector<const Parameter*> wanted;
  for (std::size_t i = 2; i < call.count(); i += 2) {
    const Parameter* one = find_parameter(call.text(i));
    if (one == nullptr) {
      return call.reply.error("ERR Unknown option or number of arguments for CONFIG SET - '" +
                              std::string(c_string(call.text(i))) + "'");
    }
    // What clients like to set to what it is already may be set to that.
    if (one->change == nullptr && one->tell(call.server) != call.text(i + 1)) {
      return call.reply.error(failed(call.text(i), "can't set immutable config"));
    }
    if (std::find(wanted.begin(), wanted.end(), one) != wanted.end()) {
      return call.reply.error(failed(call.text(i), "duplicate parameter"));
    }
    wanted.push_back(one);
  }
  const Limits before = call.server.limits();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i]->change == nullptr) continue;
    if (const char* problem = wanted[i]->change(call.server, call.text(2 * i + 3))) {
      call.server.limits() = before;
      return call.reply.error(failed(call.text(2 * i + 2), problem));
    }
  }
  const Limits limits = call.server.limits();
  for (Server* server : call.servers) server->set_limits(limits);
  call.reply.ok();
}

void reset_statistics(Call& call) {
  for (Server* server : call.servers) {
    server->counters() = {};
    server->keys().reset_counters();
  }
  call.reply.ok();
}

void rewrite(Call& call) {
  call.reply.error("ERR The server is running without a config file");
}

constexpr std::array kConfigSubcommands{
    Subcommand{"get", -3, get_parameters},
    Subcommand{"resetstat", 2, reset_statistics, true},
    Subcommand{"rewrite", 2, rewrite},
    Subcommand{"set", -4, set_parameters, true},
};

}  // namespace

std::span<const Subcommand> config_subcommands() {
  return kConfigSubcommands;
}

}  // namespace millrace::kv::commands
