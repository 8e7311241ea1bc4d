// What BPF programs of agents are told, and what becomes of what they leave: the core's side of each hook.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/core_harness.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A program that is a function of its context.
template <typename Context>
class Function final : public BpfProgram {
 public:
  using Body = std::function<int32_t(Context*, BpfHelpers&)>;
  explicit Function(Body body) : body_(std::move(body)) {}
  bool Run(BpfHook, std::span<std::byte> context, int, BpfHelpers& helpers, int32_t* result) override {
    *result = body_(reinterpret_cast<Context*>(context.data()), helpers);
    return true;
  }

 private:
  const Body body_;
};

// An agent of CPU 0 that sleeps, of the ABI that the test wants.
class ProgramsTest : public ::testing::Test {
 protected:
  void Start(uint32_t abi) {
    harness_.MakeEnclave(1, "0-1", abi);
    agent_.emplace(&harness_, 1, 0, 7, abi);
    Park();
  }
  ~ProgramsTest() override { harness_.core.CheckInvariants(); }

  void Park() {
    while (agent_->Yield() == -ESTALE) {
    }
    ASSERT_TRUE(agent_->parked());
  }
  // A task that sleeps.
  int64_t EnterAsleep(Tid tid) {
    harness_.driver.attach[tid] = {.state = AttachResult::State::kBlocked};
    harness_.Write("enclave_1/tasks", std::to_string(tid));
    return harness_.GtidOf(tid);
  }
  template <typename Context>
  void Attach(BpfHook hook, typename Function<Context>::Body body) {
    ASSERT_EQ(harness_.core.AttachProgram(1, hook, std::make_unique<Function<Context>>(std::move(body))), 0);
  }

  Harness harness_;
  std::optional<TestAgent> agent_;
};

TEST_F(ProgramsTest, WhatAProgramLeavesInAgentDataReachesTheQueue) {
  Start(91);
  Attach<bpf_ghost_msg>(BpfHook::kSendMessage, [](bpf_ghost_msg* message, BpfHelpers&) {
    if (message->type == MSG_TASK_NEW) message->newt.agent_data = 11;
    if (message->type == MSG_TASK_WAKEUP) message->wakeup.agent_data = 22;
    return 0;
  });
  const int64_t gtid = harness_.Enter(1, 100);
  Park();
  agent_->Take();
  harness_.core.OnTaskDeparted(gtid);
  const int64_t sleeper = EnterAsleep(101);
  harness_.core.OnTaskReady(sleeper, {});
  const std::vector<Message> messages = agent_->Take();
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(std::get<TaskNew>(messages[1].payload).agent_data, 11u);
  EXPECT_EQ(std::get<TaskWakeup>(messages[2].payload).agent_data, 22u);
}

TEST_F(ProgramsTest, SelectRqIsToldThatItIsAWakeUp) {
  Start(91);
  std::vector<bpf_ghost_select_rq> seen;
  Attach<bpf_ghost_select_rq>(BpfHook::kSelectRq, [&](bpf_ghost_select_rq* context, BpfHelpers&) {
    seen.push_back(*context);
    context->skip_ttwu_queue = 1;
    return 1;
  });
  const int64_t gtid = EnterAsleep(100);
  EXPECT_THAT(seen, IsEmpty());
  agent_->Drain();
  harness_.core.OnTaskReady(gtid, {.waker_cpu = 1});
  EXPECT_THAT(agent_->Drain(), ElementsAre("WAKEUP 100 seq=2 deferrable=0 last=0 wake=1 waker=1"));
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(static_cast<int64_t>(seen[0].gtid), gtid);
  EXPECT_EQ(seen[0].task_cpu, 0u);
  EXPECT_EQ(seen[0].waker_cpu, 1u);
  EXPECT_EQ(seen[0].sd_flag, 8u) << "SD_BALANCE_WAKE";
  EXPECT_EQ(seen[0].wake_flags, 0u);
}

// What ghostd does with an effect that fails (bpf_host.cc).
class LatchFailureTest : public ProgramsTest {
 protected:
  // CPU 0 picks, and what its program says of `gtid` failed.
  void Fail(int64_t gtid) {
    gtid_ = gtid;
    harness_.core.OnOtherClass(0, true);
    harness_.core.OnOtherClass(0, false);
    gtid_ = 0;
  }
  void StartFailing(uint32_t abi) {
    Start(abi);
    Attach<bpf_ghost_sched>(BpfHook::kPickNextTask, [this](bpf_ghost_sched*, BpfHelpers& helpers) {
      if (const int64_t gtid = std::exchange(gtid_, 0); gtid != 0) helpers.LatchFailed(gtid, -EXDEV);
      return 0;
    });
  }
  // What the agent is told when the latch of a task that waits has failed.
  std::vector<Message> ToldOfAFailure(uint32_t abi, int64_t* gtid) {
    StartFailing(abi);
    *gtid = harness_.Enter(1, 100);
    Park();
    agent_->Take();
    Fail(*gtid);
    return agent_->Take();
  }
  int64_t gtid_ = 0;
};

TEST_F(LatchFailureTest, GivesATaskThatNobodyHasBackToTheAgent) {
  int64_t gtid = 0;
  const std::vector<Message> messages = ToldOfAFailure(91, &gtid);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].type, MSG_TASK_LATCH_FAILURE);
  EXPECT_EQ(messages[0].seqnum, 2u) << "a message as any: the barrier has moved";
  EXPECT_EQ(std::get<TaskLatchFailure>(messages[0].payload).gtid, gtid);
  EXPECT_EQ(std::get<TaskLatchFailure>(messages[0].payload).error, EXDEV);
  EXPECT_FALSE(agent_->parked()) << "and it wakes the agent";
}

TEST_F(LatchFailureTest, IsALatchThatWasLostWhereTheAbiHasNoSuchMessage) {
  int64_t gtid = 0;
  const std::vector<Message> messages = ToldOfAFailure(69, &gtid);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].type, MSG_TASK_PREEMPT);
  EXPECT_TRUE(std::get<TaskPreempt>(messages[0].payload).was_latched);
}

TEST_F(LatchFailureTest, IsNotSaidOfATaskThatIsNotLost) {
  StartFailing(91);
  const int64_t runs = harness_.Enter(1, 100);
  const int64_t sleeps = EnterAsleep(101);
  TestAgent other(&harness_, 1, 1, 8);
  while (!other.parked()) other.Yield();
  harness_.MakeEnclave(2, "2");
  const int64_t elsewhere = harness_.Enter(2, 102);
  ASSERT_EQ(agent_->CommitRemote(1, runs), GHOST_TXN_COMPLETE);
  ASSERT_TRUE(harness_.core.Cpus()[1].current_gtid == runs);
  Park();
  agent_->Take();
  for (int64_t gtid : {runs, sleeps, elsewhere, int64_t{-1}, int64_t{12345}}) Fail(gtid);
  EXPECT_THAT(agent_->Drain(), IsEmpty());
}

}  // namespace
}  // namespace ghost::usermode
