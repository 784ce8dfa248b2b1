#pragma once

#include <string>
#include <vector>

namespace millrace::posix {

class Context;
class ContextGroup;
class FdTable;

/// What `millrace ss` and `millrace stats` talk to: a stream socket at <run directory>/<pid>.sock, and a
/// thread, millrace-ctl, that answers requests, one client at a time, and sleeps otherwise. The protocol is
/// told in control_answers.h.
///
/// A program does not depend on it: where the socket cannot be made there is none. What it needs is its
/// descriptors (close-on-exec), one thread, and for moments the context's lock; never packet memory. A
/// program that closes descriptors it does not know closes these too, and may then use their numbers: the
/// thread looks before it touches them.
class Control {
 public:
  Control() = default;
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control() { stop(); }

  /// Both must stay until stop(). Returns one line that says why there is no control socket, or nothing.
  std::string start(ContextGroup& group, FdTable& fds);
  std::string start(Context& context, FdTable& fds);
  /// Ends the thread and removes the socket; without the context's lock held. Idempotent. In a child made by
  /// fork() it does what after_fork_in_child() does.
  void stop();
  /// The child has no such thread, and the socket is its parent's: closes the descriptors and forgets it all,
  /// so that start() may be called again. Async-signal-safe.
  void after_fork_in_child();

  [[nodiscard]] bool running() const { return server_ != nullptr; }
  /// Of the socket; empty when there is none.
  [[nodiscard]] std::string path() const;

 private:
  std::string start(std::vector<Context*> contexts, FdTable& fds);
  void end();
  class Server;
  Server* server_ = nullptr;
  /// Chosen once, for the children too: a program may clean its environment before it forks.
  std::string run_directory_;
};

}  // namespace millrace::posix
