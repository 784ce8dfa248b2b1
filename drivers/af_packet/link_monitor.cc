#include "af_packet/link_monitor.h"

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace millrace::drivers {
namespace {

constexpr std::size_t align4(std::size_t n) {
  return (n + 3) & ~std::size_t{3};
}

template <typename T>
T load(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

bool LinkMonitor::open(std::string name, int index) {
  name_ = std::move(name);
  index_ = attached_ = index;
  socket_ = UniqueFd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)};
  if (!socket_) return false;
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  request_state();
  update();
  return true;
}

void LinkMonitor::request_state() {
  struct {
    nlmsghdr header;
    ifinfomsg body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.ifi_family = AF_UNSPEC;
  request.body.ifi_index = index_;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  // The kernel answers before sendto() returns. It cannot fail for want of anything but memory; then the
  // state stays.
  (void)::sendto(socket_.get(), &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&kernel),
                 sizeof kernel);
}

void LinkMonitor::update() {
  while (true) {
    const ssize_t n = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n > 0) {
      read_messages(static_cast<std::size_t>(n));
    } else if (n < 0 && errno == ENOBUFS) {
      request_state();  // news were lost: ask for the sum of them
    } else if (n >= 0 || errno != EINTR) {
      return;
    }
  }
}

void LinkMonitor::refresh() {
  if (state_ != State::kGone) request_state();
  update();
}

DeviceEvent LinkMonitor::take_event() {
  const State now = state();
  if (now == told_) return DeviceEvent::kNone;
  told_ = now;
  switch (now) {
    case State::kUp:
      return DeviceEvent::kLinkUp;
    case State::kDown:
      return DeviceEvent::kLinkDown;
    case State::kGone:
      return DeviceEvent::kGone;
  }
  return DeviceEvent::kNone;
}

void LinkMonitor::read_messages(std::size_t length) {
  for (std::size_t at = 0; at + sizeof(nlmsghdr) <= length;) {
    const auto header = load<nlmsghdr>(&buffer_[at]);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - at) return;
    const std::size_t end = at + header.nlmsg_len;
    const std::size_t body = at + sizeof header;
    if (header.nlmsg_type == RTM_NEWLINK || header.nlmsg_type == RTM_DELLINK) {
      if (body + sizeof(ifinfomsg) > end) return;
      const auto link = load<ifinfomsg>(&buffer_[body]);
      // A bridge tells of its ports in messages of its own family: those are not about the interface itself.
      if (link.ifi_family == AF_UNSPEC) {
        on_link(header.nlmsg_type == RTM_DELLINK, link.ifi_index, link.ifi_flags, body + align4(sizeof link),
                end);
      }
    } else if (header.nlmsg_type == NLMSG_ERROR && body + sizeof(nlmsgerr) <= end) {
      if (load<nlmsgerr>(&buffer_[body]).error == -ENODEV) state_ = State::kGone;
    }
    at += align4(header.nlmsg_len);
  }
}

void LinkMonitor::on_link(bool deleted, int index, unsigned flags, std::size_t attributes, std::size_t end) {
  if (state_ == State::kGone) {
    if (deleted || !has_our_name(attributes, end)) return;
    index_ = index;
  } else if (index != index_) {
    return;
  }
  read_counters(attributes, end);
  if (deleted) {
    state_ = State::kGone;
    tx_dropped_before_ += std::exchange(tx_dropped_, 0);
    return;
  }
  // IFF_LOWER_UP is the carrier: a veth whose peer is down has none.
  const bool up = (flags & IFF_UP) != 0 && (flags & IFF_LOWER_UP) != 0;
  state_ = up ? State::kUp : State::kDown;
}

std::span<const std::uint8_t> LinkMonitor::find_attribute(unsigned type, std::size_t attributes,
                                                          std::size_t end) const {
  for (std::size_t at = attributes; at + sizeof(rtattr) <= end;) {
    const auto attribute = load<rtattr>(&buffer_[at]);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > end - at) break;
    if (attribute.rta_type == type)
      return {&buffer_[at + sizeof attribute], attribute.rta_len - sizeof attribute};
    at += align4(attribute.rta_len);
  }
  return {};
}

bool LinkMonitor::has_our_name(std::size_t attributes, std::size_t end) const {
  const auto name = find_attribute(IFLA_IFNAME, attributes, end);
  const auto* text = reinterpret_cast<const char*>(name.data());
  return !name.empty() && name_ == std::string_view(text, ::strnlen(text, name.size()));
}

void LinkMonitor::read_counters(std::size_t attributes, std::size_t end) {
  const auto counters = find_attribute(IFLA_STATS64, attributes, end);
  constexpr std::size_t kAt = offsetof(rtnl_link_stats64, tx_dropped);
  if (counters.size() >= kAt + sizeof tx_dropped_) tx_dropped_ = load<std::uint64_t>(counters.data() + kAt);
}

}  // namespace millrace::drivers
