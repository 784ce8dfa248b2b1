// What libmillrace-dpdk.so gives to whoever loads it.
#include "dpdk/config.h"
#include "dpdk/dpdk_device.h"

extern "C" {

[[gnu::visibility("default")]] extern const char millrace_dpdk_build[];
const char millrace_dpdk_build[] = MILLRACE_VERSION;

[[gnu::visibility("default")]] millrace::NetDevice* millrace_dpdk_open(
    const millrace::drivers::DpdkConfig& config, std::string& error);
millrace::NetDevice* millrace_dpdk_open(const millrace::drivers::DpdkConfig& config, std::string& error) {
  return millrace::drivers::dpdk::DpdkDevice::open(config, error).release();
}
}
