// What a centralized runtime knows of CPUs, what hints and dumps tell.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/centralized_runtime.h"
#include "lib/testing/centralized_test.h"
#include "lib/work_hints.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// ---- Switchto ----

TEST_F(CentralizedTest, CpuIsNotGivenAwayWhileTasksSwitchOnIt) {
  Start();
  RunOn(1, kA);
  mock_->PostNew(kB, /*runnable=*/false);
  Step();
  mock_->Post(TaskSwitchto{.gtid = kA, .cpu = 1});  // to B, of which nothing is said
  Step();
  mock_->PostNew(kC);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), kC);
  mock_->Post(TaskBlocked{.gtid = kB, .cpu = 1, .from_switchto = true});
  Step();
  RunOn(1, kD);
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

// ---- CPUs ----

TEST_F(CentralizedTest, BusyCpusGetNothingUntilTheyAreAvailable) {
  Start();
  mock_->SetAvailable(1, false);
  mock_->Post(CpuBusy{.cpu = 1});
  Step();
  mock_->PostNew(kA);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), kA);
  mock_->SetAvailable(1, true);
  mock_->Post(CpuAvailable{.cpu = 1});
  Step();
  RunOn(1, kB);
}

TEST_F(CentralizedTest, TaskThatLosesItsCpuToAnotherClassGoesElsewhere) {
  Start();
  RunOn(1, kA);
  // In either order.
  for (bool busy_first : {true, false}) {
    const int cpu = busy_first ? 1 : 2;
    mock_->SetAvailable(cpu, false);
    if (busy_first) mock_->Post(CpuBusy{.cpu = cpu});
    PostPreempt(cpu, kA);
    if (!busy_first) mock_->Post(CpuBusy{.cpu = cpu});
    EXPECT_EQ(Step(), StepResult::kCommitted);
    EXPECT_EQ(Committed(cpu + 1), kA);
  }
  EXPECT_EQ(Counters().commits_failed, 0u);
}

class OldAbiTest : public CentralizedTest {
 protected:
  OldAbiTest() : CentralizedTest(70) {}
};

TEST_F(OldAbiTest, CpusAreLookedUpWhenTheyAreWanted) {
  Start();
  mock_->SetAvailable(1, false);
  mock_->PostNew(kA);
  mock_->ResetCalls();
  EXPECT_EQ(Step(1000), StepResult::kCommitted);
  EXPECT_EQ(mock_->calls().commits, 0);  // the only CPU of the plan was seen to be taken
  EXPECT_EQ(Step(2000), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), kA);
  // It is looked at again, and found to be free.
  mock_->SetAvailable(1, true);
  Step(1'000'000);
  RunOn(1, kB);
}

TEST_F(OldAbiTest, WithoutACpuItLooksAgainSoon) {
  Start();
  for (int cpu : {1, 2, 3}) mock_->SetAvailable(cpu, false);
  mock_->PostNew(kA);
  for (int i = 0; i < 3; ++i) Step(1000 + i);
  EXPECT_EQ(Step(2000), StepResult::kPolled);
  EXPECT_LE(runtime_->look_again(), Time::FromNanoseconds(2'000'000));
  for (int cpu : {1, 2, 3}) mock_->SetAvailable(cpu, true);
  int steps = 0;
  for (int64_t now = 1'000'000; Step(now) != StepResult::kCommitted && ++steps < 10;) now += 100'000;
  EXPECT_LT(steps, 10);
}

// ---- Hints ----

class FakeHints : public HintSource {
 public:
  void OnTaskNew(int64_t gtid) override { log.push_back(absl::StrCat("new ", gtid >> 41)); }
  void OnTaskGone(int64_t gtid) override { log.push_back(absl::StrCat("gone ", gtid >> 41)); }
  bool Poll(Visitor* visitor) override {
    for (const auto& [gtid, hint] : std::exchange(pending, {})) visitor->OnHint(gtid, hint);
    return std::exchange(content, true);
  }
  Time NextPoll(Time, bool in_use) override {
    asked_in_use = in_use;
    return next_poll;
  }
  void Upkeep() override { log.push_back("upkeep"); }
  void SetHasWork(int64_t gtid) override { log.push_back(absl::StrCat("work ", gtid >> 41)); }

  std::vector<std::pair<int64_t, WorkHint>> pending;
  bool content = true;
  Time next_poll = Time::Infinite();
  bool asked_in_use = false;
  std::vector<std::string> log;
};

TEST_F(CentralizedTest, HintsReachThePolicy) {
  auto hints = std::make_shared<FakeHints>();
  Start({.hints = hints});
  mock_->PostNew(kA, /*runnable=*/false);
  Step();
  EXPECT_THAT(std::exchange(hints->log, {}), ElementsAre("new 100", "upkeep"));
  TakeLog();
  hints->pending = {{kA, {.qos = 7}}, {kB, {.qos = 1}}};
  hints->content = false;
  Step();
  EXPECT_THAT(TakeLog(), ElementsAre("hint 100 7"));
  EXPECT_THAT(hints->log, IsEmpty());
  Step();
  EXPECT_THAT(std::exchange(hints->log, {}), ElementsAre("upkeep"));
  mock_->PostDead(kA);
  Step();
  EXPECT_THAT(hints->log, ElementsAre("gone 100", "upkeep"));
}

TEST_F(CentralizedTest, HintsThatComeWithoutAMessageAreNotSleptThrough) {
  auto hints = std::make_shared<FakeHints>();
  Start({.idle_poll = absl::Microseconds(50), .hints = hints});
  mock_->PostNew(kA, /*runnable=*/false);
  Step(1);
  // It sleeps until then.
  hints->next_poll = Time::FromNanoseconds(500'000);
  EXPECT_EQ(Step(100'000), StepResult::kYielded);
  EXPECT_EQ(mock_->timer().when_ns, 500'000);
  EXPECT_FALSE(hints->asked_in_use);  // all sleep
  mock_->ResetCalls();
  EXPECT_EQ(Step(500'000), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().Total(), 0);  // the time is now: no sleep
  // What was told keeps it awake for a while.
  hints->pending = {{kA, {.qos = 7}}};
  EXPECT_EQ(Step(600'000), StepResult::kPolled);
  EXPECT_EQ(Step(640'000), StepResult::kPolled);
  hints->next_poll = Time::FromNanoseconds(900'000);
  EXPECT_EQ(Step(700'000), StepResult::kYielded);
  EXPECT_EQ(mock_->timer().when_ns, 900'000);
  RunOn(1, kB);
  Step(800'000);
  EXPECT_TRUE(hints->asked_in_use);
  // That the timer has gone off is no reason to stay awake.
  mock_->Post(CpuTimerExpired{.cpu = 0});
  EXPECT_EQ(Step(880'000), StepResult::kYielded);
}

TEST_F(CentralizedTest, DumpSaysWhoRunsWhere) {
  Start();
  RunOn(1, kA);
  mock_->Post(CpuBusy{.cpu = 3});
  Step();
  // Without agents' threads the next step answers.
  std::atomic<bool> done{false};
  std::string dump;
  std::thread asker([&] {
    dump = runtime_->DumpState(absl::Seconds(60));
    done = true;
  });
  while (!done) Step();
  asker.join();
  EXPECT_THAT(dump, ::testing::StartsWith(absl::StrCat("global agent: cpu 0, 1 runnable of 1 tasks\n"
                                                       "cpu 0: global agent\n"
                                                       "cpu 1: runs ",
                                                       kA,
                                                       "\n"
                                                       "cpu 2: idle\n"
                                                       "cpu 3: another class has it\n"
                                                       "  task ",
                                                       kA, " tid 100 on cpu")));
}

}  // namespace
}  // namespace ghost
