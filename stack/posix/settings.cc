#include "posix/settings.h"

#include <millrace/socket.h>
#include <stdlib.h>

#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "posix/context_group.h"
#include "posix/fd_table.h"
#include "tcp/settings.h"

namespace millrace::posix {

namespace {

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

/// A text setting: what the program gave, else the environment; empty for unset.
std::string text_of(const char* given, const char* variable) {
  if (given != nullptr && *given != '\0') return given;
  const char* value = getenv(variable);
  return value != nullptr ? value : "";
}

/// A number setting, likewise; `value` stays when it is unset. The error line, or empty.
std::string number_of(std::int64_t given, std::string_view name, const char* variable, std::int64_t min,
                      std::int64_t max, std::int64_t& value) {
  std::string text;
  if (given != 0) {
    text = std::to_string(given);
  } else {
    text = text_of(nullptr, variable);
    name = variable;
  }
  if (text.empty()) return "";
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < min || number > max) {
    return std::string(name) + ": " + quoted(text) + " is not a number from " + std::to_string(min) + " to " +
           std::to_string(max);
  }
  value = number;
  return "";
}

std::string read_tcp(const char* given, tcp::Config& config) {
  constexpr const char* kVariable = "MILLRACE_TCP";
  // Both, name by name, and what the program gave last.
  const std::pair<const char*, std::string> sources[] = {{kVariable, text_of(nullptr, kVariable)},
                                                         {"tcp", given != nullptr ? given : ""}};
  for (const auto& [name, text] : sources) {
    if (const std::string wrong = tcp::apply_settings(text, config); !wrong.empty())
      return std::string(name) + ": " + wrong;
  }
  return "";
}

bool usable(const IpAddress& address) {
  return !address.is_unspecified() && !address.is_multicast() && !address.is_limited_broadcast() &&
         !address.is_loopback();
}

std::string read_addresses(std::string_view text, std::vector<IpPrefix>& addresses) {
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view one = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    const std::optional<IpPrefix> prefix = IpPrefix::parse(one);
    if (!prefix) return "address " + quoted(one) + " is malformed: expected one such as 198.18.0.1/24";
    if (!prefix->address.is_v4()) return "address " + quoted(one) + " is IPv6, which is not supported yet";
    if (!usable(prefix->address)) return "address " + quoted(one) + " cannot be a host's own";
    addresses.push_back(*prefix);
  }
  return "";
}

std::string read_gateway(const std::string& text, ContextConfig& context) {
  if (text.empty()) return "";
  context.gateway = IpAddress::parse(text);
  if (!context.gateway || !context.gateway->is_v4() || !usable(*context.gateway))
    return "gateway " + quoted(text) + " is malformed: expected an address such as 198.18.0.254";
  for (const IpPrefix& prefix : context.interface.addresses) {
    if (prefix.address == *context.gateway) return "gateway " + quoted(text) + " is the stack's own address";
    if (prefix.contains(*context.gateway)) return "";
  }
  return "gateway " + quoted(text) + " is not in the network of any address given";
}

/// "FILE[,FILTER]"
std::string read_capture(const std::string& text, CaptureSettings& capture) {
  const std::size_t comma = text.find(',');
  capture.file = text.substr(0, comma);
  if (comma != std::string::npos) capture.filter = text.substr(comma + 1);
  if (capture.file.empty() && !text.empty())
    return "capture " + quoted(text) + " names no file: expected FILE or FILE,FILTER";
  return "";
}

}  // namespace

std::string read_settings(const mr_config* config, Settings& settings) {
  mr_config given{};
  if (config != nullptr) {
    if (config->struct_size < sizeof given.struct_size) return "struct_size of mr_config is not set";
    std::memcpy(&given, config, std::min(config->struct_size, sizeof given));
  }
  settings.device = text_of(given.device, "MILLRACE_DEV");
  if (settings.device.empty())
    return "no device: set MILLRACE_DEV, to af_packet:NAME for a network interface";

  ContextConfig& context = settings.context;
  const std::string address = text_of(given.address, "MILLRACE_ADDR");
  if (address.empty() && settings.device != "none")
    return "no address: set MILLRACE_ADDR, such as 198.18.0.1/24";
  if (std::string error = read_addresses(address, context.interface.addresses); !error.empty()) return error;
  if (std::string error = read_gateway(text_of(given.gateway, "MILLRACE_GW"), context); !error.empty())
    return error;

  CaptureSettings& capture = settings.capture;
  if (std::string error = read_capture(text_of(given.capture, "MILLRACE_CAPTURE"), capture); !error.empty())
    return error;
  if (std::string error = read_tcp(given.tcp, context.stack.tcp); !error.empty()) return error;

  struct Number {
    std::int64_t given;
    std::string_view name;
    const char* variable;
    std::int64_t min, max, value;
  };
  constexpr std::int64_t kMinute = 60000;
  Number mtu{given.mtu, "mtu", "MILLRACE_MTU", 576, 65535, 0};
  Number pool{static_cast<std::int64_t>(given.pool_bytes),
              "pool_bytes",
              "MILLRACE_POOL_BYTES",
              1 << 20,
              INT64_MAX,
              static_cast<std::int64_t>(context.stack.pool.bytes)};
  Number busy_poll{given.busy_poll_us, "busy_poll_us", "MILLRACE_BUSY_POLL_US", -1, 60 * kMinute * 1000, 0};
  Number drain{given.drain_ms, "drain_ms", "MILLRACE_DRAIN_MS", -1, 60 * kMinute, 0};
  Number descriptors{given.max_descriptors, "max_descriptors",       "MILLRACE_MAX_FDS", 1,
                     FdTable::kMaxLimit,    settings.max_descriptors};
  Number snap_length{given.capture_snaplen, "capture_snaplen", "MILLRACE_CAPTURE_SNAPLEN", 64, 262144,
                     capture.snap_length};
  Number limit{static_cast<std::int64_t>(given.capture_limit),
               "capture_limit",
               "MILLRACE_CAPTURE_LIMIT",
               4096,
               INT64_MAX,
               INT64_MAX};
  Number queues{given.queues, "queues", "MILLRACE_QUEUES", 1, ContextGroup::kMaxQueues, 1};
  Number tx_batch{given.tx_batch, "tx_batch", "MILLRACE_TX_BATCH", 1, 1024, context.tx_batch};
  for (Number* number :
       {&mtu, &pool, &busy_poll, &drain, &descriptors, &snap_length, &limit, &queues, &tx_batch}) {
    std::string error =
        number_of(number->given, number->name, number->variable, number->min, number->max, number->value);
    if (!error.empty()) return error;
  }
  context.interface.mtu = static_cast<std::uint32_t>(mtu.value);
  context.stack.pool.bytes = static_cast<std::size_t>(pool.value);
  if (busy_poll.value != 0)
    context.busy_poll = std::chrono::microseconds(std::max<std::int64_t>(busy_poll.value, 0));
  if (drain.value != 0) context.drain = std::chrono::milliseconds(std::max<std::int64_t>(drain.value, 0));
  capture.snap_length = static_cast<std::uint32_t>(snap_length.value);
  capture.limit = static_cast<std::uint64_t>(limit.value);
  settings.queues = static_cast<std::uint32_t>(queues.value);
  context.tx_batch = static_cast<std::uint32_t>(tx_batch.value);
  settings.max_descriptors = static_cast<std::uint32_t>(descriptors.value);
  return "";
}

}  // namespace millrace::posix
