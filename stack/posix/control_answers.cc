#include "posix/control_answers.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "posix/context.h"
#include "posix/control_channel.h"
#include "posix/control_text.h"
#include "posix/fd_table.h"
#include "posix/socket_file.h"
#include "posix/stats.h"
#include "tcp/report.h"
#include "udp/report.h"

namespace millrace::posix {

namespace {

/// Sockets told under one hold of the lock: some 10 to 50 µs.
constexpr std::size_t kPiece = 64;
/// Descriptors looked at under one hold.
constexpr int kDescriptors = 1024;

struct Query {
  std::string_view what;
  bool info = false, fds = false;
};

std::string_view next_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \r"), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(" \r"));
  text.remove_prefix(word.size());
  return word;
}

/// What is wrong with it, or nothing.
std::string parse(std::string_view line, Query& request) {
  request.what = next_word(line);
  if (request.what != "sockets" && request.what != "stats") return "unknown request";
  if (next_word(line) != "1") return "this program speaks version 1";
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
    if (request.what == "sockets" && word == "info") {
      request.info = true;
    } else if (request.what == "sockets" && word == "fds") {
      request.fds = true;
    } else {
      return "unknown word in the request";
    }
  }
  return "";
}

/// One word whatever the program is called.
std::string own_name() {
  std::string name = program_invocation_short_name;
  name.resize(std::min<std::size_t>(name.size(), 64));
  for (char& c : name) {
    if (c <= ' ' || c > '~' || c == '=') c = '_';
  }
  return name;
}

std::string greeting() {
  std::string line = "millrace 1";
  append_number(line, "pid", static_cast<std::uint64_t>(getpid()));
  append_number(line, "uid", geteuid());
  return line + " version=" MILLRACE_VERSION " name=" + own_name() + "\n";
}

/// Which descriptor a file has. The table knows only the other direction, and is searched once a request; as
/// it changes meanwhile, an answer is looked at again before it is given.
class DescriptorIndex {
 public:
  DescriptorIndex(Context& context, FdTable& fds) : context_(context), fds_(fds) {}

  /// Without the lock held.
  void build() {
    for (int first = kFirstFd; fds_.slot(first) != nullptr; first += kDescriptors) {
      entries_.reserve(entries_.size() + kDescriptors);
      built_ = true;
      ContextLock guard(context_);
      for (int fd = first; fd < first + kDescriptors; ++fd) {
        const FdTable::Slot* slot = fds_.slot(fd);
        if (slot != nullptr && is_ours(*slot)) entries_.emplace_back(slot->file, fd);
      }
    }
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return std::less<>{}(a.first, b.first); });
  }
  /// Under the lock. -1: it has none that is known.
  [[nodiscard]] int find(const Socket* socket) const {
    if (socket == nullptr || socket->user == nullptr) return -1;
    const File* file = static_cast<const SocketFile*>(socket->user);
    const auto at = std::lower_bound(
        entries_.begin(), entries_.end(), file,
        [](const Entry& entry, const File* wanted) { return std::less<>{}(entry.first, wanted); });
    if (at == entries_.end() || at->first != file) return find_by_twin(*static_cast<const SocketFile*>(file));
    const FdTable::Slot* slot = fds_.slot(at->second);
    if (!is_ours(*slot) || slot->file != file) return -1;
    return name_of(*slot, at->second);
  }

 private:
  using Entry = std::pair<const File*, int>;

  /// Of a part of a socket whose descriptor stands for another one.
  [[nodiscard]] int find_by_twin(const SocketFile& file) const {
    const int fd = file.twins ? file.twins->fd.load(std::memory_order_relaxed) : -1;
    return fd >= 0 && built_ ? name_of(*fds_.slot(fd), fd) : -1;
  }
  [[nodiscard]] static int name_of(const FdTable::Slot& slot, int fd) {
    const int known_as = slot.known_as.load(std::memory_order_relaxed);
    return known_as >= 0 ? known_as : fd;
  }

  [[nodiscard]] bool is_ours(const FdTable::Slot& slot) const {
    return slot.context.load(std::memory_order_relaxed) == &context_;
  }

  Context& context_;
  FdTable& fds_;
  std::vector<Entry> entries_;
  bool built_ = false;  ///< somebody asks for descriptors
};

/// Under the lock: of a socket that has parts in several contexts, its number; 0: it has not.
std::uint64_t part_of(const Socket* socket) {
  const auto* file = socket == nullptr ? nullptr : static_cast<const SocketFile*>(socket->user);
  return file != nullptr && file->twins ? file->twins->number : 0;
}

/// Tells sockets piece by piece. `next(reports, now)` appends the next ones under the lock, and returns false
/// with the last. False: the client is gone.
template <typename Next>
bool send_sockets(Context& context, const DescriptorIndex& index, ControlChannel& channel, Next&& next) {
  std::vector<SocketReport> reports;
  std::vector<int> descriptors;
  std::vector<std::uint64_t> parts;
  std::string text;
  for (bool more = true; more;) {
    reports.clear();
    descriptors.clear();
    parts.clear();
    text.clear();
    reports.reserve(2 * kPiece);
    descriptors.reserve(2 * kPiece);
    {
      ContextLock guard(context);
      more = next(reports, clock_now());
      for (const SocketReport& report : reports) {
        descriptors.push_back(index.find(report.socket));
        parts.push_back(part_of(report.socket));
      }
    }
    for (std::size_t i = 0; i < reports.size(); ++i) {
      append_socket(text, reports[i]);
      if (descriptors[i] >= 0) append_number(text, "fd", static_cast<std::uint64_t>(descriptors[i]));
      if (!context.is_alone()) append_number(text, "queue", context.index());
      if (parts[i] != 0) append_number(text, "part_of", parts[i]);
      text += '\n';
    }
    if (!text.empty() && !channel.write(text)) return false;
  }
  return true;
}

bool answer_sockets(Context& context, FdTable& fds, const Query& request, ControlChannel& channel) {
  DescriptorIndex index(context, fds);
  if (request.fds) index.build();
  udp::Walk datagrams;
  tcp::Walk streams;
  return send_sockets(context, index, channel,
                      [&](std::vector<SocketReport>& out, Instant) {
                        return datagrams.next(context.stack().udp(), out, kPiece);
                      }) &&
         send_sockets(context, index, channel, [&](std::vector<SocketReport>& out, Instant now) {
           return streams.next(context.stack().tcp(), out, kPiece, request.info, now);
         });
}

bool answer_stats(std::span<Context* const> contexts, ControlChannel& channel) {
  std::string text;
  for (const auto& [name, value] : snapshot(contexts)) {
    text += "stat";
    append_number(text, name.c_str(), value);
    text += '\n';
  }
  return channel.write(text);
}

}  // namespace

void answer_request(std::span<Context* const> contexts, FdTable& fds, ControlChannel& channel) {
  std::string line;
  switch (channel.read_line(line)) {
    case ControlChannel::Read::kGone:
      return;
    case ControlChannel::Read::kTooLong:
      (void)channel.write("error the request is too long\n");
      return;
    case ControlChannel::Read::kLine:
      break;
  }
  Query request;
  if (const std::string problem = parse(line, request); !problem.empty()) {
    (void)channel.write("error " + problem + "\n");
    return;
  }
  if (!channel.write(greeting())) return;
  bool whole = true;
  if (request.what == "stats") {
    whole = answer_stats(contexts, channel);
  } else {
    for (Context* context : contexts) whole = whole && answer_sockets(*context, fds, request, channel);
  }
  if (whole) (void)channel.write("end\n");
}

}  // namespace millrace::posix
