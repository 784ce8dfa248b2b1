#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace millrace::tcp {

/// The User Timeout Option (RFC 5482): how long data may stay unacknowledged before a connection is given up,
/// as either end tells the other. In the RFC's words:
///
///     ENABLED      Config::user_timeout_option
///     CHANGEABLE   until the application sets TCP_USER_TIMEOUT
///     ADV_UTO      what the application has set, and only then is it sent; else five minutes
///     REMOTE_UTO   what the peer has said last
class UserTimeout {
 public:
  static constexpr Duration kDefault = 300s;      ///< RFC 9293 §3.9.1
  static constexpr Duration kLowerLimit = 100s;   ///< L_LIMIT: R2 (RFC 1122 §4.2.3.5) is no less
  static constexpr Duration kUpperLimit = 3600s;  ///< U_LIMIT: what a peer can make us hold its data for
  static constexpr std::uint32_t kOptionBytes = 4;

  /// The option's value: rounded up, in minutes where seconds do not reach; never 0, which is reserved.
  [[nodiscard]] static std::uint16_t encode(Duration timeout);
  /// 0: reserved.
  [[nodiscard]] static Duration decode(std::uint16_t value);

  /// The peer says so.
  void on_option(std::uint16_t value) {
    if (const Duration timeout = decode(value); timeout != Duration{0}) remote_ = timeout;
  }
  /// It has said so.
  [[nodiscard]] bool told() const { return remote_ != Duration{0}; }
  /// §3.1: min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)), and L_LIMIT is no less than the retransmission
  /// timeout. 0: nobody has said anything.
  [[nodiscard]] Duration adopted(Duration retransmission_timeout) const {
    if (remote_ == Duration{0}) return remote_;
    return std::min(kUpperLimit, std::max({kDefault, remote_, kLowerLimit, retransmission_timeout}));
  }

 private:
  Duration remote_{0};
};

}  // namespace millrace::tcp
