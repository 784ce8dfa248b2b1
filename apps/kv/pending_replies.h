#pragma once

#include <cstddef>

#include <boost/intrusive/slist.hpp>

#include "message.h"

namespace millrace::kv {

/// The answers to one client that other threads have still to give, in the order of its commands, and what
/// stands between them:
///
///     output | message 0 · its `after` | message 1 · its `after` |
///
/// What is answered meanwhile is written behind the last one, and goes to the output once all before it is
/// there. Owns the messages.
class PendingReplies {
 public:
  explicit PendingReplies(MessagePool& pool) : pool_(pool) {}
  PendingReplies(const PendingReplies&) = delete;
  PendingReplies& operator=(const PendingReplies&) = delete;
  /// No message may be on its way any more.
  ~PendingReplies();

  void add(Message& message);
  /// Where to write what is answered now.
  [[nodiscard]] Output& tail(Output& output) { return messages_.empty() ? output : messages_.back().after; }
  /// Moves to the output what nothing before it is missing of.
  void collect(Output& output);

  [[nodiscard]] bool empty() const { return messages_.empty(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Bytes that wait between them.
  [[nodiscard]] std::size_t waiting() const {
    return messages_.empty() ? 0 : before_last_ + messages_.back().after.pending();
  }

 private:
  using Messages = boost::intrusive::slist<Message, boost::intrusive::cache_last<true>,
                                           boost::intrusive::constant_time_size<false>>;

  MessagePool& pool_;
  Messages messages_;
  std::size_t size_ = 0;
  std::size_t before_last_ = 0;  // bytes behind all messages but the last
};

}  // namespace millrace::kv
