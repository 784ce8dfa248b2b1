// queue-scaling: what a second core adds. A server with a context for each of several queues, each on a core
// of its own with its own client on that core, beside one such pair while the other cores have nothing to do.

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "pair.h"
#include "program.h"

namespace millrace::bench {
namespace {

struct Settings {
  unsigned pairs = 2;
  unsigned connections = 16;
  std::size_t bytes = 64;
  double seconds = 1;
  unsigned rounds = 5;
};

/// What several threads did in one round.
struct Rate {
  double wall = 0;     ///< a second
  double own_cpu = 0;  ///< a second of processor time that they got: what others took is left out
};

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// The processors that this process may use, of which each thread gets one.
std::vector<int> processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<int> all;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) all.push_back(cpu);
  }
  return all;
}

void pin_to(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0)
    throw std::runtime_error("cannot bind a thread to processor " + std::to_string(cpu));
}

/// Threads on a processor each, that do the same for some time.
class Round {
 public:
  Round(unsigned threads, double seconds) : count_(threads), seconds_(seconds) {}

  /// `work(thread)` is called in each, one after the other, and gives what is called over and over: it
  /// returns how much it did.
  template <typename Work>
  Rate run(Work&& work) {
    std::vector<std::thread> threads;
    const std::vector<int> cpus = processors();
    for (unsigned index = 0; index < count_; ++index) {
      threads.emplace_back([&, index] { run_one(cpus[index], work, index); });
      while (ready_ <= index && !failed_) std::this_thread::yield();
    }
    begun_ = true;
    for (std::thread& thread : threads) thread.join();
    if (failed_) std::rethrow_exception(failure_);
    return sum_;
  }

 private:
  template <typename Work>
  void run_one(int cpu, Work& work, unsigned index) {
    try {
      pin_to(cpu);
      auto step = work(index);
      for (int i = 0; i < 1000; ++i) step();  // warm
      ++ready_;
      while (!begun_) std::this_thread::yield();
      double done = 0;
      const double began = seconds_of(CLOCK_MONOTONIC), cpu_began = seconds_of(CLOCK_THREAD_CPUTIME_ID);
      double now = began;
      while (now - began < seconds_ && !failed_ && stopped == 0) {
        for (int i = 0; i < 16; ++i) done += step();
        now = seconds_of(CLOCK_MONOTONIC);
      }
      const double cpu_time = seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu_began;
      const std::lock_guard guard(mutex_);
      sum_.wall += done / (now - began);
      sum_.own_cpu += done / cpu_time;
    } catch (...) {
      const std::lock_guard guard(mutex_);
      failure_ = std::current_exception();
      failed_ = true;
    }
  }

  unsigned count_;
  double seconds_;
  std::atomic<unsigned> ready_{0};
  std::atomic<bool> begun_{false}, failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
  Rate sum_;
};

/// With as many pairs at work, of which each has a queue; the other queues have nothing to do.
Rate requests(const Settings& settings, unsigned queues, unsigned pairs) {
  static unsigned hosts = 0;
  const std::string wires = "scaling-" + std::to_string(hosts++);
  Host server(wires, queues, "198.18.0.2/24");
  Host client(wires, queues, "198.18.0.1/24");
  const Rate rate = Round(pairs, settings.seconds).run([&](unsigned queue) {
    return [pair = std::make_shared<Pair>(server, client, queue, settings.connections, settings.bytes)] {
      pair->exchange_all();
      return pair->connections();
    };
  });
  if (server.handed_over() + client.handed_over() > 4 * queues)  // ARP alone
    throw std::runtime_error("frames came in by the wrong queue");
  return rate;
}

/// What the machine has to give: threads that share nothing at all.
Rate counting(const Settings& settings, unsigned threads) {
  return Round(threads, settings.seconds / 4).run([](unsigned index) {
    return [numbers = std::vector<unsigned>(4096, index + 1)]() mutable {
      std::partial_sum(numbers.begin(), numbers.end(), numbers.begin());
      return numbers.back() == 0 ? 0.0 : 1.0;
    };
  });
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(int argc, char** argv) {
  Settings settings;
  CLI::App app{"What a second core adds to a stack with a queue for each"};
  app.add_option("--pairs", settings.pairs, "queues, cores and clients")->check(CLI::Range(2, 64));
  app.add_option("--connections", settings.connections, "of each client")->check(CLI::Range(1, 10000));
  app.add_option("--bytes", settings.bytes, "of a request and of its answer")->check(CLI::Range(1, 1400));
  app.add_option("--seconds", settings.seconds, "of each measurement")->check(CLI::Range(0.05, 600.0));
  app.add_option("--rounds", settings.rounds, "of which the medians are told")->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  if (processors().size() < settings.pairs)
    throw std::runtime_error("there are " + std::to_string(processors().size()) + " processors for " +
                             std::to_string(settings.pairs) + " pairs");
  std::printf("requests a second, %u connections a pair, %zu bytes\n", settings.connections, settings.bytes);
  std::printf("%12s %12s %12s %8s %14s %14s\n", "one queue", "one pair", "all pairs", "ratio", "by own time",
              "sharing none");
  std::vector<double> ratios, own;
  for (unsigned round = 0; round < settings.rounds && stopped == 0; ++round) {
    const Rate machine_one = counting(settings, 1), machine = counting(settings, settings.pairs);
    const Rate alone = requests(settings, 1, 1), one = requests(settings, settings.pairs, 1);
    const Rate all = requests(settings, settings.pairs, settings.pairs);
    ratios.push_back(all.wall / one.wall);
    own.push_back(all.own_cpu / one.own_cpu);
    std::printf("%12.0f %12.0f %12.0f %8.3f %14.3f %14.3f\n", alone.wall, one.wall, all.wall, ratios.back(),
                own.back(), machine.wall / machine_one.wall);
    std::fflush(stdout);
  }
  if (ratios.empty()) return 1;
  std::printf("median of %zu: %.3f by the clock, %.3f by the processor time they got\n", ratios.size(),
              median(ratios), median(own));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::main_of("queue-scaling", &millrace::bench::run, argc, argv);
}
