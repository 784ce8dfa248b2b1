// Runs the scripts of tests/posix by the C library's socket calls and prints what each noted: on the kernel,
// or, with the preload library before it, on the stack. differential.py compares the two.
#include <cstdio>
#include <exception>
#include <vector>

#include "../posix/differential_cases.h"

namespace {

using namespace millrace::posix::test;

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& some :
       {naming_cases(), connect_cases(), transfer_cases(), option_cases(), ip_option_cases(), message_cases(),
        batch_cases(), v6_cases(), epoll_cases(), nested_cases()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace

int main() {
  for (const Case& one : all_cases()) {
    std::printf("case %s\n", one.name);
    Script script(kernel_calls());
    try {
      one.run(script);
    } catch (const std::exception& problem) {
      script.note(std::string("cannot set the scene: ") + problem.what());
    }
    for (const std::string& note : script.notes()) std::printf("  %s\n", note.c_str());
    std::fflush(stdout);
  }
  return 0;
}
