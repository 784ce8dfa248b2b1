#include "pending_replies.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::kv {
namespace {

class PendingRepliesTest : public testing::Test {
 protected:
  Message& ask() {
    Message& message = pool_.take();
    pending_.add(message);
    return message;
  }
  void answer(Message& message, std::string_view bytes) {
    message.reply = bytes;
    message.answered = true;
    pending_.collect(output_);
  }
  void say(std::string_view bytes) { pending_.tail(output_).append(bytes); }
  std::string said() {
    std::string bytes;
    output_.move_to(bytes);
    return bytes;
  }

  BufferPool buffers_;
  MessagePool pool_{buffers_};
  Output output_{buffers_};
  PendingReplies pending_{pool_};
};

TEST_F(PendingRepliesTest, AnswersComeInTheOrderOfTheCommands) {
  say("0");
  Message& first = ask();
  say("2");
  Message& second = ask();
  Message& third = ask();
  say("5");
  EXPECT_EQ(said(), "0");
  answer(second, "3");
  EXPECT_EQ(said(), "");
  answer(first, "1");
  EXPECT_EQ(said(), "123");
  EXPECT_FALSE(pending_.empty());
  answer(third, "4");
  EXPECT_EQ(said(), "45");
  EXPECT_TRUE(pending_.empty());
  say("6");
  EXPECT_EQ(said(), "6");
}

TEST_F(PendingRepliesTest, ValuesByReferenceKeepTheirPlace) {
  const ValueRef value = Value::copy_of(std::string(5000, 'v'));
  Message& message = ask();
  say("a");
  pending_.tail(output_).append(value);
  say("b");
  EXPECT_EQ(pending_.waiting(), 5002u);
  answer(message, "0");
  EXPECT_EQ(said(), "0a" + std::string(5000, 'v') + "b");
}

TEST_F(PendingRepliesTest, CountsWhatWaits) {
  Message& first = ask();
  say("1234");
  Message& second = ask();
  say("567");
  EXPECT_EQ(pending_.size(), 2u);
  EXPECT_EQ(pending_.waiting(), 7u);
  answer(first, "");
  EXPECT_EQ(pending_.size(), 1u);
  EXPECT_EQ(pending_.waiting(), 3u);
  answer(second, "");
  EXPECT_EQ(pending_.waiting(), 0u);
  EXPECT_EQ(said(), "1234567");
}

TEST(Message, HasItsArgumentsItself) {
  BufferPool buffers;
  Message message(buffers);
  const ValueRef value = Value::copy_of(std::string(20'000, 'x'));
  std::string received = "SETkey";
  Arguments words{{std::string_view(received).substr(0, 3), nullptr},
                  {std::string_view(received).substr(3), nullptr},
                  {value->bytes(), value}};
  message.take(words);
  received.assign(6, '?');
  ASSERT_EQ(message.arguments.size(), 3u);
  EXPECT_EQ(message.arguments[0].text, "SET");
  EXPECT_EQ(message.arguments[1].text, "key");
  EXPECT_EQ(message.arguments[2].text.data(), value->data()) << "a long one is not copied";
  EXPECT_EQ(message.arguments[2].value, value);
}

}  // namespace
}  // namespace millrace::kv
