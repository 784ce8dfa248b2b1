#include "posix/send_batch.h"

#include <gtest/gtest.h>

namespace millrace::posix::test {

namespace {

class SendBatchTest : public testing::Test {
 protected:
  /// Answers to so many events, one every microsecond; how many of the sends waited.
  int answer(SendBatch& batch, int events) {
    batch.tell_events(static_cast<std::uint32_t>(events));
    int held = 0;
    for (int i = 0; i < events; ++i) {
      now_ += 1us;
      if (batch.hold(now_)) {
        ++held;
      } else {
        batch.flushed(now_);
      }
    }
    return held;
  }
  /// The same, and then the program computes before it makes another call.
  int answer_and_compute(SendBatch& batch, int events, int answers, Duration computing) {
    batch.tell_events(static_cast<std::uint32_t>(events));
    int held = 0;
    for (int i = 0; i < answers; ++i) held += batch.hold(now_) ? 1 : 0;
    now_ += computing;
    batch.flushed(now_);
    return held;
  }
  Instant now_ = kEpoch + 1s;
};

TEST_F(SendBatchTest, AnAnswerToTheOnlyEventLeavesAtOnce) {
  SendBatch batch(16);
  EXPECT_EQ(answer(batch, 1), 0);
  EXPECT_EQ(answer(batch, 0), 0);
}

TEST_F(SendBatchTest, HalfOfTheAnswersLeaveWhileTheOthersAreMade) {
  SendBatch batch(16);
  EXPECT_EQ(answer(batch, 16), 7 + 7) << "8 and 8";
  EXPECT_EQ(answer(batch, 5), 2 + 1) << "3 and 2";
  EXPECT_EQ(answer(batch, 2), 0);
  EXPECT_FALSE(batch.holds());
}

TEST_F(SendBatchTest, TheLastAnswerTakesTheOthersAlong) {
  SendBatch batch(16);
  EXPECT_EQ(answer(batch, 34), 15 + 15 + 1) << "16, 16 and 2";
  EXPECT_FALSE(batch.holds());
}

TEST_F(SendBatchTest, NoMoreThanTheLimitLeaveTogether) {
  SendBatch batch(4);
  EXPECT_EQ(answer(batch, 10), 3 + 3 + 1) << "4, 4 and 2";
}

TEST_F(SendBatchTest, OneAtATime) {
  SendBatch batch(1);
  EXPECT_EQ(answer(batch, 10), 0);
}

TEST_F(SendBatchTest, SendsBeyondTheEventsLeaveAtOnce) {
  SendBatch batch(16);
  EXPECT_EQ(answer(batch, 3), 1);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(batch.hold(now_));
}

TEST_F(SendBatchTest, AProgramThatComputesAfterASendIsLeftAlone) {
  SendBatch batch(0);
  int late = 0;
  while (answer_and_compute(batch, 8, 4, 1ms) != 0) ASSERT_LT(++late, 10);
  EXPECT_GT(late, 0);
  for (int i = 0; i < 2'000; ++i) EXPECT_EQ(answer_and_compute(batch, 8, 4, 1ms), 0);
}

TEST_F(SendBatchTest, AndIsTriedAgainOnceInAWhile) {
  SendBatch batch(0);
  for (int i = 0; i < 10; ++i) static_cast<void>(answer_and_compute(batch, 8, 4, 1ms));
  int trials = 0;
  for (int i = 0; i < 25'000; ++i) trials += answer_and_compute(batch, 8, 4, 1ms) != 0 ? 1 : 0;
  EXPECT_GE(trials, 8) << "of 100,000 sends";
  EXPECT_LE(trials, 12);
}

TEST_F(SendBatchTest, OneThatTakesItUpAgainIsTrustedAgain) {
  SendBatch batch(0);
  for (int i = 0; i < 10; ++i) static_cast<void>(answer_and_compute(batch, 8, 4, 1ms));
  for (int i = 0; i < 12'000; ++i) static_cast<void>(answer(batch, 5));
  EXPECT_EQ(answer(batch, 5), 2 + 1);
}

TEST_F(SendBatchTest, AThreadThatIsHeldUpNowAndThenChangesNothing) {
  SendBatch batch(0);
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_EQ(answer_and_compute(batch, 10, 4, i % 20 == 0 ? Duration{1ms} : Duration{2us}), 4) << i;
  }
}

TEST_F(SendBatchTest, WhatTheUserSetDoesNotAdapt) {
  SendBatch batch(8);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(answer_and_compute(batch, 10, 4, 1ms), 4);
}

}  // namespace

}  // namespace millrace::posix::test
