#pragma once

#include <cstdint>
#include <string>

#include "socket/report.h"

namespace millrace::posix {

/// Appends one `socket` line of the control protocol (see control_answers.h), without its `fd`.
///
///     net state local peer recvq sendq        always; states are ss's names
///     orphan=1                                the application let go of it
///     timer=on expires=200,0                 kind (on, keepalive, timewait, persist); ms left, expiries so
///     far mem=r,rb,t,tb,d                         bytes held and their limit, receiving and sending;
///     datagrams dropped cc=cubic ts=1 sack=1 wscale=7,7 ...      with info: TCP_INFO's names and units;
///     zeros are left out
void append_socket(std::string& line, const SocketReport& report);

/// " key=number"
void append_number(std::string& line, const char* key, std::uint64_t value);

}  // namespace millrace::posix
