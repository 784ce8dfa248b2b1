#pragma once

#include <memory_resource>
#include <utility>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/slist.hpp>

#include "packet/buffer.h"
#include "posix/waiter.h"
#include "socket/socket.h"

namespace millrace::posix {
class Context;
}

/// What mr_recv_zc lent: in its context's list, under its lock.
struct mr_loan : millrace::posix::AutoHook {
  explicit mr_loan(millrace::posix::Context& owner) : context(&owner) {}

  millrace::posix::Context* context;  ///< null: it has ended, and the memory with it
  millrace::Loan loan;
};

namespace millrace::posix {

class LentSends;
using ZeroCopyDone = void (*)(void* argument);

/// One mr_send_zc: the program's memory, until neither a queue nor a packet nor a device needs it.
class LentSend final
    : public MemoryLender,
      public boost::intrusive::slist_base_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>> {
 public:
  LentSend(LentSends& sends, ZeroCopyDone done, void* argument)
      : sends_(sends), done_(done), argument_(argument) {}

  [[nodiscard]] BufferRef lend(const std::uint8_t* bytes, std::uint32_t size) override;

 private:
  friend class LentSends;
  static void release(Buffer* buffer);

  LentSends& sends_;
  ZeroCopyDone done_;
  void* argument_;
  std::size_t pieces_ = 0;  ///< Buffers that somebody has
  bool in_call_ = true;     ///< more may be lent
};

/// The lent sends of a context, under its lock.
class LentSends {
 public:
  using List = boost::intrusive::slist<LentSend, boost::intrusive::cache_last<true>,
                                       boost::intrusive::constant_time_size<false>>;

  LentSends() = default;
  LentSends(const LentSends&) = delete;
  LentSends& operator=(const LentSends&) = delete;
  ~LentSends() { tell(over_); }

  /// The call has lent all it will; `taken`: something of it was sent or queued. Otherwise the send never
  /// was.
  void end_call(LentSend& send, bool taken);
  /// Something waits for tell().
  [[nodiscard]] bool any_over() const { return !over_.empty(); }
  [[nodiscard]] List take_over() { return std::move(over_); }
  /// Tells the program, without the lock, and forgets them.
  static void tell(List& sends);

 private:
  friend class LentSend;

  List over_;
  std::pmr::unsynchronized_pool_resource buffers_;
};

}  // namespace millrace::posix
