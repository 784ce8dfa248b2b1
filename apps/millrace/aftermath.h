#pragma once

#include <memory>
#include <vector>

#include "link/net_device.h"
#include "posix/context_group.h"
#include "posix/shared_state.h"

namespace millrace::command {

/// Ends what a stack left whose owner died: resets its live connections from the same queues, and answers for
/// a moment those who still send. Nothing to do when there are none.
void reset_what_is_left(const posix::ContextConfig& config, std::vector<std::unique_ptr<NetDevice>> queues,
                        posix::SharedState& state);

}  // namespace millrace::command
