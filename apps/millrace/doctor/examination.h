#pragma once

#include <optional>
#include <string>
#include <vector>

#include "doctor/files.h"
#include "doctor/finding.h"
#include "doctor/interface_facts.h"
#include "doctor/target.h"

namespace millrace::doctor {

/// All that the checks look at. They read it, and change neither it nor the machine.
struct Examination {
  Files files;
  Target target;
  bool driver_built_in = true;
  std::optional<InterfaceFacts> interface;  ///< the target's, where there is one
  std::optional<PeerFacts> peer;            ///< of that interface, where it is in reach
  std::vector<InterfaceFacts> interfaces;   ///< all, when no device was named
  std::vector<AddressClaim> claims;         ///< of the addresses that the stack is to have
};

/// One check; what does not apply to the target finds nothing.
using Check = Findings (*)(const Examination&);

}  // namespace millrace::doctor
