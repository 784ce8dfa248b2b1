#include <ctime>
#include <limits>
#include <string>

#include "client.h"
#include "command.h"
#include "numbers.h"
#include "server.h"

namespace millrace::kv::commands {

namespace {

constexpr std::string_view kCompatibleVersion = "7.0.15";

/// Whether the bytes are the same, in a time that does not tell where they differ.
bool same_secret(std::string_view given, std::string_view wanted) {
  unsigned difference = given.size() == wanted.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned>(given[i] ^ (wanted.empty() ? 0 : wanted[i % wanted.size()]));
  }
  return difference == 0;
}

/// False: it has been answered that this is wrong. Without a password anybody is "default".
bool log_in(Call& call, std::string_view user, std::string_view password) {
  const std::string& wanted = call.server.limits().password;
  if (user != "default" || !(wanted.empty() || same_secret(password, wanted))) {
    call.reply.error("WRONGPASS invalid username-password pair or user is disabled.");
    return false;
  }
  call.client.authenticated = true;
  return true;
}

void tell_hello(Call& call) {
  Reply& reply = call.reply;
  reply.map(7);
  reply.bulk("server");
  reply.bulk("redis");
  reply.bulk("version");
  reply.bulk(kCompatibleVersion);
  reply.bulk("proto");
  reply.integer(reply.protocol());
  reply.bulk("id");
  reply.integer(static_cast<std::int64_t>(call.client.id()));
  reply.bulk("mode");
  reply.bulk("standalone");
  reply.bulk("role");
  reply.bulk("master");
  reply.bulk("modules");
  reply.array(0);
}

}  // namespace

void ping(Call& call) {
  if (call.count() > 2) return reply_wrong_arity(call.reply, "ping");
  if (call.count() == 2) return call.reply.bulk(call.text(1));
  call.reply.simple("PONG");
}

void echo(Call& call) {
  call.reply.bulk(call.text(1));
}

void quit(Call& call) {
  call.reply.ok();
  call.client.close_after_replies();
}

void select(Call& call) {
  if (takes_database(call, call.text(1))) call.reply.ok();
}

void auth(Call& call) {
  if (call.count() > 3) return call.reply.error(kSyntaxError);
  if (call.count() == 2 && call.server.limits().password.empty()) {
    return call.reply.error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?");
  }
  const std::string_view user = call.count() == 2 ? "default" : call.text(1);
  if (log_in(call, user, call.text(call.count() - 1))) call.reply.ok();
}

void hello(Call& call) {
  int protocol = call.reply.protocol();
  std::size_t i = 1;
  if (call.count() > 1) {
    const auto version = parse_integer(call.text(i++));
    if (!version) return call.reply.error("ERR Protocol version is not an integer or out of range");
    if (*version < 2 || *version > 3) return call.reply.error("NOPROTO unsupported protocol version");
    protocol = static_cast<int>(*version);
  }
  for (; i < call.count(); ++i) {
    if (same_ignoring_case(call.text(i), "auth") && call.count() - i > 2) {
      if (!log_in(call, call.text(i + 1), call.text(i + 2))) return;
      i += 2;
    } else if (same_ignoring_case(call.text(i), "setname") && call.count() - i > 1) {
      if (!name_client(call, call.text(++i))) return;
    } else {
      return call.reply.error("ERR Syntax error in HELLO option '" + std::string(c_string(call.text(i))) +
                              "'");
    }
  }
  if (!call.client.authenticated) {
    return call.reply.error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
        "<pass> option can be used to authenticate the client and select the RESP protocol version at the "
        "same time");
  }
  call.reply.set_protocol(protocol);
  tell_hello(call);
}

void reset(Call& call) {
  Client& client = call.client;
  client.name.clear();
  client.replies = Client::Replies::kOn;
  client.authenticated = call.server.limits().password.empty();
  call.reply.set_protocol(2);
  call.reply.mute(false);
  call.reply.simple("RESET");
}

void time(Call& call) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  call.reply.array(2);
  call.reply.bulk_integer(now.tv_sec);
  call.reply.bulk_integer(now.tv_nsec / 1000);
}

void shutdown(Call& call) {
  for (std::size_t i = 1; i < call.count(); ++i) {
    const std::string_view word = call.text(i);
    if (same_ignoring_case(word, "abort") && call.count() == 2) {
      return call.reply.error("ERR No shutdown in progress.");
    }
    if (!same_ignoring_case(word, "nosave") && !same_ignoring_case(word, "save") &&
        !same_ignoring_case(word, "now") && !same_ignoring_case(word, "force")) {
      return call.reply.error(kSyntaxError);
    }
  }
  call.server.stop();
}

}  // namespace millrace::kv::commands

namespace millrace::kv {

bool takes_database(Call& call, std::string_view index) {
  using Int = std::numeric_limits<std::int32_t>;
  const auto number = parse_integer(index);
  if (!number) {
    call.reply.error(kNotAnInteger);
  } else if (*number < Int::min() || *number > Int::max()) {
    call.reply.error("ERR value is out of range, value must between -2147483648 and 2147483647");
  } else if (*number != 0) {
    call.reply.error("ERR DB index is out of range");
  }
  return number == 0;
}

}  // namespace millrace::kv
