#pragma once

#include <cstdint>
#include <string>

#include "unique_fd.h"

namespace millrace::drivers {

/// Opens an AF_PACKET socket with PACKET_VNET_HDR that receives nothing yet. Empty, or one line that says
/// what failed and what to do.
[[nodiscard]] std::string open_packet_socket(UniqueFd& socket);
/// Binds to an interface; with protocol 0 the socket only sends. False: errno says why.
[[nodiscard]] bool bind_packet_socket(int fd, int interface_index, std::uint16_t protocol);
/// Sets a buffer's size beyond the system's limit where that is allowed, else up to it.
void set_socket_buffer(int fd, int force_option, int plain_option, std::uint32_t bytes);
/// Takes a pending error off the socket.
void clear_socket_error(int fd);

}  // namespace millrace::drivers
