// A random test of a centralized policy with hints, without a kernel: whatever happens to tasks, nobody waits for a CPU
// that he may have. The model is as plain as can be: all tasks, looked through one by one, after each pass.
//
// A fixture derives from it and says by MayHave whose CPU a waiting task may have. Threads: the test's one.
#ifndef GHOST_LIB_TESTING_PLAN_RANDOM_H_
#define GHOST_LIB_TESTING_PLAN_RANDOM_H_

#include <cstdint>
#include <random>

#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/testing/plan_runner.h"
#include "lib/work_hints.h"

namespace ghost {

// The parameter is the seed.
template <typename Policy>
class PlanRandom : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr int kCpus = 6;
  static constexpr int kTasks = 24;
  using Task = typename Policy::Task;

  explicit PlanRandom(const typename Policy::Options& options)
      : random_(GetParam()), policy_({.cpus = CpuSet::FirstN(kCpus)}, options), run_(&policy_, CpuSet::FirstN(kCpus)) {}

  // Whether the order that the policy promises lets `waiting` have the CPU of `running`.
  virtual bool MayHave(const Task& waiting, const Task& running) = 0;

  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }

  // One step: some things happen, `ns` pass, and so do passes until nothing changes. Fatal failures are the test's.
  void Step(int64_t ns) {
    for (int i = Draw(4); i > 0; --i) SomethingHappens();
    run_.Advance(ns);
    if (Draw(10) == 0) {
      run_.fail_commits = DrawAllowed();
      run_.Pass();
      run_.fail_commits.Clear();
    }
    // One pass may free what the next one gives away: a task that is displaced waits, and may take another CPU.
    for (int passes = 0; run_.Pass() > 0; ++passes) ASSERT_LT(passes, 2 * kCpus);
    Check();
  }

  std::mt19937 random_;
  Policy policy_;
  PlanRunner<Policy> run_;

 private:
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
    if (state != TaskState::kBlocked) return;
    run_.Wake(id, Draw(2) == 0 ? EnqueueReason::kWoken : EnqueueReason::kWokenDeferrable);
  }
  void Check() {
    for (int64_t id = 0; id < kTasks; ++id) {
      if (!run_.Exists(id) || run_.state(id) != TaskState::kQueued || !run_.task(id)->hint.has_work) continue;
      const Task& waiting = *run_.task(id);
      for (int cpu : waiting.allowed()) {
        const int64_t running_id = run_.Running(cpu);
        ASSERT_GE(running_id, 0) << id << " waits, cpu " << cpu << " is idle";
        const Task& running = *run_.task(running_id);
        ASSERT_TRUE(running.hint.has_work);
        ASSERT_FALSE(MayHave(waiting, running)) << id << " waits for cpu " << cpu;
      }
    }
  }
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_PLAN_RANDOM_H_
