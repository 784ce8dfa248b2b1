#include "posix/privilege.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace millrace::posix {

bool has_privilege(Privilege privilege) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) return false;
  const unsigned number = privilege == Privilege::kNetAdmin ? CAP_NET_ADMIN : CAP_NET_RAW;
  return (sets[number / 32].effective & (1u << (number % 32))) != 0;
}

bool may_set_priority(int priority) {
  return (priority >= 0 && priority <= 6) || has_privilege(Privilege::kNetAdmin) ||
         has_privilege(Privilege::kNetRaw);
}

}  // namespace millrace::posix
