#include "socket_details.h"

#include <array>
#include <cstdio>
#include <functional>

namespace millrace::command {

namespace {

std::string shortest(double value) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

/// Milliseconds with fractions, as ss has them, of microseconds.
std::string milliseconds(std::uint64_t microseconds) {
  return shortest(static_cast<double>(microseconds) / 1000);
}

std::string rate(double bits, bool exact) {
  std::array<char, 32> text;
  struct Unit {
    double size;
    const char* name;
  };
  for (const Unit& unit : {Unit{1e12, "T"}, Unit{1e9, "G"}, Unit{1e6, "M"}, Unit{1e3, "k"}}) {
    if (exact || bits <= unit.size) continue;
    std::snprintf(text.data(), text.size(), "%.1f%s", bits / unit.size, unit.name);
    return text.data();
  }
  std::snprintf(text.data(), text.size(), exact ? "%.0f" : "%g", bits);
  return text.data();
}

/// "9min30sec", "47sec", "1.234ms" (meaning 1 s and 234 ms), "200ms": finer units only where they matter.
std::string duration(std::uint64_t ms) {
  const std::uint64_t minutes = ms / 60000;
  std::uint64_t seconds = ms / 1000 % 60, rest = ms % 1000;
  std::string text;
  if (minutes != 0) {
    text = std::to_string(minutes) + "min";
    rest = 0;
    if (minutes > 9) seconds = 0;
  }
  if (seconds != 0) {
    if (seconds > 9) rest = 0;
    text += std::to_string(seconds) + (rest != 0 ? "." : "sec");
  }
  if (rest != 0) {
    std::array<char, 32> digits;
    std::snprintf(digits.data(), digits.size(), "%03llums", static_cast<unsigned long long>(rest));
    text += digits.data();
  }
  return text;
}

}  // namespace

std::string timer_text(const Record& socket) {
  const std::string_view timer = socket.text("timer");
  const auto expires = socket.numbers("expires", 2);
  if (timer.empty() || expires.size() != 2) return "";
  return " timer:(" + std::string(timer) + "," + duration(expires[0]) + "," + std::to_string(expires[1]) +
         ")";
}

std::string extended_text(const Instance& instance, const Record& socket) {
  std::string text;
  if (instance.uid != 0) text += " uid:" + std::to_string(instance.uid);
  // These sockets have no inode; what stands for the kernel's cookie stays the same for a socket's life.
  std::array<char, 24> cookie;
  const std::string name = std::to_string(instance.pid) + std::string(socket.text("net")) +
                           std::string(socket.text("local")) + std::string(socket.text("peer"));
  std::snprintf(cookie.data(), cookie.size(), "%zx", std::hash<std::string>{}(name));
  text += " ino:0 sk:";
  text += cookie.data();
  const std::string_view queue = socket.text("queue");
  if (!queue.empty() && socket.number("part_of") == 0) text += " queue:" + std::string(queue);
  return text + " <->";
}

std::string memory_text(const Record& socket) {
  auto mem = socket.numbers("mem", 5);
  mem.resize(5);
  // What the kernel counts and we have not is 0: forward allocation, options, backlog.
  return " skmem:(r" + std::to_string(mem[0]) + ",rb" + std::to_string(mem[1]) + ",t0,tb" +
         std::to_string(mem[3]) + ",f0,w" + std::to_string(mem[2]) + ",o0,bl0,d" + std::to_string(mem[4]) +
         ")";
}

std::string info_text(const Record& socket, bool exact) {
  std::string text;
  const auto number = [&](const char* key) {
    if (const std::uint64_t value = socket.number(key); value != 0)
      text.append(" ").append(key).append(":").append(std::to_string(value));
  };
  const auto numbers = [&](std::initializer_list<const char*> keys) {
    for (const char* key : keys) number(key);
  };
  const auto time = [&](const char* key) {
    if (const std::uint64_t value = socket.number(key); value != 0)
      text.append(" ").append(key).append(":").append(milliseconds(value));
  };
  if (socket.number("ts") != 0) text += " ts";
  if (socket.number("sack") != 0) text += " sack";
  if (const auto congestion = socket.text("cc"); !congestion.empty()) text.append(" ").append(congestion);
  if (const auto scale = socket.text("wscale"); !scale.empty()) text.append(" wscale:").append(scale);
  time("rto");
  number("backoff");
  if (const std::uint64_t rtt = socket.number("rtt"); rtt != 0)
    text += " rtt:" + milliseconds(rtt) + "/" + milliseconds(socket.number("rttvar"));
  time("ato");
  numbers({"mss", "pmtu", "rcvmss", "advmss", "cwnd"});
  // Beyond, it is "infinite", and ss says nothing.
  if (socket.number("ssthresh") < 0xffff) number("ssthresh");
  numbers({"bytes_sent", "bytes_retrans", "bytes_acked", "bytes_received", "segs_out", "segs_in",
           "data_segs_out", "data_segs_in"});
  const auto rtt = static_cast<double>(socket.number("rtt"));
  const double flight =
      static_cast<double>(socket.number("cwnd")) * static_cast<double>(socket.number("mss"));
  if (rtt > 0 && flight > 0) text += " send " + rate(flight * 8e6 / rtt, exact) + "bps";
  numbers({"lastsnd", "lastrcv", "lastack"});
  if (const std::uint64_t delivered = socket.number("delivery_rate"); delivered != 0)
    text += " delivery_rate " + rate(static_cast<double>(delivered) * 8, exact) + "bps";
  number("unacked");
  if (socket.number("retrans") != 0 || socket.number("retrans_total") != 0)
    text += " retrans:" + std::to_string(socket.number("retrans")) + "/" +
            std::to_string(socket.number("retrans_total"));
  numbers({"lost", "sacked", "dsack_dups"});
  if (socket.number("reordering") != 3) number("reordering");
  number("reord_seen");
  time("rcv_rtt");
  numbers({"rcv_space", "rcv_ssthresh", "notsent"});
  time("minrtt");
  numbers({"rcv_ooopack", "snd_wnd"});
  return text;
}

std::string users_text(const Instance& instance, const Record& socket) {
  const std::string_view fd = socket.text("fd");
  if (fd.empty()) return "";
  return "users:((\"" + instance.name + "\",pid=" + std::to_string(instance.pid) + ",fd=" + std::string(fd) +
         "))";
}

}  // namespace millrace::command
