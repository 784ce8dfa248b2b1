// millrace-kv: a key-value server that speaks the protocol of Redis, over the stack or, with --kernel, over
// the kernel's sockets in the very same loop.

#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "common/process.h"
#include "common/server_threads.h"
#include "common/signals.h"
#include "config.h"
#include "server.h"

namespace {

using millrace::kv::Config;

void announce(const Config& config) {
  const std::string where = config.kernel ? std::string("the kernel's sockets") : config.stack.device;
  const std::string threads =
      config.threads() > 1 ? ", " + std::to_string(config.threads()) + " threads" : "";
  std::printf("millrace-kv: serving on %s%s%s, port %u%s\n", where.c_str(),
              config.stack.address.empty() ? "" : " ", config.stack.address.c_str(),
              static_cast<unsigned>(config.port), threads.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto config = millrace::kv::read_config(argc, argv);
    if (!config) return 0;
    millrace::apps::allow_many_descriptors();
    const millrace::apps::StackRun stack(!config->kernel, config->stack);
    // The store's threads have them blocked, too.
    millrace::apps::block_signals(millrace::kv::kEndingSignals);
    millrace::kv::Shards shards(*config);
    {
      const auto& api = config->kernel ? millrace::apps::kernel_sockets() : millrace::apps::stack_sockets();
      millrace::apps::ServerThreads<millrace::kv::Server> servers(config->threads(), [&](unsigned index) {
        return std::make_unique<millrace::kv::Server>(api, *config, shards, index);
      });
      announce(*config);
      servers.run();
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace-kv: %s\n", error.what());
    return 1;
  }
}
