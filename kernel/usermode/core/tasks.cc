#include "kernel/usermode/core/tasks.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "kernel/usermode/core/kernel.h"
#include "lib/base/logging.h"

namespace ghost::usermode {

Tasks::Tasks(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

int Tasks::Enter(Enclave& enclave, Tid tid, const Caller& caller) {
  if (int error = state_.driver->MayAttach(tid, caller); error != 0) return -std::abs(error);
  if (state_.tasks_by_tid.contains(tid) || state_.FindAgent(tid) != nullptr) return -EPERM;
  if (enclave.dying) return -EXDEV;
  if (state_.tasks.size() >= static_cast<size_t>(state_.options.max_tasks)) return -ENOMEM;
  Identity& identity = *state_.IdentityOf(tid);
  if (identity.inhibited && identity.inhibited_by->abi != enclave.abi) return -EINVAL;
  StatusWord word = enclave.words.Allocate(identity.gtid, 0);
  if (!word) return -ENOMEM;
  AttachResult attached = state_.driver->Attach(tid, identity.gtid);
  if (attached.error != 0) {
    enclave.words.Free(word);
    return -std::abs(attached.error);
  }
  Task& task = Add(enclave, identity, word, attached.runtime_ns, attached.nice);
  kernel_.programs.AffinityChanged(task);
  task.cpu = std::max(enclave.cpus.First(), 0);
  switch (attached.state) {
    case AttachResult::State::kRunning:  // TASK_NEW when it is held
      task.state = TaskState::kEntering;
      task.word.SetFlags(GHOST_SW_TASK_RUNNABLE);
      task.word.SetOnCpu(state_.driver->NowNs());
      break;
    case AttachResult::State::kBlocked:
      Entered(task, TaskState::kBlocked);
      break;
    case AttachResult::State::kGated:
      Entered(task, TaskState::kRunnable);
      break;
  }
  return 0;
}

Task& Tasks::Add(Enclave& enclave, Identity& identity, StatusWord word, uint64_t runtime_ns, int nice) {
  auto owned = std::make_unique<Task>();
  Task& task = *owned;
  task.identity = &identity;
  task.gtid = identity.gtid;
  task.tid = identity.tid;
  task.enclave = &enclave;
  task.word = word;
  task.new_pending = true;
  task.nice = nice;
  task.runtime_ns = runtime_ns;
  task.word.SetRuntime(runtime_ns);
  state_.SetQueue(&task.queue, enclave.default_queue);
  state_.identities.AddUser(&identity);
  state_.tasks_by_tid[task.tid] = &task;
  const bool added = state_.tasks.emplace(task.gtid, std::move(owned)).second;
  GHOST_CHECK(added) << "gtid " << task.gtid;
  enclave.members.push_back(task);
  ++enclave.num_members;
  kernel_.programs.TaskChanged(task);
  return task;
}

void Tasks::Forget(Task& task) {
  Enclave& enclave = *task.enclave;
  --enclave.num_members;
  kernel_.programs.TaskGone(task);
  if (!task.new_pending) --enclave.num_announced;
  state_.SetQueue(&task.queue, nullptr);
  if (auto found = state_.tasks_by_tid.find(task.tid); found != state_.tasks_by_tid.end() && found->second == &task) {
    state_.tasks_by_tid.erase(found);
  }
  Identity* identity = task.identity;
  state_.tasks.erase(task.gtid);  // leaves its lists by itself
  state_.identities.DropUser(identity);
  kernel_.enclaves.Released(enclave);
}

void Tasks::Announce(Task& task) {
  task.new_pending = false;
  ++task.enclave->num_announced;
  kernel_.messenger.New(task);
}

void Tasks::Entered(Task& task, TaskState state) {
  task.state = state;
  task.word.SetOffCpu();
  if (state == TaskState::kRunnable) {
    task.word.SetFlags(GHOST_SW_TASK_RUNNABLE);
    kernel_.scheduler.StartWaiting(task);
    kernel_.ticker.Need();
  } else {
    task.word.ClearFlags(GHOST_SW_TASK_RUNNABLE);
  }
  Announce(task);
}

void Tasks::Tell(int64_t gtid, CoreObserver::TaskEvent event) {
  for (CoreObserver* observer : state_.observers) observer->OnTaskEvent(gtid, event);
}

void Tasks::OnGated(int64_t gtid) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr) return;
  Tell(gtid, CoreObserver::TaskEvent::kGated);
  if (task->state == TaskState::kEntering) {
    Entered(*task, TaskState::kRunnable);
  } else if (task->state == TaskState::kRunning) {
    kernel_.scheduler.Held(*task);
  } else if (task->state == TaskState::kBlocked) {
    Wake(*task, {});
  }
}

void Tasks::OnYielded(int64_t gtid) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr) return;
  Tell(gtid, CoreObserver::TaskEvent::kYielded);
  if (task->state == TaskState::kEntering) return Entered(*task, TaskState::kRunnable);
  if (task->state != TaskState::kRunning) return;
  Cpu& cpu = state_.cpus[static_cast<size_t>(task->cpu)];
  kernel_.scheduler.LeftCpu(*task, TaskState::kRunnable);
  if ((cpu.run_flags & RTLA_ON_YIELD) != 0) {
    kernel_.scheduler.ScheduleAgent(cpu);
  } else {
    cpu.must_resched = true;
  }
  RefreshRuntime(*task);
  kernel_.messenger.Yield(*task);
  task->word.SetOffCpu();
}

void Tasks::OnBlocked(int64_t gtid) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr) return;
  Tell(gtid, CoreObserver::TaskEvent::kBlocked);
  if (task->state == TaskState::kEntering) return Entered(*task, TaskState::kBlocked);
  if (task->state != TaskState::kRunning) return;
  Cpu& cpu = state_.cpus[static_cast<size_t>(task->cpu)];
  kernel_.scheduler.LeftCpu(*task, TaskState::kBlocked);
  RefreshRuntime(*task);
  task->word.ClearFlags(GHOST_SW_TASK_RUNNABLE);
  kernel_.messenger.Blocked(*task);
  if ((cpu.run_flags & RTLA_ON_BLOCKED) != 0) kernel_.scheduler.ScheduleAgent(cpu);
  task->word.SetOffCpu();
}

void Tasks::OnReady(int64_t gtid, const Core::Wakeup& wakeup) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr) return;
  Tell(gtid, CoreObserver::TaskEvent::kReady);
  if (task->state == TaskState::kEntering) return Entered(*task, TaskState::kRunnable);
  if (task->state == TaskState::kBlocked) Wake(*task, wakeup);
}

void Tasks::Wake(Task& task, const Core::Wakeup& wakeup) {
  TaskWakeup message{.gtid = task.gtid,
                     .deferrable = wakeup.deferrable,
                     .last_ran_cpu = task.cpu,
                     .wake_up_cpu = task.cpu,
                     .waker_cpu = state_.ValidCpu(wakeup.waker_cpu) ? wakeup.waker_cpu : task.cpu};
  if (task.enclave->tunables.wake_on_waker_cpu) message.wake_up_cpu = message.waker_cpu;
  if (Programs::Has(task.enclave, BpfHook::kSelectRq)) {
    if (const int cpu = kernel_.programs.SelectRq(task, message.waker_cpu); cpu >= 0) message.wake_up_cpu = cpu;
  }
  task.cpu = message.wake_up_cpu;
  task.state = TaskState::kRunnable;
  task.word.SetFlags(GHOST_SW_TASK_RUNNABLE);
  kernel_.scheduler.StartWaiting(task);
  kernel_.ticker.Need();
  kernel_.messenger.Wakeup(task, message);
}

int64_t Tasks::OnForked(int64_t parent_gtid, Tid child, uint64_t runtime_ns, int nice) {
  if (auto stale = state_.tasks_by_tid.find(child); stale != state_.tasks_by_tid.end()) OnExited(stale->second->gtid);
  Task* parent = state_.FindTask(parent_gtid);
  if (parent == nullptr || parent->enclave->dying || state_.FindAgent(child) != nullptr) return 0;
  if (state_.tasks.size() >= static_cast<size_t>(state_.options.max_tasks)) return 0;
  Enclave& enclave = *parent->enclave;
  if (Identity* namesake = state_.identities.FindTid(child); namesake != nullptr) state_.identities.Exited(namesake);
  Identity& identity = *state_.IdentityOf(child);
  StatusWord word = enclave.words.Allocate(identity.gtid, 0);
  if (!word) return 0;
  const int cpu = parent->cpu;
  Task& task = Add(enclave, identity, word, runtime_ns, nice);
  task.parent_gtid = parent_gtid;
  task.cpu = cpu;
  for (CoreObserver* observer : state_.observers) observer->OnTaskForked(task.gtid);
  Entered(task, TaskState::kRunnable);
  return task.gtid;
}

bool Tasks::Withdraw(Task& task) {
  const bool was_current = task.state == TaskState::kRunning;
  if (was_current) kernel_.scheduler.LeftCpu(task, TaskState::kBlocked);
  kernel_.scheduler.DropLatch(task);
  kernel_.scheduler.StopWaiting(task);
  task.state = TaskState::kBlocked;
  return was_current;
}

void Tasks::OnExited(int64_t gtid) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr) return;
  Tell(gtid, CoreObserver::TaskEvent::kExited);
  Cpu& cpu = state_.cpus[static_cast<size_t>(task->cpu)];
  const bool was_blocked = task->state == TaskState::kBlocked;
  const bool was_current = Withdraw(*task);
  // The driver has let go of it already: by the clock.
  if (was_current) task->runtime_ns += static_cast<uint64_t>(state_.driver->NowNs() - task->on_cpu_since_ns);
  task->word.SetRuntime(task->runtime_ns);
  task->word.ClearFlags(GHOST_SW_TASK_RUNNABLE);
  task->word.SetFlags(GHOST_SW_F_CANFREE);
  if (task->new_pending) {
    Announce(*task);
  } else if (!was_blocked) {
    // A ghost kernel's task blocks for the last time before it is dead.
    kernel_.messenger.Blocked(*task);
    if (was_current && (cpu.run_flags & RTLA_ON_BLOCKED) != 0) kernel_.scheduler.ScheduleAgent(cpu);
    // Death comes after the last switch: an agent that is picked there has a barrier that is older than TASK_DEAD.
    if (was_current) kernel_.scheduler.Settle();
  }
  const bool told = kernel_.messenger.Dead(*task);
  task->word.SetOffCpu();
  if (!told) task->enclave->words.Free(task->word);  // nobody else would
  state_.identities.Exited(task->identity);
  Forget(*task);
}

void Tasks::OnDeparted(int64_t gtid) {
  if (Task* task = state_.FindTask(gtid); task != nullptr) Depart(*task);
}

void Tasks::Depart(Task& task) {
  if (task.state == TaskState::kRunning) RefreshRuntime(task);
  const bool was_current = Withdraw(task);
  state_.driver->Detach(task.gtid);
  task.word.SetRuntime(task.runtime_ns);
  task.word.SetFlags(GHOST_SW_F_CANFREE | GHOST_SW_TASK_MSG_GATED);
  if (task.new_pending) Announce(task);
  if (kernel_.messenger.Departed(task, was_current)) {
    task.identity->inhibited = true;
    task.identity->inhibited_by = task.enclave;
    state_.identities.AddUser(task.identity);
  } else {
    task.enclave->words.Free(task.word);
  }
  Forget(task);
}

void Tasks::OnTidChanged(int64_t gtid, Tid tid) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr || task->tid == tid) return;
  if (auto found = state_.tasks_by_tid.find(task->tid); found != state_.tasks_by_tid.end() && found->second == task) {
    state_.tasks_by_tid.erase(found);
  }
  task->tid = tid;
  state_.tasks_by_tid[tid] = task;  // the old leader, if it was a task, is about to be reported dead
  state_.identities.ChangeTid(task->identity, tid);
}

void Tasks::OnAffinityChanged(int64_t gtid) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr || task->new_pending) return;
  kernel_.programs.AffinityChanged(*task);
  kernel_.messenger.AffinityChanged(*task);
  if (task->state == TaskState::kRunning) kernel_.scheduler.ScheduleAgent(state_.cpus[static_cast<size_t>(task->cpu)]);
}

void Tasks::OnPriorityChanged(int64_t gtid, int nice) {
  Task* task = state_.FindTask(gtid);
  if (task == nullptr) return;
  task->nice = nice;
  if (task->new_pending) return;
  kernel_.messenger.PriorityChanged(*task);
  if (task->state == TaskState::kRunning) kernel_.scheduler.ScheduleAgent(state_.cpus[static_cast<size_t>(task->cpu)]);
}

void Tasks::Discover(Enclave& enclave) {
  for (Task& task : enclave.members) {
    if (!task.new_pending) kernel_.messenger.Rediscover(task);
  }
}

void Tasks::Reap(Enclave& enclave) {
  while (!enclave.members.empty()) Depart(enclave.members.front());
}

void Tasks::Uninhibit(Identity& identity) {
  if (!identity.inhibited) return;
  identity.inhibited = false;
  identity.inhibited_by = nullptr;
  if (Task* task = state_.FindTask(identity.gtid); task != nullptr) kernel_.programs.TaskChanged(*task);
  if (Task* task = state_.FindTask(identity.gtid); task != nullptr && !task->new_pending) kernel_.messenger.New(*task);
  state_.identities.DropUser(&identity);
}

void Tasks::RefreshRuntime(Task& task) {
  task.runtime_ns = state_.driver->RuntimeNs(task.gtid);
  task.word.SetRuntime(task.runtime_ns);
}

bool Tasks::ThreadExists(int64_t gtid) {
  Identity* identity = state_.identities.FindGtid(gtid);
  if (identity == nullptr || identity->tid == 0) return false;
  return state_.FindAgent(identity->tid) != nullptr || state_.driver->RuntimeNsOfTid(identity->tid).has_value();
}

}  // namespace ghost::usermode
