// Per-CPU FIFO: tasks run in the order in which they came, each until it blocks or yields.
//
//   * A task that becomes runnable for the first time joins the allowed CPU with the fewest runnable tasks, and stays
//     there, until its affinity forbids it, or it would wait while another CPU has nothing to do.
//   * It queues at the back. In front go: a task that was preempted (it was not done), one woken from a wait that
//     others may depend on (not deferrable: not a timer, futex or poll), and one that was chosen but did not get on the
//     CPU.
//   * No time slice; sched_yield sends it to the back. Who never blocks has the CPU for ever, and so have two who wake
//     each other for ever: one of them goes in front each time.
//
// Pure: see lib/policy.h, which also says who calls it.
#ifndef GHOST_SCHEDULERS_FIFO_PER_CPU_FIFO_POLICY_H_
#define GHOST_SCHEDULERS_FIFO_PER_CPU_FIFO_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "lib/base/time.h"
#include "lib/policy.h"
#include "lib/task.h"

namespace ghost {

class FifoPolicy {
 public:
  using Link = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  struct Task : TaskBase {
    Link link;
    bool boosted = false;  // it joined the queue in front
  };

  explicit FifoPolicy(const PolicyConfig& config) : queues_(config.cpus.Last() + 1) {}

  int PlaceTask(const Task& task, const CpuLoads& loads);

  void Enqueue(int cpu, Task* task, EnqueueReason reason, Time) {
    Queue& tasks = queues_[cpu].tasks;
    task->boosted = GoesInFront(reason);
    tasks.insert(task->boosted ? tasks.begin() : tasks.end(), *task);
  }

  void Dequeue(int cpu, Task* task) {
    Queue& tasks = queues_[cpu].tasks;
    tasks.erase(tasks.iterator_to(*task));
  }

  Pick<Task> PickNext(int cpu, Time) {
    Queue& tasks = queues_[cpu].tasks;
    if (tasks.empty()) return {};
    Task* task = &tasks.front();
    tasks.pop_front();
    return {.task = task};
  }

  // The one that has waited longest, but for the one in front, whose turn is next here.
  Task* PickToGive(int cpu, int to_cpu, int64_t most);

  void Describe(const Task& task, std::string* line) const;

 private:
  using Queue = boost::intrusive::list<Task, boost::intrusive::member_hook<Task, Link, &Task::link>,
                                       boost::intrusive::constant_time_size<false>>;
  struct alignas(64) CpuQueue {
    Queue tasks;
  };

  static bool GoesInFront(EnqueueReason reason) {
    return reason == EnqueueReason::kPreempted || reason == EnqueueReason::kWoken ||
           reason == EnqueueReason::kCommitFailed;
  }

  std::vector<CpuQueue> queues_;  // by cpu
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_FIFO_PER_CPU_FIFO_POLICY_H_
