#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "mailbox.h"
#include "standstill.h"
#include "waker.h"

namespace millrace::kv {
namespace {

struct Letter {
  Letter* next = nullptr;
  unsigned from = 0, number = 0;
};

TEST(Mailbox, GivesBundlesInTheirOrder) {
  Mailbox<Letter> mailbox;
  EXPECT_TRUE(mailbox.empty());
  EXPECT_EQ(mailbox.take(), nullptr);
  std::array<Letter, 6> letters;
  Bundle<Letter> bundle;
  for (unsigned i = 0; i < letters.size(); ++i) {
    letters[i].number = i;
    bundle.add(letters[i]);
    if (i % 2 == 1) mailbox.put(bundle);
    EXPECT_EQ(bundle.empty(), i % 2 == 1);
  }
  unsigned expected = 0;
  for (const Letter* letter = mailbox.take(); letter != nullptr; letter = letter->next) {
    EXPECT_EQ(letter->number, expected++);
  }
  EXPECT_EQ(expected, letters.size());
  EXPECT_TRUE(mailbox.empty());
}

TEST(Mailbox, LosesNothingOfSeveralWritersAndWakesTheReader) {
  constexpr unsigned kWriters = 3, kLetters = 20'000;
  Mailbox<Letter> mailbox;
  Waker waker;
  const auto write = [&](unsigned from, std::deque<Letter>& letters) {
    Bundle<Letter> bundle;
    for (unsigned i = 0; i < kLetters; ++i) {
      letters[i].from = from;
      letters[i].number = i;
      bundle.add(letters[i]);
      if (i % 7 != 0 && i + 1 < kLetters) continue;
      mailbox.put(bundle);
      waker.knock();
    }
  };
  std::array<std::deque<Letter>, kWriters> letters;
  std::vector<std::thread> writers;
  for (unsigned from = 0; from < kWriters; ++from) {
    letters[from].resize(kLetters);
    writers.emplace_back(write, from, std::ref(letters[from]));
  }
  apps::EventLoop loop(apps::kernel_sockets(), -1);
  loop.add(waker.fd(), waker, EPOLLIN);
  std::array<unsigned, kWriters> expected{};
  for (unsigned taken = 0; taken < kWriters * kLetters;) {
    waker.going_to_sleep();
    const int ready = loop.wait(mailbox.empty() ? -1 : 0);
    waker.awake();
    loop.dispatch(ready);
    for (const Letter* letter = mailbox.take(); letter != nullptr; letter = letter->next, ++taken) {
      ASSERT_EQ(letter->number, expected[letter->from]++);
    }
  }
  for (std::thread& writer : writers) writer.join();
}

TEST(Waker, ARingEndsTheNextWait) {
  Waker waker;
  apps::EventLoop loop(apps::kernel_sockets(), 0);
  loop.add(waker.fd(), waker, EPOLLIN);
  waker.knock();
  EXPECT_EQ(loop.wait(), 0) << "nobody sleeps";
  waker.ring();
  waker.ring();
  EXPECT_EQ(loop.wait(), 1);
  loop.dispatch(1);
  EXPECT_EQ(loop.wait(), 0) << "it has been heard";
}

TEST(Standstill, WhoHasBegunIsAlone) {
  constexpr unsigned kThreads = 4, kTurns = 3000;
  Standstill standstill(kThreads);
  std::array<unsigned, kThreads> own{};  // a thread's, or its who has the others stand still
  const auto work = [&](unsigned self) {
    standstill.resume(self);
    for (unsigned turn = 0; turn < kTurns; ++turn) {
      ++own[self];
      if (turn % (self + 2) == 0) {
        standstill.begin(self);
        for (unsigned& one : own) ++one;
        standstill.end(self);
      }
      standstill.rest(self);
      standstill.resume(self);
    }
    standstill.rest(self);
  };
  std::vector<std::thread> threads;
  for (unsigned self = 0; self < kThreads; ++self) threads.emplace_back(work, self);
  for (std::thread& thread : threads) thread.join();
  unsigned everywhere = 0;
  for (unsigned self = 0; self < kThreads; ++self) everywhere += (kTurns + self + 1) / (self + 2);
  for (const unsigned one : own) EXPECT_EQ(one, kTurns + everywhere);
}

TEST(Standstill, ThreadsThatHaveNotStartedOrHaveEndedRest) {
  Standstill standstill(3);
  standstill.resume(0);
  standstill.begin(0);
  standstill.end(0);
  standstill.rest(0);
  standstill.resume(2);
  standstill.begin(2);
  standstill.end(2);
}

}  // namespace
}  // namespace millrace::kv
