#pragma once

#include <cstdint>

#include <boost/intrusive/list.hpp>

#include "base/seq.h"
#include "base/timer_wheel.h"
#include "tcp/flow_table.h"

namespace millrace::tcp {

class Tcp;

/// What is left of a connection in TIME-WAIT: enough to acknowledge a repeated FIN and to judge a new SYN
/// (RFC 9293 §3.6.1, RFC 6191). Listed oldest first, so that the table can be bounded.
class TimeWait final
    : public Flow,
      public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  TimeWait(Tcp& tcp, const FlowKey& key);
  ~TimeWait();

  SeqNum snd_nxt, rcv_nxt;
  std::uint32_t ts_recent = 0, ts_offset = 0;
  std::uint16_t window = 0;  ///< as on the wire
  bool timestamps = false;
  Instant ts_recent_at{};
  Instant last_ack{};
  Timer timer;

 private:
  Tcp& tcp_;
};

}  // namespace millrace::tcp
