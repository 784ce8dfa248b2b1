#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/intrusive/list.hpp>

#include "command.h"
#include "common/event_loop.h"
#include "output.h"
#include "pending_replies.h"
#include "reply.h"
#include "resp_parser.h"

namespace millrace::kv {

class Server;

namespace tag {
struct All;
struct Unsent;
}  // namespace tag
template <typename Tag>
using ClientHook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<Tag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// A connection: what it has sent and is not yet understood, and what it has still to be sent. The server
/// owns it, and buries it at the end of a turn.
///
/// A client that does not read its answers is not listened to while more than a bound of them waits: what it
/// costs is that bound and one command's answer. Where other threads have keys, it is not listened to either
/// while a bound of its commands is under way to them, or while a command that needs all threads waits until
/// those before it are answered.
class Client final : public apps::Handler, public ClientHook<tag::All>, public ClientHook<tag::Unsent> {
 public:
  /// What CLIENT REPLY has asked for.
  enum class Replies : std::uint8_t { kOn, kOff, kSkipNext, kSkip };

  /// Takes the descriptor.
  Client(Server& server, int fd, std::uint64_t id);
  ~Client() override;

  void on_event(std::uint32_t events) override;
  /// Sends what waits. The server calls it when the turn's work is safe.
  void flush();
  /// No more is read, and nothing sent.
  void doom();
  /// Sends what waits, then ends.
  void close_after_replies();
  [[nodiscard]] bool doomed() const { return doomed_; }

  // Commands that are carried out elsewhere, or later.
  /// Another thread carries it out: what is answered from now on waits behind it.
  void await(Message& message);
  /// It has come back.
  void answered(Message& message);
  [[nodiscard]] bool has_outstanding() const { return !awaited_.empty(); }
  /// Carried out when nothing is outstanding, before what follows.
  void postpone(Message& message) { postponed_ = &message; }

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] Reply& reply() { return reply_; }
  [[nodiscard]] std::string address() const;
  [[nodiscard]] std::string local_address() const;
  [[nodiscard]] std::size_t pending_query() const { return pending_.size() + parser_.held(); }
  [[nodiscard]] std::size_t pending_output() const { return output_.pending() + awaited_.waiting(); }
  [[nodiscard]] std::size_t footprint() const;

  // What the commands know of it.
  std::string name;
  bool authenticated = false;
  bool no_evict = false;
  Replies replies = Replies::kOn;
  Resolved last_command;
  std::int64_t created_ms = 0, last_used_ms = 0;

 private:
  void receive();
  void receive_body();
  [[nodiscard]] bool received(ssize_t got);
  /// Carries out what is complete in the bytes; keeps the rest.
  void execute(std::string_view bytes);
  void keep(std::string_view rest);
  void update_interest();
  /// Whether it must not go on before something has come back.
  [[nodiscard]] bool must_wait() const;
  void go_on();

  Server& server_;
  int fd_;
  std::uint64_t id_;
  std::uint32_t interest_;
  bool blocked_ = false;  // the socket takes no more now
  bool paused_ = false;   // too much waits to be sent
  bool waiting_ = false;  // see must_wait()
  bool closing_ = false;
  bool doomed_ = false;
  std::string pending_;  // received, not carried out
  RespParser parser_;
  Output output_;
  Reply reply_;
  PendingReplies awaited_;
  Message* postponed_ = nullptr;  // its own
};

}  // namespace millrace::kv
