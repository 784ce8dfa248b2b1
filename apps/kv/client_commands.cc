#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "client.h"
#include "command.h"
#include "numbers.h"
#include "server.h"

namespace millrace::kv::commands {

namespace {

constexpr std::string_view kBadId = "ERR Invalid client ID";

bool is_client_type(std::string_view word) {
  constexpr std::array<std::string_view, 5> kTypes{"normal", "slave", "replica", "pubsub", "master"};
  return std::any_of(kTypes.begin(), kTypes.end(),
                     [&](std::string_view type) { return same_ignoring_case(word, type); });
}

std::string last_command_of(const Client& client) {
  const auto& [command, subcommand] = client.last_command;
  if (command == nullptr) return "NULL";
  return subcommand == nullptr ? command->name : std::string(command->name) + "|" + subcommand->name;
}

std::string describe(Server& server, const Client& client) {
  const auto field = [](const char* name, std::size_t value) {
    return std::string(" ") + name + "=" + std::to_string(value);
  };
  const auto seconds_since = [&](std::int64_t then) {
    return static_cast<std::size_t>(std::max<std::int64_t>(server.now_ms() - then, 0) / 1000);
  };
  std::string line = "id=" + std::to_string(client.id()) + " addr=" + client.address() +
                     " laddr=" + client.local_address() + " fd=" + std::to_string(client.fd()) +
                     " name=" + client.name;
  line += field("age", seconds_since(client.created_ms)) + field("idle", seconds_since(client.last_used_ms));
  line += client.no_evict ? " flags=e" : " flags=N";
  line += " db=0 sub=0 psub=0 ssub=0 multi=-1" + field("qbuf", client.pending_query()) + " qbuf-free=0";
  line += field("argv-mem", 0) + field("multi-mem", 0) + field("rbs", 0) + field("rbp", 0);
  line += field("obl", client.pending_output()) + field("oll", 0) + field("omem", client.pending_output());
  line += field("tot-mem", client.footprint()) + " events=r cmd=" + last_command_of(client);
  return line +
         " user=default redir=-1 resp=" + std::to_string(const_cast<Client&>(client).reply().protocol());
}

/// Those of all threads that may be looked at.
void for_each_client(const Call& call, const std::function<void(Client&)>& visit) {
  for (Server* server : call.servers) {
    auto& clients = server->clients();
    for (auto next = clients.begin(); next != clients.end();) visit(*next++);
  }
}

const Client* find_client(const Call& call, std::int64_t id) {
  const Client* found = nullptr;
  for_each_client(call, [&](const Client& client) {
    if (static_cast<std::int64_t>(client.id()) == id) found = &client;
  });
  return found;
}

void list_by_id(Call& call) {
  std::string lines;
  for (std::size_t i = 3; i < call.count(); ++i) {
    const auto id = parse_integer(call.text(i));
    if (!id) return call.reply.error(kBadId);
    if (const Client* client = find_client(call, *id)) lines += describe(call.server, *client) + "\n";
  }
  call.reply.text(lines);
}

void list_clients(Call& call) {
  bool wanted = true;
  if (call.count() == 4 && same_ignoring_case(call.text(2), "type")) {
    if (!is_client_type(call.text(3))) {
      return call.reply.error("ERR Unknown client type '" + std::string(c_string(call.text(3))) + "'");
    }
    wanted = same_ignoring_case(call.text(3), "normal");
  } else if (call.count() > 3 && same_ignoring_case(call.text(2), "id")) {
    return list_by_id(call);
  } else if (call.count() != 2) {
    return call.reply.error(kSyntaxError);
  }
  std::string lines;
  if (wanted) {
    for_each_client(call, [&](const Client& client) { lines += describe(call.server, client) + "\n"; });
  }
  call.reply.text(lines);
}

void describe_self(Call& call) {
  call.reply.text(describe(call.server, call.client) + "\n");
}

void tell_id(Call& call) {
  call.reply.integer(static_cast<std::int64_t>(call.client.id()));
}

void set_name(Call& call) {
  if (name_client(call, call.text(2))) call.reply.ok();
}

void get_name(Call& call) {
  if (call.client.name.empty()) return call.reply.null();
  call.reply.bulk(call.client.name);
}

/// What a client's library says of itself; it is taken, and nobody asks for it.
void set_info(Call& call) {
  if (!same_ignoring_case(call.text(2), "lib-name") && !same_ignoring_case(call.text(2), "lib-ver")) {
    return call.reply.error("ERR Unrecognized option '" + std::string(c_string(call.text(2))) + "'");
  }
  call.reply.ok();
}

void set_replies(Call& call) {
  using Replies = Client::Replies;
  if (same_ignoring_case(call.text(2), "on")) {
    call.client.replies = Replies::kOn;
    call.reply.mute(false);
    call.reply.ok();
  } else if (same_ignoring_case(call.text(2), "off")) {
    call.client.replies = Replies::kOff;
  } else if (same_ignoring_case(call.text(2), "skip")) {
    if (call.client.replies != Replies::kOff) call.client.replies = Replies::kSkipNext;
  } else {
    call.reply.error(kSyntaxError);
  }
}

void set_no_evict(Call& call) {
  const bool on = same_ignoring_case(call.text(2), "on");
  if (!on && !same_ignoring_case(call.text(2), "off")) return call.reply.error(kSyntaxError);
  call.client.no_evict = on;
  call.reply.ok();
}

/// Which clients CLIENT KILL means.
struct Victims {
  std::optional<std::int64_t> id;
  std::optional<std::string_view> address, local_address;
  bool nobody = false;  // of a type that there is not here
  bool skip_self = true;

  /// What is wrong, as an error; empty: nothing.
  std::string parse(Call& call) {
    for (std::size_t i = 2; i < call.count(); i += 2) {
      if (i + 1 == call.count()) return std::string(kSyntaxError);
      const std::string_view value = call.text(i + 1);
      if (same_ignoring_case(call.text(i), "id")) {
        id = parse_integer(value);
        if (!id || *id < 1) return "ERR client-id should be greater than 0";
      } else if (same_ignoring_case(call.text(i), "type")) {
        if (!is_client_type(value)) return "ERR Unknown client type '" + std::string(c_string(value)) + "'";
        nobody |= !same_ignoring_case(value, "normal");
      } else if (same_ignoring_case(call.text(i), "addr")) {
        address = value;
      } else if (same_ignoring_case(call.text(i), "laddr")) {
        local_address = value;
      } else if (same_ignoring_case(call.text(i), "user")) {
        if (value != "default") return "ERR No such user '" + std::string(c_string(value)) + "'";
      } else if (same_ignoring_case(call.text(i), "skipme")) {
        skip_self = same_ignoring_case(value, "yes");
        if (!skip_self && !same_ignoring_case(value, "no")) return std::string(kSyntaxError);
      } else {
        return std::string(kSyntaxError);
      }
    }
    return {};
  }

  [[nodiscard]] bool include(const Client& client) const {
    if (nobody || (id && *id != static_cast<std::int64_t>(client.id()))) return false;
    if (address && *address != client.address()) return false;
    return !local_address || *local_address == client.local_address();
  }
};

std::int64_t kill_all(Call& call, const Victims& victims) {
  std::int64_t killed = 0;
  for_each_client(call, [&](Client& client) {
    const bool self = &client == &call.client;
    if ((self && victims.skip_self) || !victims.include(client)) return;
    ++killed;
    if (self) {
      client.close_after_replies();
    } else {
      client.doom();
    }
  });
  return killed;
}

void kill(Call& call) {
  Victims victims;
  if (call.count() == 3) {
    victims.address = call.text(2);
    victims.skip_self = false;
    if (kill_all(call, victims) == 0) return call.reply.error("ERR No such client");
    return call.reply.ok();
  }
  const std::string problem = victims.parse(call);
  if (!problem.empty()) return call.reply.error(problem);
  call.reply.integer(kill_all(call, victims));
}

constexpr std::array kClientSubcommands{
    Subcommand{"getname", 2, get_name},         Subcommand{"id", 2, tell_id},
    Subcommand{"info", 2, describe_self},       Subcommand{"kill", -3, kill, true},
    Subcommand{"list", -2, list_clients, true}, Subcommand{"no-evict", 3, set_no_evict},
    Subcommand{"reply", 3, set_replies},        Subcommand{"setinfo", 4, set_info},
    Subcommand{"setname", 3, set_name},
};

}  // namespace

std::span<const Subcommand> client_subcommands() {
  return kClientSubcommands;
}

}  // namespace millrace::kv::commands

namespace millrace::kv {

bool name_client(Call& call, std::string_view name) {
  const bool good = std::all_of(name.begin(), name.end(), [](char c) { return c >= '!' && c <= '~'; });
  if (good) {
    call.client.name = name;
  } else {
    call.reply.error("ERR Client names cannot contain spaces, newlines or special characters.");
  }
  return good;
}

}  // namespace millrace::kv
