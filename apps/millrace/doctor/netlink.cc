#include "doctor/netlink.h"

#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <type_traits>
#include <vector>

#include "unique_fd.h"

namespace millrace::doctor {

namespace {

using Visit = std::function<void(unsigned type, const std::uint8_t* data, std::size_t size)>;

/// Calls `visit` with each attribute, nested ones unopened.
void each_attribute(const std::uint8_t* at, std::size_t left, const Visit& visit) {
  rtattr header{};
  while (left >= sizeof header) {
    std::memcpy(&header, at, sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > left) return;
    visit(header.rta_type & NLA_TYPE_MASK, at + sizeof header, header.rta_len - sizeof header);
    const std::size_t step = RTA_ALIGN(header.rta_len);
    if (step >= left) return;
    at += step;
    left -= step;
  }
}

int number(const std::uint8_t* data, std::size_t size) {
  int value = 0;
  std::memcpy(&value, data, std::min(size, sizeof value));
  return value;
}

/// One question with one attribute, and the kernel's one answer.
template <class Header>
class Exchange {
 public:
  Exchange(std::uint16_t type, const Header& header) {
    message_.resize(NLMSG_SPACE(sizeof header));
    nlmsghdr envelope{};
    envelope.nlmsg_type = type;
    envelope.nlmsg_flags = NLM_F_REQUEST;
    std::memcpy(message_.data(), &envelope, sizeof envelope);
    std::memcpy(message_.data() + NLMSG_HDRLEN, &header, sizeof header);
  }
  void add(std::uint16_t type, const void* data, std::size_t size) {
    rtattr header{};
    header.rta_type = type;
    header.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size));
    const std::size_t at = message_.size();
    message_.resize(at + RTA_SPACE(size));
    std::memcpy(message_.data() + at, &header, sizeof header);
    std::memcpy(message_.data() + at + RTA_LENGTH(0), data, size);
  }
  /// False: no answer, or an error.
  [[nodiscard]] bool ask() {
    const drivers::UniqueFd socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
    const timeval patience{.tv_sec = 2, .tv_usec = 0};
    const auto length = static_cast<std::uint32_t>(message_.size());
    std::memcpy(message_.data(), &length, sizeof length);
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        ::send(socket.get(), message_.data(), message_.size(), 0) < 0)
      return false;
    const ssize_t got = ::recv(socket.get(), answer_.data(), answer_.size(), 0);
    nlmsghdr envelope{};
    if (got < static_cast<ssize_t>(NLMSG_SPACE(sizeof(Header)))) return false;
    std::memcpy(&envelope, answer_.data(), sizeof envelope);
    size_ = std::min<std::size_t>(envelope.nlmsg_len, static_cast<std::size_t>(got));
    return envelope.nlmsg_type != NLMSG_ERROR && size_ >= NLMSG_SPACE(sizeof(Header));
  }
  [[nodiscard]] Header header() const {
    Header header{};
    std::memcpy(&header, answer_.data() + NLMSG_HDRLEN, sizeof header);
    return header;
  }
  void attributes(const Visit& visit) const {
    constexpr std::size_t kBefore = NLMSG_SPACE(sizeof(Header));
    each_attribute(answer_.data() + kBefore, size_ - kBefore, visit);
  }

 private:
  std::vector<std::uint8_t> message_;
  std::array<std::uint8_t, 32768> answer_{};
  std::size_t size_ = 0;
};

}  // namespace

std::optional<LinkAttributes> query_link(int index) {
  ifinfomsg header{};
  header.ifi_index = index;
  Exchange<ifinfomsg> exchange(RTM_GETLINK, header);
  if (!exchange.ask()) return std::nullopt;
  LinkAttributes link;
  exchange.attributes([&link](unsigned type, const std::uint8_t* data, std::size_t size) {
    if (type == IFLA_MASTER) link.master = number(data, size);
    if (type == IFLA_LINK) link.peer = number(data, size);
    if (type == IFLA_LINK_NETNSID) link.peer_namespace = number(data, size);
    if (type == IFLA_LINKINFO) {
      each_attribute(data, size, [&link](unsigned inner, const std::uint8_t* text, std::size_t length) {
        if (inner == IFLA_INFO_KIND)
          link.kind.assign(text, text + ::strnlen(reinterpret_cast<const char*>(text), length));
      });
    }
    if (type == IFLA_XDP) {
      each_attribute(data, size, [&link](unsigned inner, const std::uint8_t* value, std::size_t length) {
        if (inner == IFLA_XDP_ATTACHED) link.xdp = length != 0 && *value != XDP_ATTACHED_NONE;
      });
    }
  });
  return link;
}

std::optional<Route> query_route(const IpAddress& address) {
  rtmsg header{};
  header.rtm_family = address.is_v4() ? AF_INET : AF_INET6;
  header.rtm_dst_len = address.is_v4() ? 32 : 128;
  header.rtm_flags = RTM_F_FIB_MATCH;
  Exchange<rtmsg> exchange(RTM_GETROUTE, header);
  exchange.add(RTA_DST, address.bytes().data(), address.is_v4() ? 4 : 16);
  if (!exchange.ask()) return std::nullopt;
  const rtmsg answer = exchange.header();
  Route route;
  if (answer.rtm_type == RTN_LOCAL) route.type = Route::Type::kLocal;
  if (answer.rtm_type == RTN_BROADCAST) route.type = Route::Type::kBroadcast;
  route.prefix = {IpAddress::any(address.family()), answer.rtm_dst_len};
  exchange.attributes([&](unsigned type, const std::uint8_t* data, std::size_t size) {
    if (type == RTA_OIF) route.interface = number(data, size);
    if (type != RTA_DST || size != (address.is_v4() ? 4u : 16u)) return;
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), data, size);
    route.prefix.address =
        address.is_v4() ? IpAddress::v4(bytes[0], bytes[1], bytes[2], bytes[3]) : IpAddress::v6(bytes);
  });
  return route;
}

std::optional<int> query_namespace_id(int fd) {
  rtgenmsg header{};
  header.rtgen_family = AF_UNSPEC;
  Exchange<rtgenmsg> exchange(RTM_GETNSID, header);
  exchange.add(NETNSA_FD, &fd, sizeof fd);
  if (!exchange.ask()) return std::nullopt;
  std::optional<int> id;
  exchange.attributes([&id](unsigned type, const std::uint8_t* data, std::size_t size) {
    if (type == NETNSA_NSID) id = number(data, size);
  });
  return id && *id >= 0 ? id : std::nullopt;
}

}  // namespace millrace::doctor
