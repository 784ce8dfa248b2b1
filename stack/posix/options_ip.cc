// IPPROTO_IP and IPPROTO_IPV6.
#include <netinet/in.h>

#include "posix/error.h"
#include "posix/options.h"

namespace millrace::posix {

namespace {

/// The flag behind an option that asks for ancillary data. Null: it is no such option.
bool* ip_request(AncillaryOptions& ancillary, int option) {
  switch (option) {
    case IP_PKTINFO:
      return &ancillary.packet_info;
    case IP_RECVTOS:
      return &ancillary.tos;
    case IP_RECVTTL:
      return &ancillary.ttl;
    case IP_RECVORIGDSTADDR:
      return &ancillary.original_destination;
    default:
      return nullptr;
  }
}

bool* v6_request(AncillaryOptions& ancillary, int option) {
  switch (option) {
    case IPV6_RECVPKTINFO:
      return &ancillary.v6_packet_info;
    case IPV6_RECVTCLASS:
      return &ancillary.v6_class;
    case IPV6_RECVHOPLIMIT:
      return &ancillary.v6_hops;
    default:
      return nullptr;
  }
}

/// Options that are off and cannot be switched on.
bool ip_always_off(int option) {
  return option == IP_RECVERR || option == IP_TRANSPARENT || option == IP_RECVOPTS || option == IP_RETOPTS;
}
bool v6_always_off(int option) {
  return option == IPV6_RECVERR || option == IPV6_TRANSPARENT;
}

/// Linux's rt_tos2priority(): IP_TOS sets SO_PRIORITY too.
int priority_of(int tos) {
  static constexpr int kPriorities[] = {0, 2, 6, 4};  // best effort, bulk, interactive, interactive bulk
  return kPriorities[(tos & 0x1e) >> 3];
}

}  // namespace

long set_ip_level(SocketFile& file, int option, OptionInput input, int number, Instant now) {
  if (bool* request = ip_request(file.settings.ancillary, option)) {
    *request = number != 0;
    return 0;
  }
  if (ip_always_off(option)) return number == 0 ? 0 : -ENOPROTOOPT;
  switch (option) {
    case IP_TOS: {
      const long wrong = failure(file.socket().set_option(SocketOption::kTypeOfService, number, now).error());
      if (wrong == 0) file.settings.hints.set(kPriorityHint, priority_of(number & 0xff));
      return wrong;
    }
    case IP_OPTIONS:
      return input.length == 0 ? 0 : -ENOPROTOOPT;
    default:
      return kNotThere;
  }
}

long get_ip_level(SocketFile& file, int option, OptionOutput output) {
  if (option != IP_OPTIONS) {
    const bool* request = ip_request(file.settings.ancillary, option);
    if (request == nullptr && !ip_always_off(option)) return kNotThere;
    const int on = request != nullptr && *request ? 1 : 0;
    // ip(7): one byte will do.
    if (*output.length > 0 && *output.length < sizeof on) return output.store(static_cast<unsigned char>(on));
    return output.store(on);
  }
  *output.length = 0;  // no options are ever sent
  return 0;
}

long set_v6_level(SocketFile& file, int option, int number, Instant now) {
  if (bool* request = v6_request(file.settings.ancillary, option)) {
    *request = number != 0;
    return 0;
  }
  if (v6_always_off(option)) return number == 0 ? 0 : -ENOPROTOOPT;
  switch (option) {
    case IPV6_V6ONLY:
      return failure(file.socket().set_option(SocketOption::kV6Only, number != 0 ? 1 : 0, now).error());
    case IPV6_FREEBIND:
      return failure(file.socket().set_option(SocketOption::kFreeBind, number != 0 ? 1 : 0, now).error());
    default:
      return kNotThere;
  }
}

long get_v6_level(SocketFile& file, int option, OptionOutput output) {
  if (const bool* request = v6_request(file.settings.ancillary, option))
    return output.store(static_cast<int>(*request));
  if (v6_always_off(option)) return output.store(0);
  switch (option) {
    case IPV6_V6ONLY:
    case IPV6_FREEBIND: {
      const Result<std::int64_t> value =
          file.socket().option(option == IPV6_V6ONLY ? SocketOption::kV6Only : SocketOption::kFreeBind);
      if (!value) return failure(value.error());
      return output.store(static_cast<int>(*value));
    }
    case IPV6_UNICAST_HOPS: {
      const int hops = file.settings.hints.get(kV6HopsHint);
      return output.store(hops >= 0 ? hops : 64);
    }
    default:
      return kNotThere;
  }
}

}  // namespace millrace::posix
