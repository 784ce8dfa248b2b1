#include "differential_cases.h"

namespace millrace::posix::test {

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& some :
       {naming_cases(), connect_cases(), transfer_cases(), option_cases(), ip_option_cases(), message_cases(),
        batch_cases(), v6_cases(), fast_open_cases(), epoll_cases(), nested_cases()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace millrace::posix::test
