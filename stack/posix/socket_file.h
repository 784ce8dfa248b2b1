#pragma once

#include <memory>
#include <optional>

#include "posix/ancillary.h"
#include "posix/file.h"
#include "posix/hints.h"
#include "posix/twins.h"
#include "socket/socket.h"

namespace millrace::posix {

/// A socket with a descriptor: the stack's nonblocking Socket, and what files and blocking need.
class SocketFile final : public File, public LivesInSlabs {
 public:
  SocketFile(Context& context, std::unique_ptr<Socket> socket)
      : File(Kind::kSocket, context), socket_(std::move(socket)) {
    socket_->user = this;
  }

  [[nodiscard]] Socket& socket() { return *socket_; }
  [[nodiscard]] const Socket& socket() const { return *socket_; }
  [[nodiscard]] bool is_stream() const { return socket_->type() == SocketType::kStream; }
  [[nodiscard]] std::uint32_t poll_events() const override;
  /// The events of a readiness, with the aliases that Linux sets beside them (EPOLLRDNORM, ...).
  [[nodiscard]] std::uint32_t to_poll_events(Ready ready) const;

  /// close(2): lets go of the socket and, when asked to, waits as SO_LINGER says. The table has forgotten the
  /// descriptor already; consumes the table's reference.
  void close(Instant now, bool may_linger);

 private:
  std::unique_ptr<Socket> socket_;  // beside what else each call touches

 public:
  bool nonblocking = false;
  /// Its parts in other contexts; null: it has none. One that is a part of another's has them too.
  std::shared_ptr<Twins> twins;

  /// Options that the stack below does not know. An accepted socket has its listener's.
  struct Settings {
    Duration receive_timeout = Duration::max();  ///< SO_RCVTIMEO; max: none
    Duration send_timeout = Duration::max();     ///< SO_SNDTIMEO
    std::uint32_t receive_low_water = 1;         ///< SO_RCVLOWAT
    AncillaryOptions ancillary;
    /// Options that a datagram socket keeps without any effect, here as in Linux.
    struct Inert {
      bool keepalive = false, out_of_band_inline = false;
      std::optional<std::uint32_t> linger;
    } inert;
    HintValues hints{};
  } settings;

  std::uint64_t cookie = 0;  ///< SO_COOKIE; 0: nobody has asked

  /// Its name could not be had everywhere: starts again with a socket that has none.
  void replace_socket(std::unique_ptr<Socket> socket) {
    socket_ = std::move(socket);
    socket_->user = this;
  }
};

}  // namespace millrace::posix
