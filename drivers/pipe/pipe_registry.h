#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "pipe/pipe.h"

namespace millrace::drivers {

class SharedPipe;

/// Pipes by name: two opens of the same name are the two ends of one wire. Ends opened here may live in
/// different threads: frames are copied into memory of the wire and out again, under a mutex, and an eventfd
/// wakes the sleeper. An end that is closed can be opened again; the link is down while only one is open. Any
/// thread may open and close.
class PipeRegistry {
 public:
  PipeRegistry() = default;
  PipeRegistry(const PipeRegistry&) = delete;
  PipeRegistry& operator=(const PipeRegistry&) = delete;

  /// Whoever opens first decides on the options; for the second, `options` must be absent or the same (its
  /// name and addresses apart). `mac`: this end's own address. Null, and `error` says why.
  [[nodiscard]] std::unique_ptr<NetDevice> open(const std::string& name,
                                                const std::optional<PipeOptions>& options,
                                                const std::optional<MacAddress>& mac, std::string& error);

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<SharedPipe>, std::less<>> pipes_;
};

/// The one that specs refer to.
[[nodiscard]] PipeRegistry& process_pipes();

}  // namespace millrace::drivers
