#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "argument.h"
#include "keyspace.h"
#include "reply.h"

namespace millrace::kv {

class Client;
class Server;

/// A command being carried out.
struct Call {
  Server& server;
  Client& client;
  Keyspace& keys;
  const Arguments& args;  ///< the first is the command's name
  Reply& reply;
  /// Whose keys and clients may be used: the thread's own alone, or those of all while the others stand
  /// still.
  std::span<Server* const> servers;

  /// Where that key is.
  [[nodiscard]] Keyspace& keys_of(std::string_view key) const {
    return servers.size() == 1 ? keys : other_keys_of(key);
  }
  [[nodiscard]] Keyspace& other_keys_of(std::string_view key) const;
  /// Writes the value of one of these keyspaces. References to it stay in its thread.
  void reply_value(const Keyspace& from, const ValueRef& value) const {
    &from == &keys ? reply.bulk(value) : reply.bulk(value->bytes());
  }

  [[nodiscard]] std::string_view text(std::size_t index) const { return args[index].text; }
  [[nodiscard]] std::size_t count() const { return args.size(); }
};

enum class Flag : std::uint16_t {
  kWrite = 1,
  kReadOnly = 2,
  kDenyOom = 4,  ///< not when memory is out
  kFast = 8,
  kAdmin = 16,
  kNoAuth = 32,  ///< for strangers, too
  kLoading = 64,
  kStale = 128,
  kNoScript = 256,
  kEverywhere = 512,  ///< of all threads' keys or clients
};

/// A command's second word that is a command of its own: CLIENT LIST.
struct Subcommand {
  const char* name;
  int arity;  ///< both names included
  void (*handler)(Call&);
  bool everywhere = false;  ///< see Flag::kEverywhere
};

struct Command {
  const char* name;
  int arity;  ///< words, the name included; negative: at least so many
  unsigned flags;
  int first_key, last_key, key_step;
  void (*handler)(Call&);  ///< of the name alone, where there are subcommands
  const char* group;
  const char* since;
  const char* summary;
  std::span<const Subcommand> (*subcommands)() = nullptr;

  [[nodiscard]] bool is(Flag flag) const { return (flags & static_cast<unsigned>(flag)) != 0; }
};

/// Whether a command of this arity can have so many words.
constexpr bool takes_words(int arity, std::size_t words) {
  return arity >= 0 ? words == static_cast<std::size_t>(arity) : words >= static_cast<std::size_t>(-arity);
}

/// What to run for a call.
struct Resolved {
  const Command* command = nullptr;
  const Subcommand* subcommand = nullptr;
  [[nodiscard]] void (*handler() const)(Call&) {
    return subcommand != nullptr ? subcommand->handler : command->handler;
  }
  [[nodiscard]] bool everywhere() const {
    return subcommand != nullptr ? subcommand->everywhere : command->is(Flag::kEverywhere);
  }
};

std::span<const Command> all_commands();
/// Null when there is none. Letters' case does not matter.
const Command* find_command(std::string_view name);

/// Nothing: it has been answered that there is no such command, or that its words are too few or many.
std::optional<Resolved> resolve(Call& call);

/// As much of what a client has said as Redis's errors say back: up to a null byte.
std::string_view c_string(std::string_view text, std::size_t most = std::string_view::npos);

void reply_wrong_arity(Reply& reply, std::string_view full_name);
/// Whether this is database 0, the only one. False: it has been answered that it is not.
bool takes_database(Call& call, std::string_view index);

/// False: it has been answered that a name cannot be so. An empty one takes the name away.
bool name_client(Call& call, std::string_view name);

constexpr std::string_view kSyntaxError = "ERR syntax error";
constexpr std::string_view kNotAnInteger = "ERR value is not an integer or out of range";

namespace commands {
std::span<const Subcommand> client_subcommands();
std::span<const Subcommand> command_subcommands();
std::span<const Subcommand> config_subcommands();
void append(Call& call);
void auth(Call& call);
void command(Call& call);
void copy(Call& call);
void dbsize(Call& call);
void decr(Call& call);
void decrby(Call& call);
void del(Call& call);
void echo(Call& call);
void exists(Call& call);
void expire(Call& call);
void expireat(Call& call);
void expiretime(Call& call);
void flush(Call& call);
void get(Call& call);
void getdel(Call& call);
void getex(Call& call);
void getrange(Call& call);
void getset(Call& call);
void hello(Call& call);
void incr(Call& call);
void incrby(Call& call);
void incrbyfloat(Call& call);
void info(Call& call);
void keys(Call& call);
void mget(Call& call);
void mset(Call& call);
void msetnx(Call& call);
void persist(Call& call);
void pexpire(Call& call);
void pexpireat(Call& call);
void pexpiretime(Call& call);
void ping(Call& call);
void psetex(Call& call);
void pttl(Call& call);
void quit(Call& call);
void randomkey(Call& call);
void rename(Call& call);
void renamenx(Call& call);
void reset(Call& call);
void scan(Call& call);
void select(Call& call);
void set(Call& call);
void setex(Call& call);
void setnx(Call& call);
void setrange(Call& call);
void shutdown(Call& call);
void strlen(Call& call);
void time(Call& call);
void touch(Call& call);
void ttl(Call& call);
void type(Call& call);
}  // namespace commands

}  // namespace millrace::kv
