// biff's BPF programs, run by the kernel as ghostd has them run, against their twin in C++: a core under random events
// calls both at each hook, and they must answer the same, write the same into the context, and ask for the same.
#include "kernel/usermode/sim/biff_twin.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "kernel/abi/abi_version.h"
#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/linux/bpf_host.h"
#include "lib/bpf/programs.h"
#include "tests/bpf/twin_events.h"
#include "third_party/bpf/biff.h"
#include "third_party/bpf/biff_objects.h"

namespace ghost {
namespace {

using usermode::BpfHelpers;
using usermode::BpfHook;
using usermode::BpfProgram;
using usermode::Harness;
using usermode::TestAgent;

constexpr int kCpus = 4;

class Both final : public BpfProgram {
 public:
  Both(std::unique_ptr<BpfProgram> program, std::unique_ptr<BpfProgram> twin, uint64_t* runs)
      : program_(std::move(program)), twin_(std::move(twin)), runs_(*runs) {}
  usermode::BpfView* view() override { return program_->view(); }

  bool Run(BpfHook hook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) override {
    ++runs_;
    std::vector<std::byte> copy(context.begin(), context.end());
    Recorder asked(nullptr);
    int32_t answer = 0;
    EXPECT_TRUE(program_->Run(hook, copy, cpu, asked, &answer));
    Recorder done(&helpers);
    EXPECT_TRUE(twin_->Run(hook, context, cpu, done, result));
    const std::string where = absl::StrCat("hook ", static_cast<int>(hook), " cpu ", cpu, " run ", runs_);
    EXPECT_EQ(answer, *result) << where;
    EXPECT_TRUE(std::equal(copy.begin(), copy.end(), context.begin())) << where;
    EXPECT_EQ(absl::StrJoin(asked.calls, ", "), absl::StrJoin(done.calls, ", ")) << where;
    return true;
  }

 private:
  const std::unique_ptr<BpfProgram> program_, twin_;
  uint64_t& runs_;
};

class BiffTwinTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    auto loaded = BpfPrograms::LoadFor(/*user_mode=*/true, "biff", BiffObjects(), "/nowhere", *FindAbi(91));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    programs_ = *std::move(loaded);
    state_ = programs_->Global<biff>();
    ASSERT_NE(state_, nullptr);
    // Real time goes on between the two: a slice is over at once, or never.
    const bool endless = GetParam() % 2 == 0;
    state_->slice_ns = endless ? uint64_t{1} << 60 : 0;
    state_->cpu_mask[0] = (1 << kCpus) - 1;
    state_->initialized = 1;
    twin_ = std::make_unique<sim::BiffTwin>(
        sim::BiffTwin::Options{.cpus = CpuSet::FirstN(kCpus),
                               .slice_ns = endless ? int64_t{1} << 60 : 0,
                               .now_ns = [this] { return driver_->now_ns; },
                               .affinity = [this](int64_t gtid) { return driver_->Affinity(gtid); }});
    twin_->StartScheduling();
    harness_->MakeEnclave(1, "0-3");
    harness_->Write("enclave_1/deliver_ticks", "1");
    for (int cpu = 0; cpu < kCpus; ++cpu) {
      agents_.push_back(std::make_unique<TestAgent>(harness_.get(), 1, cpu, 10 + cpu, 91, 10));
    }
    Attach("biff_pnt", BpfHook::kPickNextTask);
    Attach("biff_msg", BpfHook::kSendMessage);
    Attach("biff_select_rq", BpfHook::kSelectRq);
    for (auto& agent : agents_) agent->Yield();
  }

  void Attach(const char* name, BpfHook hook) {
    usermode::FakeCaller self(getpid(), getpid());
    const ghostd_ioc_bpf_attach attach = programs_->AttachRequest(programs_->ProgramFd(name), 0);
    std::unique_ptr<BpfProgram> program;
    ASSERT_EQ(host_.Take(attach, self, &program), 0);
    ASSERT_EQ(
        harness_->core.AttachProgram(1, hook, std::make_unique<Both>(std::move(program), twin_->Program(), &runs_)), 0);
  }

  uint32_t Random(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }

  // One of the tasks, or 0.
  int64_t AnyTask() { return tasks_.empty() ? 0 : tasks_[Random(static_cast<uint32_t>(tasks_.size()))]; }

  void TaskEvent() {
    usermode::Core& core = harness_->core;
    const int64_t gtid = AnyTask();
    if (gtid == 0) return;
    const bool runs = driver_->running.contains(gtid);
    switch (Random(8)) {
      case 0:
        driver_->affinities[gtid] = CpuSet({static_cast<int>(Random(kCpus)), static_cast<int>(Random(kCpus))});
        core.OnTaskAffinityChanged(gtid);
        break;
      case 1:
        core.OnTaskPriorityChanged(gtid, static_cast<int>(Random(20)));
        break;
      case 2:
        if (Random(6) == 0) Exit(gtid);
        break;
      default:
        if (!runs) {
          core.OnTaskReady(gtid, {.waker_cpu = static_cast<int>(Random(kCpus))});  // if it was blocked
        } else {
          driver_->Forget(gtid);
          Random(3) == 0 ? core.OnTaskYielded(gtid) : core.OnTaskBlocked(gtid);
        }
    }
  }

  void Exit(int64_t gtid) {
    driver_->Forget(gtid);
    std::erase(tasks_, gtid);
    harness_->core.OnTaskExited(gtid);
  }

  void Step() {
    usermode::Core& core = harness_->core;
    driver_->now_ns += Random(3'000'000);
    driver_->GatePreempted(&core);
    switch (Random(10)) {
      case 0:
        if (tasks_.size() < 30) tasks_.push_back(harness_->Enter(1, next_tid_++));
        break;
      case 1:
        core.OnOtherClass(static_cast<int>(Random(kCpus)), Random(3) == 0);
        break;
      case 2:
        if (!driver_->timers.empty()) {
          const uint64_t timer = driver_->timers.begin()->first;
          driver_->timers.erase(timer);
          core.OnTimer(timer);
        }
        break;
      case 3: {
        const auto cpu = static_cast<int>(Random(kCpus));
        if (agents_[static_cast<size_t>(cpu)]->parked()) agents_[0]->Ping(cpu);
        break;
      }
      default:
        TaskEvent();
    }
    for (auto& agent : agents_) {
      if (!agent->parked() && Random(2) == 0) agent->Yield();
    }
    core.CheckInvariants();
  }

  // Both hold the same of each task.
  void Compare() {
    size_t tasks = 0, waiting = 0;
    for (const biff_task& task : state_->tasks) tasks += task.gtid != 0;
    for (const ghost_list& list : state_->lists) waiting += list.count;
    EXPECT_EQ(tasks, twin_->tasks());
    EXPECT_EQ(waiting, twin_->waiting());
    EXPECT_EQ(state_->counters.picks, twin_->picks());
  }

  std::unique_ptr<BpfPrograms> programs_;
  biff* state_ = nullptr;
  usermode::BpfHost host_{kCpus, [](const std::string& line) { FAIL() << line; }};
  uint64_t runs_ = 0;
  std::unique_ptr<sim::BiffTwin> twin_;
  TaskDriver* driver_ = new TaskDriver(kCpus);
  std::unique_ptr<Harness> harness_ =
      std::make_unique<Harness>(Harness::Defaults(), std::unique_ptr<usermode::FakeDriver>(driver_));
  std::vector<std::unique_ptr<TestAgent>> agents_;
  std::mt19937_64 random_{static_cast<uint64_t>(GetParam())};
  std::vector<int64_t> tasks_;
  usermode::Tid next_tid_ = 100;
};

TEST_P(BiffTwinTest, ProgramAndTwinAreTheSame) {
  for (int step = 0; step < 3000 && !HasFailure(); ++step) {
    Step();
    if (step % 100 == 0) Compare();
  }
  EXPECT_GT(runs_, 3000u);
  EXPECT_GT(twin_->picks(), 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, BiffTwinTest, testing::Range(1, 13));

}  // namespace
}  // namespace ghost
