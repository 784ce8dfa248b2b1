#pragma once

#include <cassert>
#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>

namespace millrace {

/// What can go wrong inside the stack. The posix room maps each to an errno of the same name; nothing else
/// knows errno.
enum class Error : std::uint8_t {
  kNone = 0,
  kAgain,                 ///< would block
  kInvalid,               ///< EINVAL
  kNotConnected,          ///< ENOTCONN
  kIsConnected,           ///< EISCONN
  kInProgress,            ///< EINPROGRESS
  kAlready,               ///< EALREADY
  kConnectionRefused,     ///< ECONNREFUSED
  kConnectionReset,       ///< ECONNRESET
  kConnectionAborted,     ///< ECONNABORTED
  kPipe,                  ///< EPIPE
  kTimedOut,              ///< ETIMEDOUT
  kHostUnreachable,       ///< EHOSTUNREACH
  kNetworkUnreachable,    ///< ENETUNREACH
  kNetworkDown,           ///< ENETDOWN
  kAddressInUse,          ///< EADDRINUSE
  kAddressNotAvailable,   ///< EADDRNOTAVAIL
  kDestinationRequired,   ///< EDESTADDRREQ
  kMessageSize,           ///< EMSGSIZE
  kNoBuffers,             ///< ENOBUFS
  kNoMemory,              ///< ENOMEM
  kNotSupported,          ///< EOPNOTSUPP
  kProtocolNotAvailable,  ///< ENOPROTOOPT
  kAddressFamily,         ///< EAFNOSUPPORT
  kAccess,                ///< EACCES
  kPermission,            ///< EPERM
  kProtocol,              ///< EPROTO
  kShutdown,              ///< ESHUTDOWN
  kDomain,                ///< EDOM
};

[[nodiscard]] std::string_view to_string(Error error);

/// A value or an Error.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, error) { assert(error != Error::kNone); }  // NOLINT
  /// A value made in its place: a large one that is filled in field by field costs much to move.
  explicit Result(std::in_place_t) : state_(std::in_place_index<0>) {}

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] Error error() const { return ok() ? Error::kNone : std::get<1>(state_); }
  [[nodiscard]] T& value() { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const { return std::get<0>(state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

/// Success or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(error) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return error_ == Error::kNone; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] Error error() const { return error_; }

 private:
  Error error_ = Error::kNone;
};

}  // namespace millrace
