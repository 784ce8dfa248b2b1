#include "dpdk/eal_arguments.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <sstream>
#include <string_view>

namespace millrace::drivers::dpdk {
namespace {

/// Hugepages that hold the pools of a device.
constexpr std::uint64_t kEnoughHugeMb = 128;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// The user has said where DPDK takes its memory from.
bool names_memory(const std::vector<std::string>& words) {
  constexpr std::array<std::string_view, 5> kOptions{"--in-memory", "--no-huge", "--huge-dir", "-m",
                                                     "--socket-mem"};
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return std::find(kOptions.begin(), kOptions.end(), word.substr(0, word.find('='))) != kOptions.end();
  });
}

}  // namespace

std::vector<std::string> eal_arguments(const EalOptions& options, const EalMachine& machine) {
  std::vector<std::string> all{"millrace", "--no-telemetry", "--lcores", "0@(" + machine.cpus + ")"};
  const auto add = [&](std::initializer_list<std::string> more) { all.insert(all.end(), more); };
  add({"--file-prefix", "millrace-" + std::to_string(getpid())});
  if (options.pci_address.empty()) {
    add({"--no-pci"});
  } else {
    add({"-a", options.pci_address});
  }
  const std::vector<std::string> given = words_of(options.arguments);
  const bool chosen = names_memory(given);
  if (!chosen && machine.free_huge_mb >= kEnoughHugeMb) {
    // One file a segment list: virtio_user hands few descriptors to its peer.
    add({"--in-memory", "--single-file-segments"});
    if (options.pci_address.empty()) add({"--iova-mode=va"});
  } else if (!chosen) {
    add({"--no-huge", "-m", std::to_string(options.memory_mb), "--no-shconf"});
  }
  all.insert(all.end(), given.begin(), given.end());
  return all;
}

std::string missing_memory(const EalOptions& options, const EalMachine& machine) {
  if (!options.physical_addresses || machine.free_huge_mb >= kEnoughHugeMb ||
      names_memory(words_of(options.arguments)))
    return {};
  return "device " + options.pci_address + " is without an IOMMU and needs " + std::to_string(kEnoughHugeMb) +
         " MB of hugepages, of which " + std::to_string(machine.free_huge_mb) +
         " MB are free: sysctl -w vm.nr_hugepages=512";
}

}  // namespace millrace::drivers::dpdk
