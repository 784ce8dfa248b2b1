#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace millrace::load {

/// Seconds that all CPUs of the machine together have been busy, from /proc/stat (proc(5)), which counts in
/// ticks of 10 ms: what a packet costs at both ends, interrupts included.
class MachineCpu {
 public:
  MachineCpu() : begin_(busy_ticks()) {}
  [[nodiscard]] double seconds() const {
    return static_cast<double>(busy_ticks() - begin_) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

 private:
  static std::uint64_t busy_ticks() {
    std::ifstream stat("/proc/stat");
    std::string name;
    std::uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
    stat >> name >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
    return user + nice + system + irq + softirq;
  }

  std::uint64_t begin_;
};

}  // namespace millrace::load
