#include "resp_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace millrace::kv {
namespace {

using Outcome = RespParser::Outcome;
using Words = std::vector<std::string>;
using testing::ElementsAre;
using testing::IsEmpty;

/// What a client does: it keeps what is not consumed, and receives bodies where they are wanted.
class Reader {
 public:
  explicit Reader(RespParser::Limits limits = {}) : limits_(limits) {}

  /// The commands that these bytes complete; an error is a command of one word.
  std::vector<Words> receive(std::string_view bytes) {
    std::vector<Words> commands;
    for (;;) {
      const std::size_t body = std::min(parser_.body_missing(), bytes.size());
      if (body > 0) std::memcpy(parser_.body(), bytes.data(), body);
      parser_.body_received(body);
      bytes.remove_prefix(body);
      if (parser_.body_missing() > 0) return commands;
      buffer_.append(bytes);
      bytes = {};
      const Outcome outcome = parser_.parse(buffer_, limits_);
      if (outcome == Outcome::kMore || outcome == Outcome::kBody) return commands;
      if (outcome == Outcome::kError) {
        commands.push_back({parser_.error()});
        return commands;
      }
      commands.emplace_back();
      for (const Argument& argument : parser_.arguments()) commands.back().emplace_back(argument.text);
      buffer_.erase(0, parser_.consumed());
      if (buffer_.empty()) return commands;
    }
  }

  RespParser& parser() { return parser_; }

 private:
  RespParser::Limits limits_;
  RespParser parser_;
  std::string buffer_;
};

std::string encode(const Words& words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return bytes;
}

TEST(RespParser, ReadsAnArrayOfBulkStrings) {
  EXPECT_THAT(Reader().receive(encode({"GET", std::string("k\r\n\0y", 5)})),
              ElementsAre(ElementsAre("GET", std::string("k\r\n\0y", 5))));
}

TEST(RespParser, ReadsCommandsOneBehindTheOther) {
  EXPECT_THAT(Reader().receive(encode({"PING"}) + "*0\r\nPING x\r\n\r\n" + encode({"GET", "a"})),
              ElementsAre(ElementsAre("PING"), IsEmpty(), ElementsAre("PING", "x"), IsEmpty(),
                          ElementsAre("GET", "a")));
}

TEST(RespParser, GoesOnWhereverTheBytesStopped) {
  const std::string bytes =
      encode({"SET", "key", std::string(20'000, 'v')}) + "ECHO 'a b'\r\n" + encode({"", "x"});
  for (std::size_t cut = 0; cut <= bytes.size(); cut += cut < 60 || cut + 60 > bytes.size() ? 1 : 331) {
    Reader reader;
    std::vector<Words> commands = reader.receive(bytes.substr(0, cut));
    for (Words& words : reader.receive(bytes.substr(cut))) commands.push_back(std::move(words));
    EXPECT_THAT(commands, ElementsAre(ElementsAre("SET", "key", std::string(20'000, 'v')),
                                      ElementsAre("ECHO", "a b"), ElementsAre("", "x")))
        << cut;
  }
}

TEST(RespParser, ALongArgumentIsReceivedWhereItStays) {
  RespParser parser;
  const std::string head = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nxy";
  ASSERT_EQ(parser.parse(head, {}), Outcome::kBody);
  EXPECT_EQ(parser.body_missing(), 99'998u);
  EXPECT_EQ(parser.held(), 100'000u);
  std::memset(parser.body(), 'z', parser.body_missing());
  const char* place = parser.body() - 2;
  parser.body_received(parser.body_missing());
  ASSERT_EQ(parser.parse(head + "\r\n", {}), Outcome::kCommand);
  const Argument& value = parser.arguments()[2];
  EXPECT_EQ(value.text, "xy" + std::string(99'998, 'z'));
  EXPECT_EQ(value.take()->data(), place);
  EXPECT_EQ(parser.held(), 0u);
}

TEST(RespParser, AShortArgumentLiesInTheBuffer) {
  RespParser parser;
  const std::string bytes = encode({"GET", "key"});
  ASSERT_EQ(parser.parse(bytes, {}), Outcome::kCommand);
  EXPECT_EQ(parser.arguments()[1].text.data(), bytes.data() + bytes.rfind("key"));
  EXPECT_EQ(parser.consumed(), bytes.size());
}

struct Mistake {
  std::string bytes, error;
};

TEST(RespParser, SaysWhatIsWrongAsRedisDoes) {
  const std::string many(64 * 1024 + 1, '1');
  for (const auto& [bytes, error] : std::vector<Mistake>{
           {"*x\r\n", "invalid multibulk length"},
           {"*2147483648\r\n", "invalid multibulk length"},
           {"*" + many, "too big mbulk count string"},
           {"*1\r\n" + many, "too big bulk count string"},
           {"*1\r\n:1\r\n", "expected '$', got ':'"},
           {"*1\r\n$-1\r\n", "invalid bulk length"},
           {"*1\r\n$536870913\r\n", "invalid bulk length"},
           {many, "too big inline request"},
           {"ECHO 'a\n", "unbalanced quotes in request"},
       }) {
    EXPECT_THAT(Reader().receive(bytes), ElementsAre(ElementsAre("ERR Protocol error: " + error)));
  }
}

TEST(RespParser, HearsStrangersOnlyAsFarAsAuthNeeds) {
  const RespParser::Limits strangers{.authenticated = false};
  EXPECT_THAT(Reader(strangers).receive("*11\r\n"),
              ElementsAre(ElementsAre("ERR Protocol error: unauthenticated multibulk length")));
  EXPECT_THAT(Reader(strangers).receive("*1\r\n$16385\r\n"),
              ElementsAre(ElementsAre("ERR Protocol error: unauthenticated bulk length")));
  EXPECT_THAT(Reader(strangers).receive("*10\r\n$16384\r\n"), IsEmpty());
}

TEST(RespParser, AnAnnouncementAloneCostsNoMemory) {
  Reader reader;
  EXPECT_THAT(reader.receive("*2147483647\r\n$1\r\na\r\n"), IsEmpty());
  EXPECT_EQ(reader.parser().held(), 0u);
}

}  // namespace
}  // namespace millrace::kv
