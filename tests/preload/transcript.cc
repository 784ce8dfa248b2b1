// Runs the scripts of tests/posix by the C library's socket calls and prints what each noted: on the kernel,
// or, with the preload library before it, on the stack. differential.py compares the two.
#include <cstdio>
#include <exception>

#include "../posix/differential_cases.h"

int main() {
  using namespace millrace::posix::test;
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
