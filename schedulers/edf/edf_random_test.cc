// Whatever happens to tasks: nobody waits for a CPU that he may have. Many seeds; the model is as plain as can be: all
// tasks, looked through one by one.
#include <cstdint>
#include <random>

#include "gtest/gtest.h"
#include "lib/testing/plan_runner.h"
#include "schedulers/edf/edf_policy.h"

namespace ghost {
namespace {

using Reason = EnqueueReason;

class EdfRandomTest : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr int kCpus = 6;
  static constexpr int kTasks = 24;
  EdfRandomTest()
      : random_(GetParam()),
        policy_({.cpus = CpuSet::FirstN(kCpus)}, {.preempt_earlier_deadline = GetParam() % 4 != 0}),
        run_(&policy_, CpuSet::FirstN(kCpus)) {}

  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }
  CpuSet DrawAllowed() {
    if (Draw(2) == 0) return CpuSet::FirstN(kCpus);
    CpuSet allowed;
    for (int i = 1 + Draw(3); i > 0; --i) allowed.Add(Draw(kCpus));
    return allowed;
  }
  WorkHint DrawHint() {
    const Time deadline = Draw(4) == 0 ? Time::Infinite() : Time::FromNanoseconds(run_.now().ns() + 1000 * Draw(50));
    return {.has_work = Draw(4) != 0,
            .repeating = Draw(4) == 0,
            .qos = static_cast<uint32_t>(Draw(3)),
            .deadline = deadline,
            .exec_ns = Draw(10000),
            .period_ns = 1000 * Draw(300)};
  }
  void SomethingHappens() {
    const int64_t id = Draw(kTasks);
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
  // Whether the order that the header promises lets `waiting` have the CPU of `running`.
  static bool MayHave(const EdfPolicy::Task& waiting, const EdfPolicy::Task& running) {
    if (waiting.hint.qos != running.hint.qos) return waiting.hint.qos > running.hint.qos;
    return GetParam() % 4 != 0 && waiting.hint.deadline < running.hint.deadline;
  }
  void Check() {
    for (int64_t id = 0; id < kTasks; ++id) {
      if (!run_.Exists(id) || run_.state(id) != TaskState::kQueued || !run_.task(id)->hint.has_work) continue;
      const EdfPolicy::Task& waiting = *run_.task(id);
      for (int cpu : waiting.allowed()) {
        const int64_t running_id = run_.Running(cpu);
        ASSERT_GE(running_id, 0) << id << " waits, cpu " << cpu << " is idle";
        const EdfPolicy::Task& running = *run_.task(running_id);
        ASSERT_TRUE(running.hint.has_work);
        ASSERT_FALSE(MayHave(waiting, running)) << id << " waits for cpu " << cpu;
      }
    }
  }

  std::mt19937 random_;
  EdfPolicy policy_;
  PlanRunner<EdfPolicy> run_;
};

TEST_P(EdfRandomTest, NobodyWaitsForWhatHeMayHave) {
  for (int step = 0; step < 1000 && !HasFatalFailure(); ++step) {
    for (int i = Draw(4); i > 0; --i) SomethingHappens();
    run_.Advance(Draw(20000));
    if (Draw(10) == 0) {
      run_.fail_commits = DrawAllowed();
      run_.Pass();
      run_.fail_commits.Clear();
    }
    // One pass may free what the next one gives away: a task that is displaced waits, and may take another CPU.
    for (int passes = 0; run_.Pass() > 0; ++passes) ASSERT_LT(passes, 2 * kCpus);
    Check();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EdfRandomTest, testing::Range(0u, 30u));

}  // namespace
}  // namespace ghost
