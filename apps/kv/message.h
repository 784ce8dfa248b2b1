#pragma once

#include <string>
#include <vector>

#include <boost/intrusive/slist.hpp>

#include "argument.h"
#include "command.h"
#include "output.h"

namespace millrace::kv {

class Client;

/// A command on its way to the thread that has its keys, or that waits for its time to come; it has its
/// arguments itself. The client's thread makes it and gets it back with the answer's bytes.
struct Message : boost::intrusive::slist_base_hook<> {
  explicit Message(BufferPool& pool) : after(pool) {}
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message() = default;

  /// Copies what lies in the receive buffer and takes the long ones, which must have no other reader.
  void take(Arguments& words);
  /// Drops what it holds but for a little room for the next command.
  void clear();

  Message* next = nullptr;  // in a mailbox
  unsigned from = 0;        // the client's thread
  Resolved command;
  int protocol = 2;
  bool muted = false;
  Arguments arguments;
  std::string reply;

  // Of the client's thread alone.
  Client* client = nullptr;
  bool answered = false;
  Output after;  // what the client is answered behind it

 private:
  std::string bytes_;  // that the short arguments are in
};

/// Messages of a thread's clients, for using them again.
class MessagePool {
 public:
  explicit MessagePool(BufferPool& buffers) : buffers_(buffers) {}
  MessagePool(const MessagePool&) = delete;
  MessagePool& operator=(const MessagePool&) = delete;
  ~MessagePool();

  /// The caller owns it until it gives it back.
  [[nodiscard]] Message& take();
  void give_back(Message& message);

 private:
  BufferPool& buffers_;
  std::vector<Message*> free_;
};

}  // namespace millrace::kv
