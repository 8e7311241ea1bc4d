#include "lib/run_request.h"

#include <cerrno>
#include <memory>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "lib/enclave.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

constexpr int64_t kTask = MockGtid(100);

class RunRequestTest : public testing::Test {
 protected:
  RunRequestTest() : kernel_(4) {
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(4));
    mock_ = kernel_.enclave();
    channel_ = *enclave_->CreateChannel(1024, 0, {});
    for (int cpu = 0; cpu < 4; ++cpu) EXPECT_EQ(mock_->BecomeAgent(cpu, channel_.fd()), 0);
    EXPECT_TRUE(channel_.SetDefault().ok());
    mock_->PostNew(kTask);
  }
  RunRequest::Options Valid(int64_t gtid = kTask, uint32_t barrier = 1) {
    return {.gtid = gtid, .task_barrier = barrier, .commit_flags = COMMIT_AT_TXN_COMMIT};
  }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  MockEnclave* mock_;
  Channel channel_;
};

TEST_F(RunRequestTest, OpenFillsTheTransaction) {
  RunRequest& request = enclave_->run_request(2);
  EXPECT_TRUE(request.committed());
  request.Open({.gtid = kTask,
                .task_barrier = 7,
                .agent_barrier = 8,
                .commit_flags = ALLOW_TASK_ONCPU,
                .run_flags = RTLA_ON_IDLE,
                .sync_group_owner = 3});
  const ghost_txn& txn = mock_->txn(2);
  EXPECT_EQ(txn.version, GHOST_TXN_VERSION);
  EXPECT_EQ(txn.cpu, 2);
  EXPECT_EQ(txn.gtid, kTask);
  EXPECT_EQ(txn.task_barrier, 7u);
  EXPECT_EQ(txn.agent_barrier, 8u);
  EXPECT_EQ(txn.commit_flags, ALLOW_TASK_ONCPU);
  EXPECT_EQ(txn.run_flags, RTLA_ON_IDLE);
  EXPECT_EQ(txn.sync_group_owner, 3);
  EXPECT_TRUE(request.open());
  EXPECT_FALSE(request.committed());
  EXPECT_FALSE(request.claimed());
}

TEST_F(RunRequestTest, CommitTellsTheOutcome) {
  RunRequest& request = enclave_->run_request(1);
  request.Open(Valid());
  EXPECT_EQ(request.Commit(), Outcome::kRunning);
  EXPECT_TRUE(request.succeeded());
  request.Open(Valid(kTask, 99));
  EXPECT_EQ(request.Commit(), Outcome::kTaskChanged);
  EXPECT_TRUE(request.failed());
  EXPECT_EQ(mock_->calls().commits, 2);
}

TEST_F(RunRequestTest, EveryStateHasAnOutcomeAndAName) {
  std::set<std::string> names;
  for (int32_t state = GHOST_TXN_COMPLETE; state <= GHOST_TXN_POISONED; ++state) {
    const Outcome outcome = OutcomeOf(static_cast<ghost_txn_state>(state));
    EXPECT_EQ(outcome == Outcome::kRunning, state == GHOST_TXN_COMPLETE);
    EXPECT_TRUE(names.insert(TxnStateName(state)).second) << TxnStateName(state);
    EXPECT_NE(std::string(OutcomeName(outcome)), "");
  }
  EXPECT_EQ(names.size(), 16u);
  EXPECT_STREQ(TxnStateName(GHOST_TXN_READY), "READY");
  EXPECT_STREQ(TxnStateName(3), "CLAIMED");
  EXPECT_STREQ(TxnStateName(GHOST_TXN_POISONED + 1), "UNKNOWN");
}

TEST_F(RunRequestTest, FailedIoctlMeansThatTheKernelIsGone) {
  mock_->on_ioctl = [](unsigned long, void*) { return -ENODEV; };
  RunRequest& request = enclave_->run_request(0);
  request.Open(Valid());
  EXPECT_EQ(request.Commit(), Outcome::kKernelGone);
}

TEST_F(RunRequestTest, ATransactionThatNobodyTakesIsAborted) {
  mock_->on_ioctl = [](unsigned long, void*) { return 0; };  // the CPU has left the enclave
  RunRequest& request = enclave_->run_request(0);
  request.Open(Valid());
  EXPECT_EQ(request.Commit(), Outcome::kCpuUnavailable);
  EXPECT_EQ(request.state(), GHOST_TXN_ABORTED);
}

TEST_F(RunRequestTest, AClaimThatNeverEndsIsGivenUp) {
  mock_->on_ioctl = [this](unsigned long, void*) {
    mock_->txn(0).state = 1;
    return 0;
  };
  RunRequest& request = enclave_->run_request(0);
  request.Open(Valid());
  EXPECT_EQ(request.Commit(), Outcome::kKernelGone);
  EXPECT_TRUE(request.claimed());
}

TEST_F(RunRequestTest, AbortOnlyWhatIsOpen) {
  RunRequest& request = enclave_->run_request(0);
  EXPECT_FALSE(request.Abort());
  request.Open(Valid());
  EXPECT_TRUE(request.Abort());
  EXPECT_EQ(request.state(), GHOST_TXN_ABORTED);
  request.Open(Valid());
  mock_->txn(0).state = 2;  // claimed
  EXPECT_FALSE(request.Abort());
}

TEST_F(RunRequestTest, Unschedule) {
  RunRequest& request = enclave_->run_request(3);
  request.OpenUnschedule();
  EXPECT_EQ(mock_->txn(3).gtid, GHOST_NULL_GTID);
  EXPECT_EQ(request.Commit(), Outcome::kRunning);
}

TEST_F(RunRequestTest, YieldAndPing) {
  RunRequest& request = enclave_->run_request(1);
  const uint32_t barrier = mock_->agent_word(1).barrier;
  EXPECT_EQ(request.LocalYield(barrier, RTLA_ON_IDLE), 0);
  EXPECT_EQ(mock_->last_yield_flags(), RTLA_ON_IDLE);
  EXPECT_EQ(request.Ping(), 0);
  EXPECT_EQ(request.LocalYield(barrier), -ESTALE);
}

TEST_F(RunRequestTest, GroupIsOneCall) {
  const int64_t other = MockGtid(101);
  mock_->PostNew(other);
  enclave_->run_request(1).Open(Valid());
  enclave_->run_request(3).Open(Valid(other, 77));
  CommitGroup group(enclave_.get());
  EXPECT_TRUE(group.empty());
  group.Add(3);
  group.Add(1);
  EXPECT_EQ(group.Submit(), 0);
  EXPECT_EQ(mock_->calls().commits, 1);
  std::vector<Outcome> outcomes;
  group.ForEach([&](RunRequest& request) { outcomes.push_back(request.Finish()); });
  EXPECT_EQ(outcomes, (std::vector<Outcome>{Outcome::kRunning, Outcome::kTaskChanged}));
  group.Clear();
  EXPECT_TRUE(group.empty());
}

TEST_F(RunRequestTest, SyncGroupAllOrNone) {
  const int64_t other = MockGtid(101);
  mock_->PostNew(other);
  for (bool succeeds : {true, false}) {
    CommitGroup group(enclave_.get());
    for (int cpu : {0, 2}) {
      RunRequest& request = enclave_->run_request(cpu);
      EXPECT_TRUE(request.TakeOwnership(1));
      EXPECT_FALSE(request.TakeOwnership(3));
      RunRequest::Options options = cpu == 0 ? Valid() : Valid(other, succeeds ? 1 : 9);
      options.sync_group_owner = 1;
      request.Open(options);
      group.Add(cpu);
    }
    EXPECT_EQ(group.CommitSync(), succeeds ? 1 : 0);
    for (int cpu : {0, 2}) {
      EXPECT_EQ(enclave_->run_request(cpu).succeeded(), succeeds);
      EXPECT_EQ(enclave_->run_request(cpu).sync_group_owner(), GHOST_TXN_NO_OWNER);
    }
    mock_->SetFlag(kTask, GHOST_SW_TASK_ONCPU, false);
  }
}

TEST_F(RunRequestTest, SyncGroupWhoseIoctlFails) {
  mock_->on_ioctl = [](unsigned long, void*) { return -EINVAL; };
  RunRequest& request = enclave_->run_request(0);
  ASSERT_TRUE(request.TakeOwnership(1));
  RunRequest::Options options = Valid();
  options.sync_group_owner = 1;
  request.Open(options);
  CommitGroup group(enclave_.get());
  group.Add(0);
  EXPECT_EQ(group.CommitSync(), -EINVAL);
  EXPECT_EQ(request.state(), GHOST_TXN_ABORTED);
  EXPECT_EQ(request.sync_group_owner(), GHOST_TXN_NO_OWNER);
}

}  // namespace
}  // namespace ghost
