// PlanRunner: what stands around a centralized policy, for its unit tests: CPUs, tasks and their states, without a
// kernel and without messages. It calls the policy as lib/centralized_policy.h says, does what the policy plans, and
// checks that it may.
//
//     PlanRunner<ShinjukuPolicy> run(&policy, CpuSet({1, 2}));
//     run.New(7);
//     run.Pass();
//     EXPECT_EQ(run.Running(1), 7);
//     run.Advance(100'000);
//     run.Block(7);
//
// What a real runtime learns late (a commit that fails, a task that is off its CPU) happens at once, unless a test says
// otherwise with fail_commits.
//
// Threads: one.
#ifndef GHOST_LIB_TESTING_PLAN_RUNNER_H_
#define GHOST_LIB_TESTING_PLAN_RUNNER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/centralized_policy.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/testing/task_test_peer.h"
#include "lib/work_hints.h"

namespace ghost {

template <typename Policy>
class PlanRunner {
 public:
  using Task = typename Policy::Task;

  PlanRunner(Policy* policy, const CpuSet& cpus) : policy_(policy), cpus_(cpus), plan_(cpus.Last() + 1) {
    for (int cpu : cpus) plan_.SetIdle(cpu);
  }
  // Tasks stay until the policy, whose queues they stand in, is gone: make the runner first, or end them all.
  ~PlanRunner() {
    while (!tasks_.empty()) Exit(tasks_.begin()->first);
  }

  Time now() const { return Time::FromNanoseconds(now_ns_); }
  void Advance(int64_t ns) { now_ns_ += ns; }

  Task* task(int64_t id) { return &tasks_.at(id)->task; }
  bool Exists(int64_t id) const { return tasks_.count(id) != 0; }
  TaskState state(int64_t id) { return task(id)->state(); }
  // The task of a CPU, or -1.
  int64_t Running(int cpu) {
    for (auto& [id, entry] : tasks_) {
      if (entry->cpu == cpu) return id;
    }
    return -1;
  }
  std::vector<int64_t> Running() {
    std::vector<int64_t> ids;
    for (int cpu : cpus_) ids.push_back(Running(cpu));
    return ids;
  }

  // The order in which the waiting tasks would get this CPU, if each blocked at once.
  std::vector<int64_t> Order(int cpu) {
    std::vector<int64_t> order;
    if (const int64_t id = Running(cpu); id >= 0) Block(id);
    while (Pass() > 0) {
      order.push_back(Running(cpu));
      Block(order.back());
    }
    return order;
  }

  void New(int64_t id) { New(id, cpus_); }
  void New(int64_t id, const CpuSet& allowed) {
    auto entry = std::make_unique<Entry>();
    TaskTestPeer::SetGtid(&entry->task, id);
    TaskTestPeer::SetAllowed(&entry->task, allowed);
    Task* task = &entry->task;
    tasks_[id] = std::move(entry);
    SetState(task, TaskState::kRunnable);
    Queue(task, EnqueueReason::kNew);
  }
  void Block(int64_t id) {
    Stop(id);
    SetState(task(id), TaskState::kBlocked);
    if constexpr (requires { policy_->OnBlocked(task(id), now()); }) policy_->OnBlocked(task(id), now());
  }
  void Wake(int64_t id, EnqueueReason reason = EnqueueReason::kWoken) { Queue(task(id), reason); }
  void Yield(int64_t id) { LeaveCpu(id, EnqueueReason::kYielded); }
  // Another class wants the CPU.
  void KernelPreempts(int64_t id) { LeaveCpu(id, EnqueueReason::kPreempted); }
  void Exit(int64_t id) {
    if (state(id) == TaskState::kQueued) policy_->Dequeue(task(id));
    if (state(id) == TaskState::kOnCpu) Stop(id);
    tasks_.erase(id);
  }
  void Hint(int64_t id, const WorkHint& hint) { policy_->OnHint(task(id), hint, now()); }
  void SetAllowed(int64_t id, const CpuSet& allowed) {
    TaskTestPeer::SetAllowed(task(id), allowed);
    policy_->OnAffinityChanged(task(id));
    if (state(id) == TaskState::kOnCpu && !allowed.Contains(entry(id).cpu)) LeaveCpu(id, EnqueueReason::kPreempted);
  }

  // Whose commits fail; the next pass finds them queued.
  CpuSet fail_commits;

  // One pass. Returns how many CPUs were planned for.
  int Pass() {
    plan_.BeginPass(now());
    policy_->Schedule(plan_);
    const auto planned = plan_.planned_cpus();
    const std::vector<Task*> told = plan_.have_work();
    for (int cpu : planned) {
      Task* next = plan_.planned(cpu);
      Task* before = plan_.current(cpu);
      if (fail_commits.Contains(cpu)) {
        before == nullptr ? plan_.SetIdle(cpu) : plan_.PutBackBusy(cpu);
        if (next != nullptr) Queue(next, EnqueueReason::kCommitFailed);
        continue;
      }
      if (before != nullptr) LeaveCpu(before->gtid(), EnqueueReason::kSliceExpired);
      if (next != nullptr) Run(cpu, next);
    }
    for (const Task* task : told) told_.push_back(task->gtid());
    return static_cast<int>(planned.size());
  }
  // When the policy wants a pass at the latest.
  Time look_again() const { return plan_.look_again(); }
  // Whose applications were told that there is work again, since the last call.
  std::vector<int64_t> TakeTold() { return std::exchange(told_, {}); }

  Plan<Task>& plan() { return plan_; }

 private:
  struct Entry {
    Task task;
    int cpu = -1;
    Time since;
  };
  Entry& entry(int64_t id) { return *tasks_.at(id); }

  static void SetState(Task* task, TaskState state) {
    EXPECT_TRUE(IsLegal(task->state(), state)) << TaskStateName(task->state()) << " to " << TaskStateName(state);
    TaskTestPeer::SetState(task, state);
  }
  void Queue(Task* task, EnqueueReason reason) {
    if (task->state() != TaskState::kQueued) SetState(task, TaskState::kQueued);
    policy_->Enqueue(task, reason, now());
  }
  void Run(int cpu, Task* task) {
    EXPECT_TRUE(task->allowed().Contains(cpu)) << task->gtid() << " may not run on cpu " << cpu;
    SetState(task, TaskState::kOnCpu);
    entry(task->gtid()).cpu = cpu;
    entry(task->gtid()).since = now();
    plan_.SetUnavailable(cpu);  // no more than it is to be
    plan_.SetBusy(cpu, task, now());
    if constexpr (requires { policy_->OnRunning(cpu, task, now()); }) policy_->OnRunning(cpu, task, now());
  }
  void Stop(int64_t id) {
    const int cpu = std::exchange(entry(id).cpu, -1);
    plan_.SetIdle(cpu);
    if constexpr (requires { policy_->OnStopped(cpu, task(id), now()); }) policy_->OnStopped(cpu, task(id), now());
  }
  void LeaveCpu(int64_t id, EnqueueReason reason) {
    Stop(id);
    Queue(task(id), reason);
  }

  Policy* const policy_;
  const CpuSet cpus_;
  Plan<Task> plan_;
  std::map<int64_t, std::unique_ptr<Entry>> tasks_;
  std::vector<int64_t> told_;
  int64_t now_ns_ = 1'000'000'000;
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_PLAN_RUNNER_H_
