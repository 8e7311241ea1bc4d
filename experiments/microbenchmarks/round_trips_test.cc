// What a round trip is made of, and which rounds count: with a mock in the kernel's place and a clock that the test
// moves.
#include "experiments/microbenchmarks/round_trips.h"

#include <array>
#include <memory>
#include <optional>

#include "gtest/gtest.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

constexpr int kAgentCpu = 0;

// Two tasks at most, on CPUs 1 and 2; or one on CPU 0 with the agent.
class RoundTripsTest : public testing::Test {
 protected:
  RoundTripsTest() : kernel_(3), enclave_(*Enclave::Create(&kernel_, CpuSet::FirstN(3))), mock_(*kernel_.enclave()) {
    // A commit takes 100 ns up to the kernel's own time of it, and 10 more.
    mock_.on_commit = [this](int cpu, const ghost_txn&) -> std::optional<int32_t> {
      mock_.txn(cpu).commit_time = now_ns_ + 100;
      return fails_ == cpu ? std::optional<int32_t>(GHOST_TXN_TARGET_ONCPU) : std::nullopt;
    };
    mock_.on_ioctl = [this](unsigned long number, void*) -> std::optional<int> {
      if (number == GHOST_IOC_COMMIT_TXN) took_ns_ = 110;
      return std::nullopt;
    };
  }

  void Start(const CpuSet& targets, int64_t rounds, int64_t warm_up = 0) {
    mock_.remote_commits = !targets.Contains(kAgentCpu);
    trips_ = std::make_unique<RoundTrips>(
        enclave_.get(),
        RoundTrips::Options{.agent_cpu = kAgentCpu,
                            .targets = targets,
                            .rounds = rounds,
                            .warm_up = warm_up,
                            .clock = [this] { return now_ns_ += std::exchange(took_ns_, 0); }},
        std::span<TaskStamps>(stamps_).first(targets.size()));
    ASSERT_TRUE(trips_->CreateQueue().ok());
    for (int cpu : {0, 1, 2}) ASSERT_EQ(enclave_->kernel().BecomeAgent(cpu, trips_->queue()->fd()), 0);
    word_ = *enclave_->status_words().OfAgent(kAgentCpu);
    for (int i = 0; i < targets.size(); ++i) {
      stamps_[i].tid = Tid(i);
      mock_.AddTask(MockGtid(Tid(i)));
      mock_.PostNew(MockGtid(Tid(i)));
    }
  }
  static int Tid(int i) { return 100 + i; }

  // The task runs `after_ns` after the commit began, and yields at once; the agent will see it 50 ns later.
  void RunAndYield(int i, int64_t began_ns, int64_t after_ns) {
    stamps_[i].ran_ns = began_ns + after_ns;
    stamps_[i].yielded_ns = began_ns + after_ns;
    mock_.Post(TaskYield{.gtid = MockGtid(Tid(i)), .cpu = 1 + i});
    now_ns_ = began_ns + after_ns + 50;
    took_ns_ = 0;
  }
  RoundTrips::Result Step() { return trips_->Step(word_); }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  MockEnclave& mock_;
  std::array<TaskStamps, 2> stamps_;
  std::unique_ptr<RoundTrips> trips_;
  StatusWord word_;
  int64_t now_ns_ = 1'000'000;
  int64_t took_ns_ = 0;
  int fails_ = -1;
};

uint64_t Only(const Latencies& latencies) { return latencies.count() == 1 ? latencies.max_ns() : 0; }

TEST_F(RoundTripsTest, OneRemoteRound) {
  Start({1}, 1);
  const int64_t began_ns = now_ns_;
  EXPECT_EQ(Step(), RoundTrips::Result::kCalled);
  EXPECT_EQ(mock_.calls().commits, 1);
  EXPECT_EQ(Step(), RoundTrips::Result::kPolled);
  RunAndYield(0, began_ns, 700);
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
  EXPECT_EQ(Only(trips_->figures().agent), 110u);
  EXPECT_EQ(Only(trips_->figures().target), 600u);
  EXPECT_EQ(Only(trips_->figures().end_to_end), 700u);
  EXPECT_EQ(Only(trips_->figures().delivery), 50u);
  EXPECT_EQ(trips_->spoiled_rounds(), 0);
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
}

TEST_F(RoundTripsTest, AGroupIsOneCallAndEndsWithItsLastTask) {
  Start({1, 2}, 1);
  const int64_t began_ns = now_ns_;
  Step();
  EXPECT_EQ(mock_.calls().commits, 1);
  RunAndYield(1, began_ns, 300);
  EXPECT_NE(Step(), RoundTrips::Result::kDone);
  RunAndYield(0, began_ns, 900);
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
  EXPECT_EQ(trips_->figures().target.count(), 2u);
  EXPECT_EQ(trips_->figures().target.min_ns(), 200u);
  EXPECT_EQ(trips_->figures().target.max_ns(), 800u);
  EXPECT_EQ(Only(trips_->figures().end_to_end), 900u);
  EXPECT_EQ(trips_->figures().delivery.count(), 0u);
}

TEST_F(RoundTripsTest, WarmUpRoundsDoNotCount) {
  Start({1}, 2, /*warm_up=*/3);
  for (int i = 0; i < 5; ++i) {
    ASSERT_FALSE(trips_->done());
    const int64_t began_ns = now_ns_;
    Step();
    RunAndYield(0, began_ns, 500);
  }
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
  EXPECT_EQ(trips_->rounds(), 5);
  EXPECT_EQ(trips_->figures().end_to_end.count(), 2u);
}

TEST_F(RoundTripsTest, APreemptionSpoilsTheRound) {
  Start({1}, 1);
  Step();
  mock_.Post(TaskPreempt{.gtid = MockGtid(Tid(0)), .cpu = 1});
  EXPECT_EQ(Step(), RoundTrips::Result::kCalled);  // the next round
  EXPECT_EQ(trips_->spoiled_rounds(), 1);
  EXPECT_EQ(trips_->figures().end_to_end.count(), 0u);
  RunAndYield(0, now_ns_, 500);
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
  EXPECT_EQ(trips_->figures().end_to_end.count(), 1u);
}

TEST_F(RoundTripsTest, AGroupOfWhichOneFailedIsSpoiled) {
  Start({1, 2}, 1);
  fails_ = 2;
  Step();
  fails_ = -1;
  RunAndYield(0, now_ns_, 500);  // the one that went through
  EXPECT_EQ(Step(), RoundTrips::Result::kCalled);
  EXPECT_EQ(trips_->spoiled_rounds(), 1);
  for (int i : {0, 1}) RunAndYield(i, now_ns_, 500);
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
  EXPECT_EQ(trips_->figures().end_to_end.count(), 1u);
}

TEST_F(RoundTripsTest, ACommitThatFailedIsTriedAgainAsARoundOfItsOwn) {
  Start({1}, 1);
  fails_ = 1;
  Step();
  fails_ = -1;
  now_ns_ += 10'000;
  const int64_t began_ns = now_ns_ + took_ns_;
  EXPECT_EQ(Step(), RoundTrips::Result::kCalled);
  RunAndYield(0, began_ns, 500);
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
  EXPECT_EQ(Only(trips_->figures().end_to_end), 500u);
  EXPECT_EQ(trips_->spoiled_rounds(), 0);
}

TEST_F(RoundTripsTest, TheLocalModelGivesWayToItsTask) {
  Start({kAgentCpu}, 1);
  const int64_t began_ns = now_ns_;
  EXPECT_EQ(Step(), RoundTrips::Result::kCalled);
  RunAndYield(0, began_ns, 888);
  EXPECT_EQ(Step(), RoundTrips::Result::kDone);
  EXPECT_EQ(Only(trips_->figures().end_to_end), 888u);
  EXPECT_EQ(Only(trips_->figures().delivery), 50u);
  EXPECT_EQ(trips_->figures().agent.count(), 0u);
}

TEST_F(RoundTripsTest, AnAgentWhoseCpuOthersWantWaitsUntilItIsIdle) {
  Start({kAgentCpu}, 1);
  mock_.SetBoost(kAgentCpu, true);
  EXPECT_EQ(Step(), RoundTrips::Result::kCalled);
  EXPECT_EQ(mock_.calls().commits, 0);
  EXPECT_EQ(mock_.last_yield_flags(), RTLA_ON_IDLE);
}

TEST_F(RoundTripsTest, AKernelThatIsGoneIsTold) {
  Start({1}, 1);
  mock_.on_ioctl = [](unsigned long, void*) { return std::optional<int>(-ENODEV); };
  EXPECT_EQ(Step(), RoundTrips::Result::kKernelGone);
}

}  // namespace
}  // namespace ghost
