// lwip-echo: an echo server on lwIP, for the comparison: what else does the same on the same wire.

#include <cstdio>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

#include "lwip_host.h"
#include "program.h"

namespace {

int run(int argc, char** argv) {
  std::string device, address;
  std::uint16_t port = 7;
  CLI::App app("An echo server on lwIP. It polls its device without sleeping.", "lwip-echo");
  app.add_option("--dev", device, "the device, as for the other programs")->required();
  app.add_option("--addr", address, "its address: 198.18.0.2/24")->required();
  app.add_option("--port", port)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto own = millrace::IpPrefix::parse(address);
  if (!own || !own->address.is_v4()) throw std::runtime_error("--addr is no IPv4 address");
  millrace::bench::LwipHost host(device, *own);
  host.listen(port);
  std::printf("lwip-echo: serving on %s %s\n", device.c_str(), address.c_str());
  std::fflush(stdout);
  while (millrace::bench::stopped == 0) host.poll();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return millrace::bench::main_of("lwip-echo", run, argc, argv);
}
