#pragma once

#include <cstdint>

#include <boost/intrusive/list.hpp>

namespace millrace {

/// Readiness bits, with the values of Linux's EPOLL* (the posix room asserts that), as epoll and poll report
/// them.
using Ready = std::uint32_t;
inline constexpr Ready kReadable = 0x001;  ///< EPOLLIN
inline constexpr Ready kPriority = 0x002;  ///< EPOLLPRI: urgent data
inline constexpr Ready kWritable = 0x004;  ///< EPOLLOUT
inline constexpr Ready kError = 0x008;     ///< EPOLLERR: SO_ERROR is set
inline constexpr Ready kHangup = 0x010;    ///< EPOLLHUP: both directions are shut
inline constexpr Ready kReadHangup =
    0x2000;  ///< EPOLLRDHUP: the peer, or shutdown(SHUT_RD), ended the read half

class Socket;
using ReadyHook =
    boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

}  // namespace millrace
