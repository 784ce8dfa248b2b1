#include "reply.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "numbers.h"

namespace millrace::kv {

void Reply::header(char type, std::size_t count) {
  std::array<char, 24> line;
  line[0] = type;
  char* end = std::to_chars(line.data() + 1, line.data() + line.size(), count).ptr;
  *end++ = '\r';
  *end++ = '\n';
  put({line.data(), static_cast<std::size_t>(end - line.data())});
}

void Reply::simple(std::string_view text) {
  put("+");
  put(text);
  put("\r\n");
}

void Reply::error(std::string_view text) {
  std::string line = "-" + std::string(text);
  while (line.size() > 1 && (line.back() == '\r' || line.back() == '\n')) line.pop_back();
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  put(line + "\r\n");
  ++errors_;
}

void Reply::integer(std::int64_t number) {
  put(":");
  put(IntegerText(number).text());
  put("\r\n");
}

void Reply::bulk(std::string_view bytes) {
  header('$', bytes.size());
  put(bytes);
  put("\r\n");
}

void Reply::bulk(const ValueRef& value) {
  header('$', value->size());
  if (!muted_) output_->append(value);
  put("\r\n");
}

void Reply::bulk_integer(std::int64_t number) {
  bulk(IntegerText(number).text());
}

void Reply::null() {
  put(protocol_ == 3 ? "_\r\n" : "$-1\r\n");
}

void Reply::text(std::string_view bytes) {
  if (protocol_ != 3) return bulk(bytes);
  header('=', bytes.size() + 4);
  put("txt:");
  put(bytes);
  put("\r\n");
}

}  // namespace millrace::kv
