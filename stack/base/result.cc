#include "base/result.h"

namespace millrace {

std::string_view to_string(Error error) {
  switch (error) {
    case Error::kNone:
      return "success";
    case Error::kAgain:
      return "would block";
    case Error::kInvalid:
      return "invalid argument";
    case Error::kNotConnected:
      return "not connected";
    case Error::kIsConnected:
      return "already connected";
    case Error::kInProgress:
      return "in progress";
    case Error::kAlready:
      return "already in progress";
    case Error::kConnectionRefused:
      return "connection refused";
    case Error::kConnectionReset:
      return "connection reset";
    case Error::kConnectionAborted:
      return "connection aborted";
    case Error::kPipe:
      return "broken pipe";
    case Error::kTimedOut:
      return "timed out";
    case Error::kHostUnreachable:
      return "host unreachable";
    case Error::kNetworkUnreachable:
      return "network unreachable";
    case Error::kNetworkDown:
      return "network down";
    case Error::kAddressInUse:
      return "address in use";
    case Error::kAddressNotAvailable:
      return "address not available";
    case Error::kDestinationRequired:
      return "destination required";
    case Error::kMessageSize:
      return "message too long";
    case Error::kNoBuffers:
      return "no buffer space";
    case Error::kNoMemory:
      return "out of memory";
    case Error::kNotSupported:
      return "not supported";
    case Error::kProtocolNotAvailable:
      return "protocol option not available";
    case Error::kAddressFamily:
      return "address family not supported";
    case Error::kAccess:
      return "access denied";
    case Error::kPermission:
      return "operation not permitted";
    case Error::kProtocol:
      return "protocol error";
    case Error::kShutdown:
      return "shut down";
    case Error::kDomain:
      return "value out of domain";
  }
  return "unknown error";
}

}  // namespace millrace
