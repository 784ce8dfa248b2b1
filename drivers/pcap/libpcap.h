#pragma once

#include <pcap/pcap.h>

#include <string>

namespace millrace::drivers {

/// libpcap's functions, taken from the library the first time that somebody needs them: a program under the
/// preload library would else have libpcap loaded into it, and all that libpcap brings along.
struct LibPcap {
  decltype(&::pcap_open_dead) open_dead = nullptr;
  decltype(&::pcap_fopen_offline_with_tstamp_precision) fopen_offline = nullptr;
  decltype(&::pcap_next_ex) next = nullptr;
  decltype(&::pcap_datalink) datalink = nullptr;
  decltype(&::pcap_datalink_val_to_name) datalink_name = nullptr;
  decltype(&::pcap_compile) compile = nullptr;
  decltype(&::pcap_freecode) freecode = nullptr;
  decltype(&::pcap_offline_filter) filter = nullptr;
  decltype(&::pcap_geterr) error_of = nullptr;
  decltype(&::pcap_close) close = nullptr;

  /// Null, and one line that says why, where the library is missing.
  [[nodiscard]] static const LibPcap* load(std::string& error);
};

}  // namespace millrace::drivers
