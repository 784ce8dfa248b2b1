#include "posix/error.h"

#include <errno.h>

namespace millrace::posix {

int to_errno(Error error) {
  switch (error) {
    case Error::kNone:
      return 0;
    case Error::kAgain:
      return EAGAIN;
    case Error::kInvalid:
      return EINVAL;
    case Error::kNotConnected:
      return ENOTCONN;
    case Error::kIsConnected:
      return EISCONN;
    case Error::kInProgress:
      return EINPROGRESS;
    case Error::kAlready:
      return EALREADY;
    case Error::kConnectionRefused:
      return ECONNREFUSED;
    case Error::kConnectionReset:
      return ECONNRESET;
    case Error::kConnectionAborted:
      return ECONNABORTED;
    case Error::kPipe:
      return EPIPE;
    case Error::kTimedOut:
      return ETIMEDOUT;
    case Error::kHostUnreachable:
      return EHOSTUNREACH;
    case Error::kNetworkUnreachable:
      return ENETUNREACH;
    case Error::kNetworkDown:
      return ENETDOWN;
    case Error::kAddressInUse:
      return EADDRINUSE;
    case Error::kAddressNotAvailable:
      return EADDRNOTAVAIL;
    case Error::kDestinationRequired:
      return EDESTADDRREQ;
    case Error::kMessageSize:
      return EMSGSIZE;
    case Error::kNoBuffers:
      return ENOBUFS;
    case Error::kNoMemory:
      return ENOMEM;
    case Error::kNotSupported:
      return EOPNOTSUPP;
    case Error::kProtocolNotAvailable:
      return ENOPROTOOPT;
    case Error::kAddressFamily:
      return EAFNOSUPPORT;
    case Error::kAccess:
      return EACCES;
    case Error::kPermission:
      return EPERM;
    case Error::kProtocol:
      return EPROTO;
    case Error::kShutdown:
      return ESHUTDOWN;
    case Error::kDomain:
      return EDOM;
  }
  return EIO;
}

}  // namespace millrace::posix
