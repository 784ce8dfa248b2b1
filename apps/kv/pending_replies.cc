#include "pending_replies.h"

namespace millrace::kv {

PendingReplies::~PendingReplies() {
  messages_.clear_and_dispose([](Message* message) { delete message; });
}

void PendingReplies::add(Message& message) {
  before_last_ = waiting();
  messages_.push_back(message);
  ++size_;
}

void PendingReplies::collect(Output& output) {
  while (!messages_.empty() && messages_.front().answered) {
    Message& message = messages_.front();
    messages_.pop_front();
    --size_;
    if (!messages_.empty()) before_last_ -= message.after.pending();
    if (!message.reply.empty()) output.append(message.reply);
    output.take_from(message.after);
    pool_.give_back(message);
  }
}

}  // namespace millrace::kv
