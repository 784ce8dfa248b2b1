#include "resp_parser.h"

#include <algorithm>

#include <climits>

#include "inline_words.h"
#include "numbers.h"

namespace millrace::kv {

namespace {

constexpr std::size_t kLongestLine = std::size_t{64} * 1024;
constexpr std::size_t kLongArgument = std::size_t{16} * 1024;  // received where it will stay
constexpr std::int64_t kStrangersArguments = 10;
constexpr std::int64_t kStrangersBulk = 16384;
constexpr std::size_t kLineEnd = 2;  // \r\n

}  // namespace

RespParser::Outcome RespParser::fail(std::string why) {
  error_ = "ERR Protocol error: " + std::move(why);
  return Outcome::kError;
}

RespParser::Outcome RespParser::parse(std::string_view buffer, const Limits& limits) {
  consumed_ = 0;
  if (state_ == State::kStart) {
    if (buffer.empty()) return Outcome::kMore;
    forget();
    position_ = searched_ = 0;
    state_ = buffer[0] == '*' ? State::kHeader : State::kInline;
  }
  if (state_ == State::kInline) return parse_inline(buffer);
  if (state_ == State::kHeader) {
    if (const auto outcome = parse_header(buffer, limits)) return *outcome;
  }
  return parse_bulks(buffer, limits);
}

RespParser::Line RespParser::take_line(std::string_view buffer) {
  const std::size_t end = buffer.find('\r', std::max(searched_, position_));
  if (end == std::string_view::npos) {
    searched_ = buffer.size();
    const bool too_long = buffer.size() - position_ > kLongestLine;
    return {too_long ? Line::State::kTooLong : Line::State::kMissing, {}};
  }
  searched_ = end;
  if (end + 1 >= buffer.size()) return {Line::State::kMissing, {}};
  const std::string_view line = buffer.substr(position_, end - position_);
  position_ = end + kLineEnd;
  return {Line::State::kWhole, line};
}

std::optional<std::int64_t> RespParser::take_short_length(std::string_view buffer, char type) {
  constexpr std::size_t kShortest = 4, kLongest = 5;
  if (buffer.size() - position_ < kLongest || buffer[position_] != type) return std::nullopt;
  const auto digit = [&](std::size_t index) {
    return static_cast<unsigned>(buffer[position_ + index]) - unsigned{'0'};
  };
  const unsigned first = digit(1), second = digit(2);
  if (first > 9) return std::nullopt;
  if (buffer[position_ + 2] == '\r') {
    position_ += kShortest;
    return first;
  }
  if (first == 0 || second > 9 || buffer[position_ + 3] != '\r') return std::nullopt;
  position_ += kLongest;
  return first * 10 + second;
}

std::optional<RespParser::Outcome> RespParser::parse_header(std::string_view buffer, const Limits& limits) {
  auto count = take_short_length(buffer, '*');
  if (!count) {
    const Line line = take_line(buffer);
    if (line.state == Line::State::kTooLong) return fail("too big mbulk count string");
    if (line.state == Line::State::kMissing) return Outcome::kMore;
    count = parse_integer(line.text.substr(1));
    if (!count || *count > INT_MAX) return fail("invalid multibulk length");
  }
  if (*count > kStrangersArguments && !limits.authenticated) return fail("unauthenticated multibulk length");
  if (*count <= 0) return complete(buffer);
  bulks_left_ = *count;
  state_ = State::kBulkHeader;
  return std::nullopt;
}

std::optional<RespParser::Outcome> RespParser::parse_bulk_header(std::string_view buffer,
                                                                 const Limits& limits) {
  if (const auto size = take_short_length(buffer, '$')) {
    bulk_size_ = static_cast<std::size_t>(*size);
    state_ = State::kBulk;
    return std::nullopt;
  }
  const std::size_t start = position_;
  const Line line = take_line(buffer);
  if (line.state == Line::State::kTooLong) return fail("too big bulk count string");
  if (line.state == Line::State::kMissing) return Outcome::kMore;
  if (buffer[start] != '$') return fail(std::string("expected '$', got '") + buffer[start] + "'");
  const auto size = parse_integer(line.text.substr(1));
  if (!size || *size < 0 || *size > limits.bulk) return fail("invalid bulk length");
  if (*size > kStrangersBulk && !limits.authenticated) return fail("unauthenticated bulk length");
  bulk_size_ = static_cast<std::size_t>(*size);
  state_ = State::kBulk;
  if (bulk_size_ >= kLongArgument) start_body(buffer);
  return std::nullopt;
}

void RespParser::start_body(std::string_view buffer) {
  // What of it has been received already is copied; the rest comes directly.
  body_ = Value::of_size(bulk_size_);
  body_filled_ = std::min(bulk_size_, buffer.size() - position_);
  std::copy_n(buffer.data() + position_, body_filled_, body_->data());
  position_ += body_filled_;
  held_ += bulk_size_;
}

RespParser::Outcome RespParser::parse_bulks(std::string_view buffer, const Limits& limits) {
  while (bulks_left_ > 0) {
    if (state_ == State::kBulkHeader) {
      if (const auto outcome = parse_bulk_header(buffer, limits)) return *outcome;
    }
    if (body_missing() > 0) return Outcome::kBody;
    const std::size_t inside = body_ ? 0 : bulk_size_;
    if (buffer.size() - position_ < inside + kLineEnd) return Outcome::kMore;
    places_.push_back({position_, inside, std::move(body_)});
    body_ = nullptr;
    // As in Redis, nobody looks whether this is a line's end.
    position_ += inside + kLineEnd;
    searched_ = position_;
    --bulks_left_;
    state_ = State::kBulkHeader;
  }
  return complete(buffer);
}

RespParser::Outcome RespParser::parse_inline(std::string_view buffer) {
  const std::size_t end = buffer.find('\n', searched_);
  if (end == std::string_view::npos) {
    searched_ = buffer.size();
    return buffer.size() > kLongestLine ? fail("too big inline request") : Outcome::kMore;
  }
  std::string_view line = buffer.substr(0, end);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  auto words = split_words(line);
  if (!words) return fail("unbalanced quotes in request");
  words_ = std::move(*words);
  position_ = end + 1;
  complete(buffer);
  for (const std::string& word : words_) arguments_.push_back({word, nullptr});
  return Outcome::kCommand;
}

RespParser::Outcome RespParser::complete(std::string_view buffer) {
  for (Place& place : places_) {
    const std::string_view text =
        place.value ? place.value->bytes() : buffer.substr(place.offset, place.size);
    arguments_.push_back({text, std::move(place.value)});
  }
  places_.clear();
  held_ = 0;
  consumed_ = position_;
  state_ = State::kStart;
  return Outcome::kCommand;
}

void RespParser::forget() {
  arguments_.clear();
  words_.clear();
}

}  // namespace millrace::kv
