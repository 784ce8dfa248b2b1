#include "doctor/ethtool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "unique_fd.h"

namespace millrace::doctor {

template <class Answer>
bool Ethtool::ask(std::uint32_t command, Answer& answer) const {
  const drivers::UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ifreq request{};
  if (!socket || interface_.size() >= sizeof request.ifr_name) return false;
  std::memcpy(request.ifr_name, interface_.data(), interface_.size());
  answer.cmd = command;
  request.ifr_data = reinterpret_cast<char*>(&answer);
  return ::ioctl(socket.get(), SIOCETHTOOL, &request) == 0;
}

std::optional<std::uint32_t> Ethtool::value(std::uint32_t command) const {
  ethtool_value answer{};
  return ask(command, answer) ? std::optional(answer.data) : std::nullopt;
}

std::optional<Offloads> Ethtool::offloads() const {
  const std::optional<std::uint32_t> tx_checksum = value(ETHTOOL_GTXCSUM);
  if (!tx_checksum) return std::nullopt;
  const auto is_on = [this](std::uint32_t command) { return value(command).value_or(0) != 0; };
  return Offloads{.rx_checksum = is_on(ETHTOOL_GRXCSUM),
                  .tx_checksum = *tx_checksum != 0,
                  .tso = is_on(ETHTOOL_GTSO),
                  .gso = is_on(ETHTOOL_GGSO),
                  .gro = is_on(ETHTOOL_GGRO),
                  .lro = (value(ETHTOOL_GFLAGS).value_or(0) & ETH_FLAG_LRO) != 0};
}

std::optional<Rings> Ethtool::rings() const {
  ethtool_ringparam answer{};
  if (!ask(ETHTOOL_GRINGPARAM, answer)) return std::nullopt;
  return Rings{.rx = answer.rx_pending,
               .rx_max = answer.rx_max_pending,
               .tx = answer.tx_pending,
               .tx_max = answer.tx_max_pending};
}

std::optional<Channels> Ethtool::channels() const {
  ethtool_channels answer{};
  if (!ask(ETHTOOL_GCHANNELS, answer)) return std::nullopt;
  return Channels{.rx = answer.rx_count, .tx = answer.tx_count, .combined = answer.combined_count};
}

std::optional<bool> Ethtool::carrier() const {
  const std::optional<std::uint32_t> link = value(ETHTOOL_GLINK);
  return link ? std::optional(*link != 0) : std::nullopt;
}

std::string Ethtool::driver() const {
  ethtool_drvinfo answer{};
  return ask(ETHTOOL_GDRVINFO, answer) ? answer.driver : "";
}

}  // namespace millrace::doctor
