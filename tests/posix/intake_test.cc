#include "posix/intake.h"

#include <gtest/gtest.h>

namespace millrace::posix::test {

namespace {

class IntakeTest : public testing::Test {
 protected:
  static void receive(Intake& intake, int times) {
    for (int i = 0; i < times; ++i) intake.on_receive();
  }
};

TEST_F(IntakeTest, WhereFramesAreLostTheyAreTakenInSoonWhateverTheProgramDoes) {
  Intake intake(false);
  for (const int events : {0, 1, 64}) {
    intake.tell_events(static_cast<std::uint32_t>(events));
    for (int i = 0; i <= events; ++i) {
      EXPECT_EQ(intake.between_looks(), Intake::kBusyTurn);
      EXPECT_EQ(intake.between_calls(), Intake::kCallTurn);
      receive(intake, 1);
    }
  }
  EXPECT_GT(intake.most_frames(), Intake::kUsualFrames);
}

TEST_F(IntakeTest, WhereSendersWaitFramesDoWhileTheProgramWorksOffItsEvents) {
  Intake intake(true);
  intake.tell_events(10);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(intake.between_calls(), Intake::kPatience) << i;
    receive(intake, 1);
  }
  EXPECT_EQ(intake.between_looks(), Intake::kPatience) << "for more, which it then gets at once";
  EXPECT_EQ(intake.between_calls(), Intake::kCallTurn) << "nothing is left to work off";
  receive(intake, 3);
  EXPECT_EQ(intake.between_calls(), Intake::kCallTurn);
  EXPECT_EQ(intake.most_frames(), Intake::kUsualFrames);
}

TEST_F(IntakeTest, AProgramThatLeavesItsEventsWhereTheyAreDoesNotKeepFramesOut) {
  Intake intake(true);
  intake.tell_events(10);
  EXPECT_EQ(intake.between_looks(), Intake::kBusyTurn);
  receive(intake, 4);
  EXPECT_EQ(intake.between_looks(), Intake::kBusyTurn);
  receive(intake, 1);
  EXPECT_EQ(intake.between_looks(), Intake::kPatience);
}

TEST_F(IntakeTest, WithoutAnEpollSetNothingWaits) {
  Intake intake(true);
  EXPECT_EQ(intake.between_looks(), Intake::kBusyTurn);
  EXPECT_EQ(intake.between_calls(), Intake::kCallTurn);
  intake.tell_events(5);
  intake.tell_events(0);  // it waited
  EXPECT_EQ(intake.between_looks(), Intake::kBusyTurn);
  EXPECT_EQ(intake.between_calls(), Intake::kCallTurn);
}

}  // namespace

}  // namespace millrace::posix::test
