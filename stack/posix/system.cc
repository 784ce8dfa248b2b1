#include "posix/system.h"

namespace millrace::posix::sys {

Ppoll cancellable_ppoll = &::ppoll;

}  // namespace millrace::posix::sys
