#include "posix/adoption.h"

#include <algorithm>
#include <bit>

namespace millrace::posix {

Adoption::~Adoption() {
  const Instant now = clock_now();
  for (; taken_ != 0; taken_ &= taken_ - 1) {
    Context& context = group_[static_cast<std::size_t>(std::countr_zero(taken_))];
    ContextLock guard(context);
    context.end_adoption(now);
  }
}

bool Adoption::take(std::size_t index, Instant now) {
  Context& context = group_[index];
  if (context.attended(now)) return true;
  ContextLock guard(context);
  const Instant until = context.adopt(now, fds_);
  if (until <= now) return false;
  taken_ |= std::uint64_t{1} << index;
  deadline_ = std::min(deadline_, until);
  return true;
}

}  // namespace millrace::posix
