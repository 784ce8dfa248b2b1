#include <errno.h>

#include <array>
#include <memory>
#include <new>

#include "posix/calls.h"
#include "posix/library.h"
#include "posix/transfer.h"
#include "posix/zero_copy.h"

namespace millrace::posix {

namespace {

/// A lent send while its call lasts, also when the thread is cancelled in it.
class LentCall {
 public:
  LentCall(LentSends& sends, LentSend& send) : sends_(sends), send_(send) {}
  LentCall(const LentCall&) = delete;
  LentCall& operator=(const LentCall&) = delete;
  ~LentCall() { sends_.end_call(send_, taken_); }
  void returns(long result) { taken_ = result > 0; }

 private:
  LentSends& sends_;
  LentSend& send_;
  bool taken_ = true;
};

/// Where the packets' bytes lie; how many pieces.
std::size_t describe(PacketQueue& packets, iovec* slices) {
  std::size_t count = 0;
  for (Packet& packet : packets) {
    packet.for_each_piece(0, packet.length(), [&](std::span<const std::uint8_t> piece) {
      // Not to be written, but struct iovec has no const.
      slices[count++] = {const_cast<std::uint8_t*>(piece.data()), piece.size()};  // NOLINT
    });
  }
  return count;
}

}  // namespace

long send_lent(int fd, const iovec* slices, std::size_t count, int flags, ZeroCopyDone done, void* argument) {
  if ((flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR)) != 0) return -EOPNOTSUPP;
  long result;
  {
    LockedFile locked(fd);
    if (!locked) return -EBADF;
    if (!locked.is_socket()) return -ENOTSOCK;
    if (!locked.socket_file().is_stream()) return -EOPNOTSUPP;
    LentSends& sends = locked.context().lent_sends();
    auto* send = new (std::nothrow) LentSend(sends, done, argument);
    if (send == nullptr) return -ENOMEM;
    LentCall call(sends, *send);
    OutgoingMessage message;
    message.lender = send;
    result = send_to_file(locked, slices, count, flags, message);
    call.returns(result);
  }
  return with_signal(result, true, flags);
}

long receive_lent(int fd, iovec* slices, std::size_t& count, int flags, mr_loan*& loan) {
  if ((flags & ~MSG_DONTWAIT) != 0) return -EOPNOTSUPP;
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (!locked.socket_file().is_stream()) return -EOPNOTSUPP;
  Context& context = locked.context();
  std::unique_ptr<mr_loan> made(new (std::nothrow) mr_loan(context));
  if (!made) return -ENOMEM;
  constexpr std::size_t kMostPieces = 64;
  std::array<IoSlice, kMostPieces> room;
  room.fill({nullptr, kMaxTransfer / kMostPieces});
  ReceiveFlags receive_flags;
  receive_flags.loan = &made->loan;
  ReceivedMessage message;
  Received received;
  const std::span<const IoSlice> out(room.data(), std::min(count, room.size()));
  if (const long wrong = receive_once(locked.socket_file(), out, receive_flags, flags, message, received);
      wrong != 0)
    return wrong;
  count = describe(made->loan.packets, slices);
  if (count == 0) return 0;
  context.loans().push_back(*made);
  loan = made.release();
  return static_cast<long>(received.bytes);
}

void give_back(mr_loan* loan) {
  const std::unique_ptr<mr_loan> owned(loan);
  if (loan == nullptr || loan->context == nullptr) return;
  ContextLock guard(*loan->context);
  loan->context->stack().tcp().take_back(loan->loan);
  loan->unlink();
}

}  // namespace millrace::posix
