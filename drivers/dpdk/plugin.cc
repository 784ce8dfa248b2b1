// What libmillrace-dpdk.so gives to whoever loads it.
#include "dpdk/config.h"
#include "dpdk/dpdk_device.h"
#include "plugin_main.h"

MILLRACE_PLUGIN(millrace::drivers::DpdkConfig, millrace::drivers::dpdk::DpdkDevice)
