#include "dpdk/eal.h"

#include <pthread.h>
#include <rte_alarm.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace millrace::drivers::dpdk {
namespace {

/// The CPUs this thread may run on, as the EAL writes lists: "0,1,5".
std::string allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string list;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    }
  }
  return list.empty() ? "0" : list;
}

/// Free hugepages of the size that the kernel takes by default, in MB.
std::uint64_t free_huge_mb() {
  std::ifstream file("/proc/meminfo");
  std::uint64_t pages = 0, kilobytes = 0;
  for (std::string line; std::getline(file, line);) {
    unsigned long long number = 0;
    if (std::sscanf(line.c_str(), "HugePages_Free: %llu", &number) == 1) pages = number;
    if (std::sscanf(line.c_str(), "Hugepagesize: %llu", &number) == 1) kilobytes = number;
  }
  return pages * kilobytes / 1024;
}

}  // namespace

Eal& Eal::instance() {
  // Never destroyed: its threads run until the process ends.
  static Eal* const eal = new Eal;
  return *eal;
}

std::string Eal::start(const EalOptions& options) {
  const std::lock_guard guard(start_mutex_);
  if (started_ && !options.pci_address.empty() && !with_pci_) {
    return "PCI devices must be opened before virtual ones: DPDK was started without PCI";
  }
  if (started_ || !failure_.empty()) return failure_;
  std::promise<std::string> result;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([this, &options, &result] {
    pthread_setname_np(pthread_self(), "millrace-eal");
    std::string failure = initialise(options);
    const bool failed = !failure.empty();
    result.set_value(std::move(failure));
    if (!failed) serve();
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  failure_ = result.get_future().get();
  started_ = failure_.empty();
  with_pci_ = !options.pci_address.empty();
  process_ = getpid();
  return failure_;
}

std::string Eal::initialise(const EalOptions& options) {
  const EalMachine machine{allowed_cpus(), free_huge_mb()};
  if (std::string missing = missing_memory(options, machine); !missing.empty()) return missing;
  open_log();
  std::vector<std::string> arguments = eal_arguments(options, machine);
  // The EAL reorders and keeps them.
  static std::vector<std::string>* const kept = new std::vector<std::string>(std::move(arguments));
  static std::vector<char*>* const pointers = new std::vector<char*>;
  for (std::string& argument : *kept) pointers->push_back(argument.data());
  pointers->push_back(nullptr);
  if (rte_eal_init(static_cast<int>(kept->size()), pointers->data()) >= 0) return {};
  std::string why = take_complaint();
  if (why.empty()) why = rte_strerror(rte_errno);
  return "DPDK does not start: " + why;
}

void Eal::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto next = std::min_element(jobs_.begin(), jobs_.end(),
                                       [](const Job& a, const Job& b) { return a.due < b.due; });
    if (next == jobs_.end()) {
      changed_.wait(lock);
    } else if (const Clock::time_point due = next->due; due > Clock::now()) {
      changed_.wait_until(lock, due);
    } else {
      const Job job = std::move(*next);
      jobs_.erase(next);
      lock.unlock();
      job.work();
      lock.lock();
    }
  }
}

bool Eal::run(const std::function<void()>& job) {
  if (getpid() != process_) return false;
  std::promise<void> done;
  post(nullptr, {}, [&] {
    job();
    done.set_value();
  });
  done.get_future().wait();
  return true;
}

void Eal::post(const void* owner, std::chrono::milliseconds delay, std::function<void()> job) {
  const std::lock_guard guard(mutex_);
  jobs_.push_back({owner, Clock::now() + delay, std::move(job)});
  changed_.notify_one();
}

void Eal::withdraw(const void* owner) {
  const std::lock_guard guard(mutex_);
  std::erase_if(jobs_, [owner](const Job& job) { return job.owner == owner; });
}

bool Eal::run_among_interrupts(const std::function<void()>& job) {
  struct Call {
    const std::function<void()>& job;
    std::promise<void> done;
  };
  Call call{job, {}};
  const auto answer = [](void* argument) {
    auto& given = *static_cast<Call*>(argument);
    given.job();
    given.done.set_value();
  };
  if (rte_eal_alarm_set(1, answer, &call) != 0) return false;  // 1 µs from now
  call.done.get_future().wait();
  return true;
}

void Eal::open_log() {
  FILE* stream = fopencookie(this, "w", {nullptr, &on_log, nullptr, nullptr});
  if (stream == nullptr) return;
  setvbuf(stream, nullptr, _IOLBF, 1024);
  rte_openlog_stream(stream);
  rte_log_set_global_level(RTE_LOG_ERR);
}

ssize_t Eal::on_log(void* cookie, const char* text, std::size_t size) {
  Eal& eal = *static_cast<Eal*>(cookie);
  const std::lock_guard guard(eal.log_mutex_);
  std::string_view line(text, size);
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  // The first complaint says why; those after it say what did not work for that reason.
  if (!line.empty() && eal.complaint_.empty()) eal.complaint_ = line.substr(line.rfind('\n') + 1);
  return static_cast<ssize_t>(size);
}

std::string Eal::take_complaint() {
  const std::lock_guard guard(log_mutex_);
  return std::exchange(complaint_, {});
}

}  // namespace millrace::drivers::dpdk
