// What libmillrace-xdp.so gives to whoever loads it.
#include "af_xdp/af_xdp.h"
#include "plugin_main.h"

MILLRACE_PLUGIN(millrace::drivers::AfXdpConfig, millrace::drivers::AfXdpDevice)
