// millrace-kv: a key-value server that speaks the protocol of Redis, over the stack or, with --kernel, over
// the kernel's sockets in the very same loop.

#include <cstdio>
#include <exception>
#include <string>

#include "common/process.h"
#include "config.h"
#include "server.h"

namespace {

using millrace::kv::Config;

void announce(const Config& config) {
  const std::string where = config.kernel ? std::string("the kernel's sockets") : config.dev;
  std::printf("millrace-kv: serving on %s%s%s, port %u\n", where.c_str(), config.addr.empty() ? "" : " ",
              config.addr.c_str(), static_cast<unsigned>(config.port));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto config = millrace::kv::read_config(argc, argv);
    if (!config) return 0;
    millrace::apps::allow_many_descriptors();
    const millrace::apps::StackRun stack(!config->kernel, {.device = config->dev,
                                                           .address = config->addr,
                                                           .gateway = config->gw,
                                                           .tcp = config->tcp,
                                                           .mtu = config->mtu,
                                                           .busy_poll = config->busy_poll,
                                                           .capture = config->capture});
    {
      millrace::kv::Server server(
          config->kernel ? millrace::apps::kernel_sockets() : millrace::apps::stack_sockets(), *config);
      announce(*config);
      server.run();
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace-kv: %s\n", error.what());
    return 1;
  }
}
