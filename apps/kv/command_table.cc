#include <algorithm>
#include <array>
#include <string>

#include "command.h"
#include "numbers.h"

namespace millrace::kv {

namespace {

constexpr unsigned bits(Flag flag) {
  return static_cast<unsigned>(flag);
}
constexpr unsigned kAll = bits(Flag::kEverywhere);
constexpr unsigned kRead = bits(Flag::kReadOnly);
constexpr unsigned kReadFast = kRead | bits(Flag::kFast);
constexpr unsigned kWrite = bits(Flag::kWrite);
constexpr unsigned kWriteFast = kWrite | bits(Flag::kFast);
constexpr unsigned kGrow = kWrite | bits(Flag::kDenyOom);
constexpr unsigned kGrowFast = kGrow | bits(Flag::kFast);
constexpr unsigned kTalk = bits(Flag::kLoading) | bits(Flag::kStale);
constexpr unsigned kStranger = kTalk | bits(Flag::kNoAuth) | bits(Flag::kFast) | bits(Flag::kNoScript);
constexpr unsigned kAdmin = kTalk | bits(Flag::kAdmin) | bits(Flag::kNoScript);

constexpr std::array kCommands{
    Command{"append", 3, kGrowFast, 1, 1, 1, commands::append, "string", "2.0.0",
            "Appends to the value of a key"},
    Command{"auth", -2, kStranger, 0, 0, 0, commands::auth, "connection", "1.0.0",
            "Authenticates the connection"},
    Command{"client", -2, 0, 0, 0, 0, nullptr, "connection", "2.4.0", "Commands about connections",
            commands::client_subcommands},
    Command{"command", -1, kTalk, 0, 0, 0, commands::command, "server", "2.8.13", "Tells about commands",
            commands::command_subcommands},
    Command{"config", -2, 0, 0, 0, 0, nullptr, "server", "2.0.0", "Reads and changes settings",
            commands::config_subcommands},
    Command{"copy", -3, kGrow, 1, 2, 1, commands::copy, "generic", "6.2.0", "Copies a key"},
    Command{"dbsize", 1, kReadFast | kAll, 0, 0, 0, commands::dbsize, "server", "1.0.0", "Counts the keys"},
    Command{"decr", 2, kGrowFast, 1, 1, 1, commands::decr, "string", "1.0.0", "Takes one from an integer"},
    Command{"decrby", 3, kGrowFast, 1, 1, 1, commands::decrby, "string", "1.0.0",
            "Takes a number from an integer"},
    Command{"del", -2, kWrite, 1, -1, 1, commands::del, "generic", "1.0.0", "Deletes keys"},
    Command{"echo", 2, kTalk | bits(Flag::kFast), 0, 0, 0, commands::echo, "connection", "1.0.0",
            "Says it again"},
    Command{"exists", -2, kReadFast, 1, -1, 1, commands::exists, "generic", "1.0.0",
            "Counts which keys there are"},
    Command{"expire", -3, kWriteFast, 1, 1, 1, commands::expire, "generic", "1.0.0",
            "Sets a time to live in seconds"},
    Command{"expireat", -3, kWriteFast, 1, 1, 1, commands::expireat, "generic", "1.2.0",
            "Sets an end in Unix seconds"},
    Command{"expiretime", 2, kReadFast, 1, 1, 1, commands::expiretime, "generic", "7.0.0",
            "Tells the end in Unix seconds"},
    Command{"flushall", -1, kWrite | kAll, 0, 0, 0, commands::flush, "server", "1.0.0", "Deletes all keys"},
    Command{"flushdb", -1, kWrite | kAll, 0, 0, 0, commands::flush, "server", "1.0.0",
            "Deletes all keys of the database"},
    Command{"get", 2, kReadFast, 1, 1, 1, commands::get, "string", "1.0.0", "Returns the value of a key"},
    Command{"getdel", 2, kWriteFast, 1, 1, 1, commands::getdel, "string", "6.2.0",
            "Returns a value and deletes its key"},
    Command{"getex", -2, kWriteFast, 1, 1, 1, commands::getex, "string", "6.2.0",
            "Returns a value, sets its end"},
    Command{"getrange", 4, kRead, 1, 1, 1, commands::getrange, "string", "2.4.0",
            "Returns a part of a value"},
    Command{"getset", 3, kGrowFast, 1, 1, 1, commands::getset, "string", "1.0.0",
            "Sets a value, returns the old one"},
    Command{"hello", -1, kStranger, 0, 0, 0, commands::hello, "connection", "6.0.0",
            "Agrees on the protocol"},
    Command{"incr", 2, kGrowFast, 1, 1, 1, commands::incr, "string", "1.0.0", "Adds one to an integer"},
    Command{"incrby", 3, kGrowFast, 1, 1, 1, commands::incrby, "string", "1.0.0",
            "Adds a number to an integer"},
    Command{"incrbyfloat", 3, kGrowFast, 1, 1, 1, commands::incrbyfloat, "string", "2.6.0",
            "Adds to a number"},
    Command{"info", -1, kTalk | kAll, 0, 0, 0, commands::info, "server", "1.0.0", "Tells about the server"},
    Command{"keys", 2, kRead | kAll, 0, 0, 0, commands::keys, "generic", "1.0.0",
            "Returns the keys that match"},
    Command{"mget", -2, kReadFast, 1, -1, 1, commands::mget, "string", "1.0.0", "Returns values of keys"},
    Command{"mset", -3, kGrow, 1, -1, 2, commands::mset, "string", "1.0.1", "Sets values of keys"},
    Command{"msetnx", -3, kGrow, 1, -1, 2, commands::msetnx, "string", "1.0.1",
            "Sets values if no key is there"},
    Command{"persist", 2, kWriteFast, 1, 1, 1, commands::persist, "generic", "2.2.0",
            "Takes the end from a key"},
    Command{"pexpire", -3, kWriteFast, 1, 1, 1, commands::pexpire, "generic", "2.6.0",
            "Sets a time to live in ms"},
    Command{"pexpireat", -3, kWriteFast, 1, 1, 1, commands::pexpireat, "generic", "2.6.0",
            "Sets an end in Unix ms"},
    Command{"pexpiretime", 2, kReadFast, 1, 1, 1, commands::pexpiretime, "generic", "7.0.0",
            "Tells the end in Unix ms"},
    Command{"ping", -1, bits(Flag::kFast), 0, 0, 0, commands::ping, "connection", "1.0.0", "Answers"},
    Command{"psetex", 4, kGrow, 1, 1, 1, commands::psetex, "string", "2.6.0",
            "Sets a value and its time in ms"},
    Command{"pttl", 2, kReadFast, 1, 1, 1, commands::pttl, "generic", "2.6.0",
            "Tells the time to live in ms"},
    Command{"quit", -1, kStranger, 0, 0, 0, commands::quit, "connection", "1.0.0", "Closes the connection"},
    Command{"randomkey", 1, kRead | kAll, 0, 0, 0, commands::randomkey, "generic", "1.0.0",
            "Returns some key"},
    Command{"rename", 3, kWrite, 1, 2, 1, commands::rename, "generic", "1.0.0", "Renames a key"},
    Command{"renamenx", 3, kWriteFast, 1, 2, 1, commands::renamenx, "generic", "1.0.0",
            "Renames if nobody has the name"},
    Command{"reset", 1, kStranger, 0, 0, 0, commands::reset, "connection", "6.2.0", "Resets the connection"},
    Command{"scan", -2, kRead | kAll, 0, 0, 0, commands::scan, "generic", "2.8.0", "Goes through the keys"},
    Command{"select", 2, kTalk | bits(Flag::kFast), 0, 0, 0, commands::select, "connection", "1.0.0",
            "Takes database 0"},
    Command{"set", -3, kGrow, 1, 1, 1, commands::set, "string", "1.0.0", "Sets the value of a key"},
    Command{"setex", 4, kGrow, 1, 1, 1, commands::setex, "string", "2.0.0",
            "Sets a value and its time in seconds"},
    Command{"setnx", 3, kGrowFast, 1, 1, 1, commands::setnx, "string", "1.0.0",
            "Sets a value if there is none"},
    Command{"setrange", 4, kGrow, 1, 1, 1, commands::setrange, "string", "2.2.0",
            "Overwrites a part of a value"},
    Command{"shutdown", -1, kAdmin | kAll, 0, 0, 0, commands::shutdown, "server", "1.0.0", "Ends the server"},
    Command{"strlen", 2, kReadFast, 1, 1, 1, commands::strlen, "string", "2.2.0",
            "Tells the length of a value"},
    Command{"substr", 4, kRead, 1, 1, 1, commands::getrange, "string", "1.0.0", "Returns a part of a value"},
    Command{"time", 1, kTalk | bits(Flag::kFast), 0, 0, 0, commands::time, "server", "2.6.0",
            "Tells the time"},
    Command{"touch", -2, kReadFast, 1, -1, 1, commands::touch, "generic", "3.2.1", "Uses keys"},
    Command{"ttl", 2, kReadFast, 1, 1, 1, commands::ttl, "generic", "1.0.0",
            "Tells the time to live in seconds"},
    Command{"type", 2, kReadFast, 1, 1, 1, commands::type, "generic", "1.0.0", "Tells the type of a value"},
    Command{"unlink", -2, kWriteFast, 1, -1, 1, commands::del, "generic", "4.0.0", "Deletes keys"},
};

constexpr std::size_t kTold = 128;  // of what was not understood

}  // namespace

std::span<const Command> all_commands() {
  return kCommands;
}

std::string_view c_string(std::string_view text, std::size_t most) {
  return text.substr(0, std::min(text.find('\0'), most));
}

void reply_wrong_arity(Reply& reply, std::string_view full_name) {
  reply.error("ERR wrong number of arguments for '" + std::string(full_name) + "' command");
}

namespace {

void reply_unknown_command(Call& call) {
  std::string told;
  for (std::size_t i = 1; i < call.count() && told.size() < kTold; ++i) {
    told += "'" + std::string(c_string(call.text(i), kTold - told.size())) + "' ";
  }
  call.reply.error("ERR unknown command '" + std::string(c_string(call.text(0), kTold)) +
                   "', with args beginning with: " + told);
}

const Subcommand* find_subcommand(const Command& command, std::string_view name) {
  const auto subcommands = command.subcommands();
  const auto found = std::find_if(subcommands.begin(), subcommands.end(), [&](const Subcommand& known) {
    return same_ignoring_case(known.name, name);
  });
  return found != subcommands.end() ? &*found : nullptr;
}

void reply_unknown_subcommand(Call& call, const Command& command) {
  std::string upper = command.name;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return static_cast<char>(c - 'a' + 'A'); });
  call.reply.error("ERR unknown subcommand '" + std::string(c_string(call.text(1), kTold)) + "'. Try " +
                   upper + " HELP.");
}

}  // namespace

std::optional<Resolved> resolve(Call& call) {
  const Resolved plain{find_command(call.text(0)), nullptr};
  if (plain.command == nullptr) {
    reply_unknown_command(call);
    return std::nullopt;
  }
  const Command& command = *plain.command;
  if (command.subcommands == nullptr || call.count() == 1) {
    if (takes_words(command.arity, call.count())) return plain;
    reply_wrong_arity(call.reply, command.name);
    return std::nullopt;
  }
  const Subcommand* subcommand = find_subcommand(command, call.text(1));
  if (subcommand == nullptr) {
    reply_unknown_subcommand(call, command);
  } else if (!takes_words(subcommand->arity, call.count())) {
    reply_wrong_arity(call.reply, std::string(command.name) + "|" + subcommand->name);
  } else {
    return Resolved{&command, subcommand};
  }
  return std::nullopt;
}

}  // namespace millrace::kv
