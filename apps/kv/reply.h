#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "output.h"

namespace millrace::kv {

/// Writes answers in the protocol that the client has chosen: RESP2, or RESP3, which knows maps, sets and one
/// null for all.
class Reply {
 public:
  explicit Reply(Output& output) : output_(&output) {}
  /// What is written from now on goes there.
  void redirect(Output& output) { output_ = &output; }

  void set_protocol(int protocol) { protocol_ = protocol; }
  [[nodiscard]] int protocol() const { return protocol_; }
  /// CLIENT REPLY OFF and SKIP: what is written goes nowhere.
  void mute(bool yes) { muted_ = yes; }
  [[nodiscard]] bool muted() const { return muted_; }
  [[nodiscard]] std::uint64_t errors() const { return errors_; }

  void ok() { put("+OK\r\n"); }
  void simple(std::string_view text);
  /// With its code: "ERR syntax error". A line's end inside becomes a space.
  void error(std::string_view text);
  void integer(std::int64_t number);
  void bulk(std::string_view bytes);
  void bulk(const ValueRef& value);
  void null();
  void null_array() { put(protocol_ == 3 ? "_\r\n" : "*-1\r\n"); }
  /// An integer as the text of a bulk string.
  void bulk_integer(std::int64_t number);

  // So many elements, or pairs, follow.
  void array(std::size_t count) { header('*', count); }
  void map(std::size_t pairs) { protocol_ == 3 ? header('%', pairs) : header('*', pairs * 2); }
  void set(std::size_t count) { header(protocol_ == 3 ? '~' : '*', count); }
  /// Text for people: a verbatim string of RESP3.
  void text(std::string_view bytes);

 private:
  void put(std::string_view bytes) {
    if (!muted_) output_->append(bytes);
  }
  void header(char type, std::size_t count);

  Output* output_;
  int protocol_ = 2;
  bool muted_ = false;
  std::uint64_t errors_ = 0;
};

}  // namespace millrace::kv
