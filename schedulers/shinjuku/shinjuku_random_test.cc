// Whatever happens to tasks: the policy keeps nobody waiting for what he may have. Many seeds; the model is as plain as
// can be: all tasks, looked through one by one.
#include <cstdint>
#include <random>

#include "gtest/gtest.h"
#include "lib/testing/plan_runner.h"
#include "schedulers/shinjuku/shinjuku_policy.h"

namespace ghost {
namespace {

using Reason = EnqueueReason;

constexpr int64_t kSlice = 50'000;

class ShinjukuRandomTest : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr int kCpus = 6;
  ShinjukuRandomTest()
      : random_(GetParam()),
        policy_({.cpus = CpuSet::FirstN(kCpus)}, {.slice_ns = kSlice}),
        run_(&policy_, CpuSet::FirstN(kCpus)) {}

  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }
  CpuSet DrawAllowed() {
    if (Draw(2) == 0) return CpuSet::FirstN(kCpus);
    CpuSet allowed;
    for (int i = 1 + Draw(3); i > 0; --i) allowed.Add(Draw(kCpus));
    return allowed;
  }
  WorkHint DrawHint() {
    return {.has_work = Draw(4) != 0,
            .repeating = Draw(4) == 0,
            .qos = static_cast<uint32_t>(Draw(3)),
            .period_ns = 1000 * Draw(300)};
  }
  void SomethingHappens() {
    const int64_t id = Draw(24);
    if (!run_.Exists(id)) return run_.New(id, DrawAllowed());
    const TaskState state = run_.state(id);
    switch (Draw(8)) {
      case 0:
        return run_.Hint(id, DrawHint());
      case 1:
        return run_.SetAllowed(id, DrawAllowed());
      case 2:
        return Draw(4) == 0 ? run_.Exit(id) : void();
      case 3:
        return state == TaskState::kOnCpu ? run_.Yield(id) : void();
      case 4:
        return state == TaskState::kOnCpu ? run_.KernelPreempts(id) : void();
      default:
        break;
    }
    if (state == TaskState::kOnCpu) run_.Block(id);
    if (state == TaskState::kBlocked) run_.Wake(id, Draw(2) == 0 ? Reason::kWoken : Reason::kWokenDeferrable);
  }
  // After a pass whose commits all went well: no CPU is idle, has a task without work, or one of a lower class, that a
  // waiting task may use; and of the waiting ones of a class none has been passed over for a whole slice.
  void Check() {
    for (int64_t id = 0; id < 24; ++id) {
      if (!run_.Exists(id) || run_.state(id) != TaskState::kQueued || !run_.task(id)->hint.has_work) continue;
      const ShinjukuPolicy::Task& waiting = *run_.task(id);
      for (int cpu : waiting.allowed()) {
        const int64_t running_id = run_.Running(cpu);
        ASSERT_GE(running_id, 0) << id << " waits, cpu " << cpu << " is idle";
        const ShinjukuPolicy::Task& running = *run_.task(running_id);
        ASSERT_TRUE(running.hint.has_work);
        ASSERT_GE(running.qos_class(), waiting.qos_class()) << id << " waits for cpu " << cpu;
        if (running.qos_class() == waiting.qos_class() && !running.hint.repeating) {
          ASSERT_LT(Time::NanosecondsBetween(running.since, run_.now()), kSlice) << id << " waits for cpu " << cpu;
        }
      }
    }
  }

  std::mt19937 random_;
  ShinjukuPolicy policy_;
  PlanRunner<ShinjukuPolicy> run_;
};

TEST_P(ShinjukuRandomTest, NobodyWaitsForWhatHeMayHave) {
  for (int step = 0; step < 1000 && !HasFatalFailure(); ++step) {
    for (int i = Draw(4); i > 0; --i) SomethingHappens();
    run_.Advance(Draw(4) == 0 ? kSlice : Draw(20000));
    if (Draw(10) == 0) {
      run_.fail_commits = DrawAllowed();
      run_.Pass();
      run_.fail_commits.Clear();
    }
    // One pass may free what the next one gives away: a task that is displaced waits, and may take another CPU.
    for (int passes = 0; run_.Pass() > 0; ++passes) ASSERT_LT(passes, 2 * kCpus);
    Check();
    // Nothing changes by itself before the time that it said.
    if (run_.look_again() > run_.now()) {
      EXPECT_EQ(run_.Pass(), 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ShinjukuRandomTest, testing::Range(0u, 30u));

}  // namespace
}  // namespace ghost
