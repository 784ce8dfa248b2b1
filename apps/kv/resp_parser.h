#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "argument.h"

namespace millrace::kv {

/// Reads commands as clients of Redis send them: arrays of bulk strings ("*1\r\n$4\r\nPING\r\n"), or a line
/// of words. Goes on where it stopped for lack of bytes, so that each byte is looked at once:
///
///     buffer   *3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhel
///              |                              |        the caller keeps what is behind consumed() and
///              appends consumed()                     |        what it receives next
///                                             where parse() goes on
///
/// The body of a long argument does not go through the buffer: parse() asks for it (kBody), and the caller
/// receives into body() until body_missing() is 0.
class RespParser {
 public:
  enum class Outcome : std::uint8_t { kCommand, kMore, kBody, kError };
  struct Limits {
    std::int64_t bulk = std::int64_t{512} << 20;  ///< bytes of an argument
    bool authenticated = true;                    ///< strangers are heard only as far as AUTH needs
  };

  /// `buffer` starts with the first byte that is not consumed; what was there at the last call that ended
  /// with kMore or kBody must still be there. kCommand: arguments() are valid as long as the buffer is not
  /// touched; empty: nothing was said. kError: error() says what to answer; nothing else can be read.
  Outcome parse(std::string_view buffer, const Limits& limits);

  /// Whoever wants to keep some may move them away.
  [[nodiscard]] Arguments& arguments() { return arguments_; }
  /// Bytes at the buffer's start that are done with. Counted from the last kCommand; 0 amid a command.
  [[nodiscard]] std::size_t consumed() const { return consumed_; }
  [[nodiscard]] const std::string& error() const { return error_; }

  [[nodiscard]] char* body() { return body_->data() + body_filled_; }
  [[nodiscard]] std::size_t body_missing() const { return body_ ? body_->size() - body_filled_ : 0; }
  void body_received(std::size_t bytes) { body_filled_ += bytes; }

  /// Bytes held for the long arguments of a command that has not come completely.
  [[nodiscard]] std::size_t held() const { return held_; }
  /// Lets go of the arguments' memory; after the command is done.
  void forget();

 private:
  struct Line {
    enum class State : std::uint8_t { kWhole, kMissing, kTooLong } state;
    std::string_view text;
  };
  [[nodiscard]] Line take_line(std::string_view buffer);
  /// The usual "$5\r\n" or "*12\r\n", without a search; nothing is taken when it is anything else.
  [[nodiscard]] std::optional<std::int64_t> take_short_length(std::string_view buffer, char type);
  void start_body(std::string_view buffer);
  Outcome parse_inline(std::string_view buffer);
  /// Nothing: go on with what follows.
  std::optional<Outcome> parse_header(std::string_view buffer, const Limits& limits);
  Outcome parse_bulks(std::string_view buffer, const Limits& limits);
  std::optional<Outcome> parse_bulk_header(std::string_view buffer, const Limits& limits);
  Outcome complete(std::string_view buffer);
  Outcome fail(std::string why);

  /// An argument's place in the buffer: the buffer may move until the command is complete.
  struct Place {
    std::size_t offset = 0, size = 0;
    ValueRef value;
  };

  enum class State : std::uint8_t { kStart, kHeader, kInline, kBulkHeader, kBulk } state_ = State::kStart;
  std::size_t position_ = 0;  // in the buffer
  std::size_t searched_ = 0;  // no line end from position_ to here
  std::int64_t bulks_left_ = 0;
  std::size_t bulk_size_ = 0;
  ValueRef body_;
  std::size_t body_filled_ = 0;
  std::size_t held_ = 0;
  std::vector<Place> places_;
  Arguments arguments_;
  std::vector<std::string> words_;  // of a line
  std::size_t consumed_ = 0;
  std::string error_;
};

}  // namespace millrace::kv
