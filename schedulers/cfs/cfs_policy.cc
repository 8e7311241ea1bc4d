#include "schedulers/cfs/cfs_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ghost {
namespace {

using Unit = Tunable::Unit;

// No task runs for longer without a message, so more is garbage; it would overflow.
constexpr uint64_t kGreatestRunNs = uint64_t{1} << 42;

bool HasJustCome(EnqueueReason reason) {
  return reason == EnqueueReason::kNew || reason == EnqueueReason::kWoken || reason == EnqueueReason::kWokenDeferrable;
}

}  // namespace

CfsPolicy::CfsPolicy(const PolicyConfig& config, const Options& options)
    : queues_(static_cast<size_t>(config.cpus.Last()) + 1),
      min_granularity_("min_granularity",
                       "a task that got the CPU keeps it for this long, unless one that wakes is due",
                       Unit::kNanoseconds, absl::ToInt64Nanoseconds(options.min_granularity), kLeastPeriodNs,
                       kGreatestGranularityNs),
      latency_("latency", "the period in which each task of a CPU is to run once", Unit::kNanoseconds,
               absl::ToInt64Nanoseconds(options.latency), kLeastPeriodNs, kGreatestLatencyNs),
      wakeup_granularity_("wakeup_granularity", "how far one that wakes must be behind the running task to preempt it",
                          Unit::kNanoseconds, absl::ToInt64Nanoseconds(options.wakeup_granularity), 0,
                          kGreatestLatencyNs),
      idle_load_balancing_("idle_load_balancing", "a CPU that runs out of tasks takes over some of another's",
                           Unit::kBool, options.idle_load_balancing ? 1 : 0, 0, 1) {}

int CfsPolicy::PlaceTask(const Task& task, const CpuLoads& loads) {
  const CpuSet& allowed = loads.allowed();
  const int home = allowed.Contains(task.home()) ? task.home() : allowed.First();
  if (const int idle = loads.NearestIdle(home); idle >= 0) return loads.Runnable(home) == 0 ? home : idle;
  // Others that are looked at differ from time to time. Moving costs something: it must be worth it.
  int best = home;
  int least = loads.Runnable(home);
  int cpu = queues_[task.home()].look_from;
  for (int i = 0; i < kCpusToTry; ++i) {
    cpu = allowed.Next(cpu);
    if (cpu < 0) cpu = allowed.First();
    const int runnable = loads.Runnable(cpu) + 1;  // with this one
    if (runnable >= least) continue;
    best = cpu;
    least = runnable;
  }
  queues_[task.home()].look_from = cpu;
  return best;
}

CfsPolicy::Task* CfsPolicy::PickToGive(int cpu, int to_cpu, int64_t most) {
  RunQueue& queue = queues_[cpu];
  const auto may_go = [&](const Task& task) { return task.weight <= most && task.allowed().Contains(to_cpu); };
  int tried = 0;
  for (auto it = queue.tasks.begin(); it != queue.tasks.end() && tried < kTasksToTry; ++it, ++tried) {
    // Its caches are warm, and its turn is not over.
    if (&*it != queue.current && may_go(*it)) return &*it;
  }
  Task* current = queue.current;
  return current != nullptr && current->link.is_linked() && may_go(*current) ? current : nullptr;
}

void CfsPolicy::Insert(RunQueue& queue, Task* task) {
  queue.tasks.insert(*task);
  queue.weight += task->weight;
}

void CfsPolicy::Erase(RunQueue& queue, Task* task) {
  queue.tasks.erase(queue.tasks.iterator_to(*task));
  queue.weight -= task->weight;
}

[[gnu::always_inline]] inline void CfsPolicy::Charge(RunQueue& queue, Task* task) {
  const uint64_t runtime_ns = task->runtime_ns();
  if (task->origin != Task::Origin::kNew && runtime_ns > task->charged_ns) {
    const auto ran_ns = static_cast<int64_t>(std::min(runtime_ns - task->charged_ns, kGreatestRunNs));
    task->vruntime += Weighted(ran_ns, task->weight);
    if (queue.current == task) {
      queue.turn_ns += ran_ns;
      const bool alone = queue.tasks.empty();
      Advance(queue, alone ? task->vruntime : std::min(task->vruntime, queue.tasks.begin()->vruntime));
    }
  }
  task->charged_ns = runtime_ns;
  task->weight = NiceWeight(task->nice());
}

int64_t CfsPolicy::Slice(int64_t weight, int64_t total, size_t count) const {
  const int64_t least = min_granularity_.Get();
  const int64_t period = std::max(latency_.Get(), static_cast<int64_t>(count) * least);
  // Unsigned: a million tasks of the greatest weight fit.
  const uint64_t share =
      static_cast<uint64_t>(period) * static_cast<uint64_t>(weight) / static_cast<uint64_t>(std::max(total, weight));
  return std::max(least, static_cast<int64_t>(share));
}

// A new task's. The one that runs has not come back yet: what it has run is not in its vruntime.
[[gnu::noinline]] int64_t CfsPolicy::StartOf(const RunQueue& queue, int64_t weight, Time now) const {
  const Task* running = queue.running;
  if (queue.tasks.empty() && running == nullptr) return queue.min_vruntime;
  int64_t first = kNobody;
  int64_t last = queue.min_vruntime;
  if (!queue.tasks.empty()) {
    first = queue.tasks.begin()->vruntime;
    last = std::max(last, queue.tasks.rbegin()->vruntime);
  }
  if (running != nullptr) {
    const int64_t ran_ns = std::max<int64_t>(now.ns() - queue.running_since.ns(), 0);
    const int64_t vruntime = running->vruntime + Weighted(ran_ns, running->weight);
    first = std::min(first, vruntime);
    last = std::max(last, vruntime);
  }
  const size_t count = queue.tasks.size() + (running == nullptr ? 1 : 2);
  const int64_t total = queue.weight + weight + (running == nullptr ? 0 : running->weight);
  return std::min(std::max(first, queue.min_vruntime) + Weighted(Slice(weight, total, count), weight), last);
}

[[gnu::always_inline]] inline void CfsPolicy::SetVruntime(const RunQueue& queue, Task* task, EnqueueReason reason,
                                                          Time now) const {
  if (task->origin == Task::Origin::kNew) task->vruntime = StartOf(queue, task->weight, now);
  // What it is behind on another CPU is no claim here: tasks that come and go would always be first.
  if (task->origin == Task::Origin::kMoving) {
    task->vruntime = queue.min_vruntime + std::max<int64_t>(task->vruntime, 0);
  }
  task->origin = Task::Origin::kQueue;
  task->vruntime = std::max(task->vruntime, queue.min_vruntime - latency_.Get() / 2);
  if (reason == EnqueueReason::kYielded && !queue.tasks.empty()) {
    const int64_t rightmost = queue.tasks.rbegin()->vruntime;
    task->vruntime = std::max(task->vruntime, std::min(rightmost, task->vruntime + latency_.Get()));
  }
}

void CfsPolicy::Enqueue(int cpu, Task* task, EnqueueReason reason, Time now) {
  RunQueue& queue = queues_[cpu];
  if (queue.running == task) queue.running = nullptr;
  Charge(queue, task);
  SetVruntime(queue, task, reason, now);
  if (HasJustCome(reason)) {
    queue.challenge = std::min(queue.challenge, task->vruntime + Weighted(wakeup_granularity_.Get(), task->weight));
  }
  if (reason == EnqueueReason::kYielded || reason == EnqueueReason::kSliceExpired) EndSlice(queue, task);
  Insert(queue, task);
}

int64_t CfsPolicy::LeftOfTurn(const RunQueue& queue) const {
  const Task* current = queue.current;
  if (current == nullptr || !current->link.is_linked() || current->vruntime > queue.challenge) return 0;
  return Slice(current->weight, queue.weight, queue.tasks.size()) - queue.turn_ns;
}

Pick<CfsPolicy::Task> CfsPolicy::PickNext(int cpu, Time now) {
  RunQueue& queue = queues_[cpu];
  if (queue.tasks.empty()) return {};
  Task* next = &*queue.tasks.begin();
  Advance(queue, next->vruntime);
  int64_t left_ns = LeftOfTurn(queue);
  if (left_ns > 0) {
    next = queue.current;
  } else {
    queue.current = next;
    queue.turn_ns = 0;
    left_ns = Slice(next->weight, queue.weight, queue.tasks.size());
  }
  queue.challenge = kNobody;
  queue.running = next;
  queue.running_since = now;
  Erase(queue, next);
  // Alone, it has the CPU until somebody comes.
  if (queue.tasks.empty()) return {.task = next};
  return {.task = next, .slice_end = Time::FromNanoseconds(now.ns() + left_ns)};
}

void CfsPolicy::OnBlocked(int cpu, Task* task, Time) {
  RunQueue& queue = queues_[cpu];
  Charge(queue, task);
  Stop(queue, task);
}

void CfsPolicy::OnMigrate(int cpu, Task* task) {
  RunQueue& queue = queues_[cpu];
  Charge(queue, task);
  Stop(queue, task);
  if (task->origin != Task::Origin::kQueue) return;
  task->vruntime -= queue.min_vruntime;
  task->origin = Task::Origin::kMoving;
}

void CfsPolicy::OnNiceChanged(int cpu, Task* task) {
  // One that is not queued is weighed anew when it is charged next.
  if (!task->link.is_linked()) return;
  RunQueue& queue = queues_[cpu];
  Erase(queue, task);
  Charge(queue, task);
  Insert(queue, task);
}

std::vector<Tunable*> CfsPolicy::Tunables() {
  return {&min_granularity_, &latency_, &wakeup_granularity_, &idle_load_balancing_};
}

void CfsPolicy::Describe(const Task& task, std::string* line) const {
  absl::StrAppend(line, " vruntime ", task.vruntime, " weight ", task.weight);
}

}  // namespace ghost
