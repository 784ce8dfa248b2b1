#include <linux/tcp.h>
#include <netinet/in.h>

#include <string>

#include "posix/error.h"
#include "posix/options.h"
#include "posix/tcp_info.h"
#include "tcp/congestion_list.h"

namespace millrace::posix {

namespace {

constexpr std::size_t kNameSize = 16;  // TCP_CA_NAME_MAX

long set_congestion(SocketFile& file, OptionInput input, Instant now) {
  if (input.length < 1) return -EINVAL;
  if (input.value == nullptr) return -EFAULT;
  const auto* text = static_cast<const char*>(input.value);
  const std::string name(text, strnlen(text, std::min<std::size_t>(input.length, kNameSize - 1)));
  const auto index = tcp::find_congestion(name);
  if (!index) return -ENOENT;
  return failure(
      file.socket().set_option(SocketOption::kCongestion, static_cast<std::int64_t>(*index), now).error());
}

long get_congestion(SocketFile& file, OptionOutput output) {
  const Result<std::int64_t> index = file.socket().option(SocketOption::kCongestion);
  if (!index) return failure(index.error());
  char name[kNameSize] = {};
  tcp::congestion_list()[static_cast<std::size_t>(*index)].name.copy(name, sizeof name - 1);
  return output.store(name, sizeof name);
}

}  // namespace

long set_tcp_level(SocketFile& file, int option, OptionInput input, Instant now) {
  if (option == TCP_CONGESTION) return set_congestion(file, input, now);
  if (option != TCP_INQ) return kNotThere;
  if (input.length < sizeof(int)) return -EINVAL;
  if (input.value == nullptr) return -EFAULT;
  const int on = input.load<int>();
  if (on != 0 && on != 1) return -EINVAL;
  file.settings.ancillary.bytes_left = on != 0;
  return 0;
}

long get_tcp_level(SocketFile& file, int option, OptionOutput output) {
  switch (option) {
    case TCP_CONGESTION:
      return get_congestion(file, output);
    case TCP_CC_INFO:  // what Linux says of algorithms that have nothing to tell
      *output.length = 0;
      return 0;
    case TCP_INQ:
      return output.store(static_cast<int>(file.settings.ancillary.bytes_left));
    case TCP_INFO: {
      TcpInfo info;
      if (!file.socket().tcp_info(info, clock_now())) return -ENOPROTOOPT;
      return output.store(to_linux(info));
    }
    default:
      return kNotThere;
  }
}

}  // namespace millrace::posix
