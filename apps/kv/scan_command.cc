#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "command.h"
#include "glob.h"
#include "numbers.h"
#include "server.h"

namespace millrace::kv::commands {

namespace {

constexpr std::int64_t kEmptySteps = 10;  // buckets looked at for a key asked for

std::optional<std::uint64_t> parse_cursor(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const std::uint64_t cursor = std::strtoull(copy.c_str(), &end, 10);
  if (std::isspace(static_cast<unsigned char>(copy.c_str()[0])) != 0 || *end != '\0' || errno == ERANGE) {
    return std::nullopt;
  }
  return cursor;
}

struct ScanOptions {
  std::int64_t count = 10;
  std::optional<std::string_view> pattern, type;

  /// What is wrong, as an error; empty: nothing.
  std::string_view parse(Call& call) {
    for (std::size_t i = 2; i < call.count(); i += 2) {
      if (i + 1 == call.count()) return kSyntaxError;
      const std::string_view value = call.text(i + 1);
      if (same_ignoring_case(call.text(i), "count")) {
        const auto number = parse_integer(value);
        if (!number) return kNotAnInteger;
        if (*number < 1) return kSyntaxError;
        count = *number;
      } else if (same_ignoring_case(call.text(i), "match")) {
        pattern = value;
      } else if (same_ignoring_case(call.text(i), "type")) {
        type = value;
      } else {
        return kSyntaxError;
      }
    }
    return {};
  }
};

/// Where a walk through all keyspaces is, one after the other: a cursor says in which, and where in it.
class Position {
 public:
  Position(std::uint64_t cursor, std::span<Server* const> servers)
      : servers_(servers), at_(cursor % servers.size()), inside_(cursor / servers.size()) {}

  void advance(const std::function<void(Entry&)>& visit) {
    inside_ = servers_[at_]->keys().scan(inside_, visit);
    if (inside_ == 0) at_ = (at_ + 1) % servers_.size();
  }
  /// 0: this is the end.
  [[nodiscard]] std::uint64_t cursor() const { return inside_ * servers_.size() + at_; }

 private:
  std::span<Server* const> servers_;
  std::uint64_t at_, inside_;
};

}  // namespace

void scan(Call& call) {
  const auto cursor = parse_cursor(call.text(1));
  if (!cursor) return call.reply.error("ERR invalid cursor");
  ScanOptions options;
  const std::string_view problem = options.parse(call);
  if (!problem.empty()) return call.reply.error(problem);

  const bool none = options.type && !same_ignoring_case(*options.type, "string");
  std::vector<std::string_view> found;
  std::int64_t seen = 0;
  std::int64_t steps = 0;
  Position next(*cursor, call.servers);
  do {
    next.advance([&](Entry& entry) {
      ++seen;
      if (!none && (!options.pattern || matches(*options.pattern, entry.key()))) found.push_back(entry.key());
    });
    ++steps;
  } while (next.cursor() != 0 && seen < options.count && steps / kEmptySteps < options.count);

  call.reply.array(2);
  call.reply.bulk(std::to_string(next.cursor()));
  call.reply.array(found.size());
  for (const std::string_view key : found) call.reply.bulk(key);
}

}  // namespace millrace::kv::commands
