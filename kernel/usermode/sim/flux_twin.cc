#include "kernel/usermode/sim/flux_twin.h"

#include <cerrno>
#include <iterator>
#include <utility>

#include "kernel/ghost_uapi.h"

namespace ghost::sim {
namespace {

using usermode::BpfHelpers;

// Tasks that one pick looks at.
constexpr int kAttempts = 8;
// Steps of a CPU through the tree, which is at most 4 nodes deep.
constexpr int kSteps = 16;

}  // namespace

void FluxTwin::Do(Kick kick, BpfHelpers& helpers) {
  if (kick.cpu < 0) return;
  KickCpu(kick.cpu, kick.must, helpers);
}

FluxTwin::FluxTwin(Options options)
    : options_(std::move(options)),
      slice_("slice", "how long a task runs while others of its sub-scheduler wait", Tunable::Unit::kNanoseconds,
             options_.slice_ns, 1, INT64_MAX),
      nodes_(options_.tree.size()) {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodeOptions& its = options_.tree[i];
    nodes_[i].type = its.type;
    nodes_[i].limit = its.limit;
    if (its.parent == 0) continue;
    nodes_[i].parent = &nodes_[static_cast<size_t>(its.parent) - 1];
    nodes_[i].parent->children.push_back(&nodes_[i]);
  }
}

uint64_t FluxTwin::picks() const {
  uint64_t sum = 0;
  for (const Node& node : nodes_) sum += node.picks;
  return sum;
}

// ---- CPUs for those who wait ----

FluxTwin::Kick FluxTwin::Claim(Node* leaf, int cpu) {
  Cpu& its = cpus_[cpu];
  if (Node* top = WhoGives(leaf, cpu); top != nullptr) {
    TakeCpuUp(cpu, top);
    return {.cpu = cpu, .must = its.current != nullptr};
  }
  if (its.at != nullptr && its.at->IsAbove(leaf) && its.current == nullptr) return {.cpu = cpu};
  return {};
}

FluxTwin::Kick FluxTwin::CallHome(Node* leaf, int home) { return leaf->pinned[home] > 0 ? Claim(leaf, home) : Kick{}; }

FluxTwin::Kick FluxTwin::CallAny(Node* leaf, int first) {
  if (leaf->waiting == 0) return {};
  Node* top = Root();
  Node* from = Idle()->cpus.empty() ? FindGiver(leaf, &top) : Idle();
  if (from == nullptr) return {};
  const int cpu = from->cpus.contains(first) ? first : *from->cpus.begin();
  TakeCpuUp(cpu, top);
  return {.cpu = cpu, .must = cpus_[cpu].current != nullptr};
}

void FluxTwin::CallFor(const Task& task, int last_cpu, BpfHelpers& helpers) {
  if (!initialized()) return;
  Do(task.home >= 0 ? CallHome(task.leaf, task.home) : CallAny(task.leaf, last_cpu < 0 ? 0 : last_cpu), helpers);
}

int FluxTwin::FindHome(int64_t gtid, int cpu) {
  const std::optional<CpuSet> affinity = options_.affinity(gtid);
  if (!affinity.has_value()) return -1;
  int first = -1, present = -1, after = -1;
  for (int candidate : *affinity& options_.cpus) {
    if (Idle()->cpus.contains(candidate)) return candidate;
    if (first < 0) first = candidate;
    if (!Root()->cpus.contains(candidate)) continue;
    if (present < 0) present = candidate;
    if (after < 0 && candidate > cpu) after = candidate;
  }
  return after >= 0 ? after : present >= 0 ? present : first;
}

// ---- Pick next task ----

FluxTwin::Found FluxTwin::TakeFirst(int cpu) {
  Found taken;
  for (int i = 0; i < kSteps && taken.task == nullptr && !taken.keep; ++i) taken = StepOf(cpu);
  if (taken.task != nullptr) {
    Dequeue(taken.task);
    taken.task->cpu = cpu;
    cpus_[cpu].current = taken.task;
  }
  return taken;
}

void FluxTwin::GiveBack(Task* task, int cpu, uint32_t barrier, bool always) {
  if (task->cpu == cpu) ForgetCpu(task);
  if (always || task->barrier != barrier) Enqueue(task);
}

bool FluxTwin::SendHome(Task* task, int cpu, uint32_t barrier, bool idle, BpfHelpers& helpers) {
  const int home = FindHome(task->gtid, cpu);
  bool moves = task->waits == Task::kAtHome && home != task->home;
  if (idle && !Idle()->cpus.contains(home)) moves = false;
  if (moves || task->cpu == cpu) {
    ForgetCpu(task);
    Dequeue(task);
    if (task->barrier == barrier) {
      task->home = home;
      task->nowhere = home < 0;
    }
    Enqueue(task);
  }
  if (moves || !idle) CallFor(*task, cpu, helpers);
  return moves;
}

FluxTwin::Kick FluxTwin::SettleOn(Task* task, int cpu) {
  Cpu& its = cpus_[cpu];
  ++task->leaf->picks;
  if (its.current != task) return {};
  its.since_ns = options_.now_ns();
  return its.at != task->leaf ? Kick{.cpu = cpu, .must = true} : Kick{};
}

void FluxTwin::Spread(int cpu, BpfHelpers& helpers) {
  const bool here = cpus_[cpu].at != nullptr;
  if (here && Idle()->cpus.empty()) return;
  for (Node& leaf : nodes_) {
    if (!leaf.is_leaf()) continue;
    const std::list<Task*>& waiting = leaf.pinned_queue[cpu];
    size_t stay = 0;
    for (int i = 0; i < kAttempts && stay < waiting.size(); ++i) {
      Task* task = *std::next(waiting.begin(), static_cast<ptrdiff_t>(stay));
      if (!SendHome(task, cpu, task->barrier, here, helpers)) ++stay;
    }
  }
}

void FluxTwin::PassOn(int cpu, BpfHelpers& helpers) {
  if (cpus_[cpu].at == nullptr) return;
  TakeCpuUp(cpu, nullptr);
  for (Node& leaf : nodes_) {
    if (leaf.is_leaf()) Do(CallAny(&leaf, cpu), helpers);
  }
  Spread(cpu, helpers);
}

void FluxTwin::PickNextTask(bpf_ghost_sched* context, int cpu, BpfHelpers& helpers) {
  if (!initialized()) return;
  if (context->agent_runnable != 0 || context->might_yield != 0) return PassOn(cpu, helpers);
  if (context->next_gtid != 0) return;
  for (int i = 0; i < kAttempts; ++i) {
    const Found taken = TakeFirst(cpu);
    if (taken.keep) return;
    if (taken.task == nullptr) break;
    const uint32_t barrier = taken.task->barrier;
    const std::optional<CpuSet> affinity = options_.affinity(taken.task->gtid);
    if (affinity.has_value() && !affinity->Contains(cpu)) {
      SendHome(taken.task, cpu, barrier, false, helpers);
      continue;
    }
    const int error = helpers.RunGtid(taken.task->gtid, barrier, SEND_TASK_ON_CPU);
    if (error == 0) return Do(SettleOn(taken.task, cpu), helpers);
    GiveBack(taken.task, cpu, barrier, error != -ENOENT && error != -ESTALE);
  }
  context->dont_idle = 1;
}

// ---- Messages ----

void FluxTwin::Note(Task* task, uint32_t barrier, bool runnable) {
  ForgetCpu(task);
  task->barrier = barrier;
  task->runnable = runnable;
  runnable ? Enqueue(task) : Dequeue(task);
}

bool FluxTwin::NoteBarrier(Task* task, uint32_t barrier, bool anew) {
  task->barrier = barrier;
  if (!anew || (task->home < 0 && !task->nowhere)) return false;
  Dequeue(task);
  task->home = -1;
  task->nowhere = false;
  Enqueue(task);
  return task->waits != Task::kNot;
}

FluxTwin::Kick FluxTwin::NoteNice(Task* task, int nice) {
  Node* leaf = Route(nice);
  if (leaf == task->leaf) return {};
  Dequeue(task);
  task->leaf = leaf;
  Enqueue(task);
  return task->cpu >= 0 ? Kick{.cpu = task->cpu, .must = true} : Kick{};
}

int32_t FluxTwin::Arrive(const bpf_ghost_msg& message, BpfHelpers& helpers) {
  const auto gtid = static_cast<int64_t>(message.newt.gtid);
  if (message.newt.sw_info.id != 0) return 0;
  std::unique_ptr<Task>& task = tasks_[gtid];
  if (task == nullptr) {
    task = std::make_unique<Task>();
    task->gtid = gtid;
  }
  const bool runnable = message.newt.runnable != 0;
  NoteNice(task.get(), message.newt.nice);
  Note(task.get(), message.seqnum, runnable);
  if (runnable) CallFor(*task, -1, helpers);
  return 1;
}

void FluxTwin::Leave(Task* task) {
  ForgetCpu(task);
  Dequeue(task);
  tasks_.erase(task->gtid);
}

FluxTwin::Kick FluxTwin::Tick(int cpu) {
  Cpu& its = cpus_[cpu];
  if (its.current == nullptr) return {};
  const int64_t now = options_.now_ns();
  const Node* leaf = its.current->leaf;
  if (Node* top = WhoWouldTake(cpu); top != nullptr) TakeCpuUp(cpu, top);
  if (its.at != leaf) return {.cpu = cpu, .must = true};
  if (!TurnIsOver(*leaf, cpu, now - its.since_ns)) return {};
  its.since_ns = now;
  return {.cpu = cpu, .must = true};
}

void FluxTwin::BecomesRunnable(Task* task, uint32_t barrier, int cpu, BpfHelpers& helpers) {
  const int home = task->home;
  Note(task, barrier, true);
  if (home >= 0) {
    SendHome(task, home, barrier, false, helpers);
  } else {
    CallFor(*task, cpu, helpers);
  }
}

int32_t FluxTwin::SendMessage(bpf_ghost_msg* message, int, BpfHelpers& helpers) {
  if (message->type == MSG_TASK_NEW) return Arrive(*message, helpers);
  if (message->type == MSG_CPU_TICK) {
    Do(Tick(message->cpu_tick.cpu), helpers);
    Spread(message->cpu_tick.cpu, helpers);
    return 1;
  }
  if (message->type < MSG_TASK_DEAD || message->type > MSG_TASK_LATCH_FAILURE || message->type == MSG_TASK_SWITCHTO) {
    return 1;
  }
  auto found = tasks_.find(static_cast<int64_t>(message->dead.gtid));
  if (found == tasks_.end()) return 0;
  Task* task = found->second.get();
  const uint32_t barrier = message->seqnum;
  switch (message->type) {
    case MSG_TASK_WAKEUP:
      BecomesRunnable(task, barrier, message->wakeup.wake_up_cpu, helpers);
      break;
    case MSG_TASK_PREEMPT:
      BecomesRunnable(task, barrier, message->preempt.cpu, helpers);
      break;
    case MSG_TASK_YIELD:
      BecomesRunnable(task, barrier, message->yield.cpu, helpers);
      break;
    case MSG_TASK_LATCH_FAILURE:
      BecomesRunnable(task, barrier, -1, helpers);
      break;
    case MSG_TASK_BLOCKED:
      Note(task, barrier, false);
      break;
    case MSG_TASK_DEAD:
    case MSG_TASK_DEPARTED:
      Leave(task);
      break;
    case MSG_TASK_ON_CPU:
      task->barrier = barrier;
      if (cpus_[message->on_cpu.cpu].current == task) cpus_[message->on_cpu.cpu].since_ns = options_.now_ns();
      break;
    case MSG_TASK_PRIORITY_CHANGED:
      NoteBarrier(task, barrier, false);
      Do(NoteNice(task, message->priority.nice), helpers);
      CallFor(*task, -1, helpers);
      break;
    default:
      if (NoteBarrier(task, barrier, message->type == MSG_TASK_AFFINITY_CHANGED)) CallFor(*task, -1, helpers);
  }
  return 1;
}

}  // namespace ghost::sim
