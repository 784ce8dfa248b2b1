#include <array>
#include <string>
#include <vector>

#include "command.h"
#include "glob.h"
#include "numbers.h"

namespace millrace::kv::commands {

namespace {

struct FlagName {
  Flag flag;
  const char* name;
};
constexpr std::array kFlagNames{
    FlagName{Flag::kWrite, "write"},       FlagName{Flag::kReadOnly, "readonly"},
    FlagName{Flag::kDenyOom, "denyoom"},   FlagName{Flag::kAdmin, "admin"},
    FlagName{Flag::kNoScript, "noscript"}, FlagName{Flag::kLoading, "loading"},
    FlagName{Flag::kStale, "stale"},       FlagName{Flag::kFast, "fast"},
    FlagName{Flag::kNoAuth, "no_auth"},
};

void tell(Reply& reply, const Command& command) {
  constexpr std::size_t kElements = 10;
  reply.array(kElements);
  reply.bulk(command.name);
  reply.integer(command.arity);
  std::vector<const char*> flags;
  for (const FlagName& one : kFlagNames) {
    if (command.is(one.flag)) flags.push_back(one.name);
  }
  reply.set(flags.size());
  for (const char* name : flags) reply.simple(name);
  for (const int position : {command.first_key, command.last_key, command.key_step}) reply.integer(position);
  // Access categories, hints, key specifications and subcommands: nothing to say.
  reply.set(0);
  reply.set(0);
  reply.set(0);
  reply.array(0);
}

void document(Reply& reply, const Command& command) {
  reply.bulk(command.name);
  reply.map(3);
  reply.bulk("summary");
  reply.bulk(command.summary);
  reply.bulk("since");
  reply.bulk(command.since);
  reply.bulk("group");
  reply.bulk(command.group);
}

void count(Call& call) {
  call.reply.integer(static_cast<std::int64_t>(all_commands().size()));
}

void tell_all(Call& call) {
  call.reply.array(all_commands().size());
  for (const Command& command : all_commands()) tell(call.reply, command);
}

void tell_named(Call& call) {
  if (call.count() == 2) return tell_all(call);
  call.reply.array(call.count() - 2);
  for (std::size_t i = 2; i < call.count(); ++i) {
    if (const Command* command = find_command(call.text(i))) {
      tell(call.reply, *command);
    } else {
      call.reply.null_array();
    }
  }
}

void docs(Call& call) {
  std::vector<const Command*> wanted;
  for (std::size_t i = 2; i < call.count(); ++i) {
    if (const Command* command = find_command(call.text(i))) wanted.push_back(command);
  }
  if (call.count() == 2) {
    for (const Command& command : all_commands()) wanted.push_back(&command);
  }
  call.reply.map(wanted.size());
  for (const Command* command : wanted) document(call.reply, *command);
}

void list_commands(Call& call) {
  std::vector<const char*> names;
  std::string_view pattern = "*";
  if (call.count() == 5 && same_ignoring_case(call.text(2), "filterby") &&
      same_ignoring_case(call.text(3), "pattern")) {
    pattern = call.text(4);
  } else if (call.count() != 2) {
    return call.reply.error(kSyntaxError);
  }
  for (const Command& command : all_commands()) {
    if (matches(pattern, command.name, Case::kIgnored)) names.push_back(command.name);
  }
  call.reply.array(names.size());
  for (const char* name : names) call.reply.bulk(name);
}

constexpr std::array kCommandSubcommands{
    Subcommand{"count", 2, count},
    Subcommand{"docs", -2, docs},
    Subcommand{"info", -2, tell_named},
    Subcommand{"list", -2, list_commands},
};

}  // namespace

void command(Call& call) {
  tell_all(call);
}

std::span<const Subcommand> command_subcommands() {
  return kCommandSubcommands;
}

}  // namespace millrace::kv::commands
