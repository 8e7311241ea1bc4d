#include "kernel/usermode/sim/biff_twin.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernel/ghost_uapi.h"

namespace ghost::sim {
namespace {

using usermode::BpfHelpers;

// Tasks that one pick looks at.
constexpr int kAttempts = 8;

}  // namespace

// ---- Queues ----

void BiffTwin::LineUp(Task* task) {
  if (task->queued || !task->runnable || task->cpu >= 0) return;
  task->queued = true;
  task->queue = task->home;
  task->order = order_++;
  QueueOf(task->queue).push_back(task);
  ++waiting_;
}

void BiffTwin::TakeOut(Task* task) {
  if (!task->queued) return;
  task->queued = false;
  QueueOf(task->queue).remove(task);
  --waiting_;
}

void BiffTwin::ForgetCpu(Task* task) {
  if (task->cpu >= 0 && cpus_[task->cpu].current == task) cpus_[task->cpu].current = nullptr;
  task->cpu = -1;
}

BiffTwin::Task* BiffTwin::TakeFirst(int cpu) {
  const std::list<Task*>& local = cpus_[cpu].queue;
  Task* taken = global_.empty() ? nullptr : global_.front();
  if (!local.empty() && (taken == nullptr || local.front()->order < taken->order)) taken = local.front();
  if (taken == nullptr) return nullptr;
  TakeOut(taken);
  taken->cpu = cpu;
  return taken;
}

void BiffTwin::GiveBack(Task* task, uint32_t barrier, bool always) {
  ForgetCpu(task);
  if (always || task->barrier != barrier) LineUp(task);
}

// ---- Kicks ----

int BiffTwin::TakeIdleCpu(int first) {
  auto found = idle_.find(first);
  if (found == idle_.end()) found = idle_.begin();
  if (found == idle_.end()) return -1;
  const int cpu = *found;
  idle_.erase(found);
  return cpu;
}

void BiffTwin::EndSlice(int cpu, BpfHelpers& helpers) {
  Cpu& its = cpus_[cpu];
  if (its.current == nullptr || !WaitsFor(cpu)) return;
  const int64_t now = options_.now_ns();
  if (now - its.since_ns < slice_.Get()) return;
  its.since_ns = now;
  KickCpu(cpu, true, helpers);
}

bool BiffTwin::CallHome(int home, BpfHelpers& helpers) {
  if (idle_.erase(home) == 0) return false;
  KickCpu(home, false, helpers);
  return true;
}

void BiffTwin::KickFor(const Task& task, int last_cpu, bool woken, BpfHelpers& helpers) {
  if (!initialized() || task.home == kNowhere) return;
  if (task.home != kAnywhere) {
    if (CallHome(task.home, helpers)) return;
    if (!idle_.empty()) KickCpu(task.home, false, helpers);  // it may hand it on
    last_cpu = task.home;
  } else if (const int cpu = TakeIdleCpu(last_cpu < 0 ? 0 : last_cpu); cpu >= 0) {
    return KickCpu(cpu, false, helpers);
  }
  if (woken) EndSlice(last_cpu, helpers);
}

// ---- Homes ----

int BiffTwin::FindHome(int64_t gtid, int cpu) {
  const std::optional<CpuSet> affinity = options_.affinity(gtid);
  if (!affinity.has_value()) return kAnywhere;
  int first = -1, next = -1;
  for (int candidate : *affinity& options_.cpus) {
    if (idle_.contains(candidate)) return candidate;
    if (first < 0) first = candidate;
    if (next < 0 && candidate > cpu) next = candidate;
  }
  return next >= 0 ? next : first >= 0 ? first : kNowhere;
}

void BiffTwin::MoveHome(Task* task, int home) {
  TakeOut(task);
  task->home = home;
  LineUp(task);
}

// The first task that waits for `cpu`, which is taken, goes to an idle CPU that may run it, if there is one.
void BiffTwin::HandOn(int cpu, BpfHelpers& helpers) {
  if (cpus_[cpu].queue.empty()) return;
  Task* task = cpus_[cpu].queue.front();
  const int home = FindHome(task->gtid, cpu);
  if (home < 0 || home == cpu || idle_.erase(home) == 0) return;
  MoveHome(task, home);
  KickCpu(home, false, helpers);
}

// `cpu` has nothing to run: it becomes the home of a task that is the first to wait for another.
bool BiffTwin::Pull(int cpu) {
  int attempts = 0;
  for (auto& [id, other] : cpus_) {
    if (other.queue.empty()) continue;
    if (attempts++ == kAttempts) return false;
    Task* task = other.queue.front();
    const std::optional<CpuSet> affinity = options_.affinity(task->gtid);
    if (affinity.has_value() && !affinity->Contains(cpu)) continue;
    MoveHome(task, cpu);
    return true;
  }
  return false;
}

void BiffTwin::PassOn(int cpu, BpfHelpers& helpers) {
  idle_.erase(cpu);
  HandOn(cpu, helpers);
  if (global_.empty()) return;
  if (const int other = TakeIdleCpu(cpu); other >= 0) KickCpu(other, false, helpers);
}

// ---- Pick next task ----

void BiffTwin::SendHome(Task* task, int cpu, BpfHelpers& helpers) {
  const int home = FindHome(task->gtid, cpu);
  ForgetCpu(task);
  task->home = home;
  LineUp(task);
  if (home >= 0) CallHome(home, helpers);
}

void BiffTwin::PickNextTask(bpf_ghost_sched* context, int cpu, BpfHelpers& helpers) {
  if (!initialized()) return;
  if (context->agent_runnable != 0 || context->might_yield != 0 || context->next_gtid != 0) {
    return PassOn(cpu, helpers);
  }
  for (int i = 0; i < kAttempts; ++i) {
    Task* task = TakeFirst(cpu);
    if (task == nullptr && Pull(cpu)) task = TakeFirst(cpu);
    if (task == nullptr) break;
    const uint32_t barrier = task->barrier;
    const std::optional<CpuSet> affinity = options_.affinity(task->gtid);
    if (affinity.has_value() && !affinity->Contains(cpu)) {
      SendHome(task, cpu, helpers);
      continue;
    }
    const int error = helpers.RunGtid(task->gtid, barrier, SEND_TASK_ON_CPU);
    if (error == 0) {
      ++picks_;
      if (task->cpu == cpu) {
        cpus_[cpu].current = task;
        cpus_[cpu].since_ns = options_.now_ns();
      }
      HandOn(cpu, helpers);
      return;
    }
    const bool message_comes = error == -ENOENT || error == -ESTALE || error == -EINVAL;
    GiveBack(task, barrier, !message_comes);
  }
  if (WaitsFor(cpu)) {
    context->dont_idle = 1;
  } else {
    idle_.insert(cpu);
  }
}

// ---- Messages ----

void BiffTwin::Note(Task* task, uint32_t barrier, bool runnable) {
  ForgetCpu(task);
  task->barrier = barrier;
  task->runnable = runnable;
  if (runnable) {
    LineUp(task);
  } else {
    TakeOut(task);
  }
}

void BiffTwin::NoteBarrier(Task* task, uint32_t barrier, bool anew, BpfHelpers& helpers) {
  task->barrier = barrier;
  if (!anew || task->home == kAnywhere) return;
  const bool queued = task->queued;
  if (queued) TakeOut(task);
  task->home = kAnywhere;
  if (!queued) return;
  LineUp(task);
  KickFor(*task, -1, /*woken=*/false, helpers);
}

void BiffTwin::BecomesRunnable(Task* task, uint32_t barrier, int cpu, bool woken, BpfHelpers& helpers) {
  Note(task, barrier, true);
  KickFor(*task, cpu, woken, helpers);
}

int32_t BiffTwin::Arrive(const bpf_ghost_msg& message, BpfHelpers& helpers) {
  const auto gtid = static_cast<int64_t>(message.newt.gtid);
  if (message.newt.sw_info.id != 0) return 0;
  std::unique_ptr<Task>& task = tasks_[gtid];
  if (task == nullptr) {
    task = std::make_unique<Task>();
    task->gtid = gtid;
  }
  const bool runnable = message.newt.runnable != 0;
  Note(task.get(), message.seqnum, runnable);
  if (runnable) KickFor(*task, -1, /*woken=*/false, helpers);
  return 1;
}

void BiffTwin::Leave(Task* task) {
  ForgetCpu(task);
  TakeOut(task);
  tasks_.erase(task->gtid);
}

int32_t BiffTwin::SendMessage(bpf_ghost_msg* message, int, BpfHelpers& helpers) {
  if (message->type == MSG_TASK_NEW) return Arrive(*message, helpers);
  if (message->type == MSG_CPU_TICK) {
    EndSlice(message->cpu_tick.cpu, helpers);
    return 1;
  }
  if (message->type < MSG_TASK_DEAD || message->type > MSG_TASK_LATCH_FAILURE || message->type == MSG_TASK_SWITCHTO) {
    return 1;
  }
  auto found = tasks_.find(static_cast<int64_t>(message->dead.gtid));
  if (found == tasks_.end()) return 0;
  Task* task = found->second.get();
  switch (message->type) {
    case MSG_TASK_WAKEUP:
      BecomesRunnable(task, message->seqnum, message->wakeup.wake_up_cpu, /*woken=*/true, helpers);
      break;
    case MSG_TASK_PREEMPT:
      BecomesRunnable(task, message->seqnum, message->preempt.cpu, /*woken=*/false, helpers);
      break;
    case MSG_TASK_YIELD:
      BecomesRunnable(task, message->seqnum, message->yield.cpu, /*woken=*/false, helpers);
      break;
    case MSG_TASK_LATCH_FAILURE:
      BecomesRunnable(task, message->seqnum, -1, /*woken=*/false, helpers);
      break;
    case MSG_TASK_BLOCKED:
      Note(task, message->seqnum, false);
      break;
    case MSG_TASK_DEAD:
    case MSG_TASK_DEPARTED:
      Leave(task);
      break;
    case MSG_TASK_ON_CPU:
      task->barrier = message->seqnum;
      if (cpus_[message->on_cpu.cpu].current == task) cpus_[message->on_cpu.cpu].since_ns = options_.now_ns();
      break;
    default:
      NoteBarrier(task, message->seqnum, message->type == MSG_TASK_AFFINITY_CHANGED, helpers);
  }
  return 1;
}

}  // namespace ghost::sim
