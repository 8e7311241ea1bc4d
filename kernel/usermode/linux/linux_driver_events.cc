// LinuxDriver's other half: what the gate and the ptrace stops say, translated into the core's events.
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/linux/linux_driver.h"
#include "kernel/usermode/linux/proc.h"
#include "lib/base/logging.h"
#include "lib/base/process.h"

namespace ghost::usermode {
namespace {

// x86-64 system calls, as in gate.bpf.c.
constexpr long kNrNanosleep = 35;
constexpr long kNrSetpriority = 141;
constexpr long kNrSchedSetscheduler = 144;
constexpr long kNrFutex = 202;
constexpr long kNrSchedSetaffinity = 203;
constexpr long kNrClockNanosleep = 230;
constexpr long kNrEpollWait = 232;
constexpr long kNrEpollPwait = 281;
constexpr long kNrSchedSetattr = 314;
constexpr long kNrEpollPwait2 = 441;

}  // namespace

bool LinuxDriver::IsDeferrable(long call) {
  constexpr std::array kCalls = {kNrNanosleep, kNrFutex,      kNrClockNanosleep,
                                 kNrEpollWait, kNrEpollPwait, kNrEpollPwait2};
  return std::find(kCalls.begin(), kCalls.end(), call) != kCalls.end();
}

void LinuxDriver::OnEvent(const gate_event& event) {
  if (event.slot >= by_slot_.size()) return;
  Task* task = by_slot_[event.slot].get();
  if (task == nullptr) {
    OnAgentEvent(event);
    return;
  }
  if (event.type == GATE_EVENT_EXEC) {
    OnExec(*task, static_cast<Tid>(event.tid));
    return;
  }
  if (task->tid != static_cast<Tid>(event.tid)) return;  // of the slot's last owner
  switch (event.type) {
    case GATE_EVENT_BLOCKED:
      OnBlocked(*task, static_cast<long>(event.arg));
      break;
    case GATE_EVENT_STOPPED:
      OnStopped(*task);
      break;
    case GATE_EVENT_EXIT:
      OnExit(*task);
      break;
    case GATE_EVENT_DEAD:
      OnDead(*task, static_cast<Tid>(event.arg));
      break;
    case GATE_EVENT_UNTRACED:
      OnUntracedClone(*task, static_cast<Tid>(event.arg));
      break;
    case GATE_EVENT_CALL:
      OnSchedulingCall(*task, static_cast<long>(event.arg), event.arg2);
      break;
    default:
      break;
  }
}

void LinuxDriver::OnAgentEvent(const gate_event& event) {
  auto found = agents_.find(static_cast<int>(event.slot));
  if (found == agents_.end() || found->second.tid != static_cast<Tid>(event.tid)) return;
  if (event.type != GATE_EVENT_EXIT) return;
  Tid tid = found->second.tid;
  gate_->Give(found->first, tid);
  agents_.erase(found);
  options_.guardian->Forget(tid);
  core_->OnAgentExited(tid);
}

void LinuxDriver::OnBlocked(Task& task, long call) {
  if (task.phase != Phase::kRunning) return;
  task.phase = Phase::kBlocked;
  task.deferrable = IsDeferrable(call);
  core_->OnTaskBlocked(task.gtid);
}

void LinuxDriver::OnExit(Task& task) {
  if (task.phase == Phase::kExited) return;
  Phase before = task.phase;
  task.phase = Phase::kExited;
  gate_->SetState(task.slot, GATE_EXITED);
  options_.guardian->Forget(task.tid);
  ReleaseParentOf(task);
  int64_t gtid = std::exchange(task.gtid, 0);
  by_gtid_.erase(gtid);
  if (before != Phase::kLeaving && gtid != 0) core_->OnTaskExited(gtid);
}

void LinuxDriver::OnDead(Task& task, Tid tgid) {
  OnExit(task);
  Tid tid = task.tid;
  DeleteTask(task);
  if (!Reap(tid) && tid == tgid) ReapWithProcess(tgid);
  if (zombie_leaders_.contains(tgid) && Reap(tgid)) ForgetLeader(tgid);
}

void LinuxDriver::ReapWithProcess(Tid tgid) {
  absl::StatusOr<ScopedFd> end = OpenPidfd(tgid);
  ScopedFd& pidfd = zombie_leaders_[tgid] = end.ok() ? *std::move(end) : ScopedFd();
  if (!pidfd.valid()) return;  // then only the end of a thread of ours tells
  options_.loop->Watch(pidfd.get(), [this, tgid] {
    Reap(tgid);
    ForgetLeader(tgid);
  });
}

void LinuxDriver::ForgetLeader(Tid tgid) {
  auto found = zombie_leaders_.find(tgid);
  if (found == zombie_leaders_.end()) return;
  if (found->second.valid()) options_.loop->Unwatch(found->second.get());
  zombie_leaders_.erase(found);
}

bool LinuxDriver::Reap(Tid tid) {
  siginfo_t info = {};
  // Exits only: were the tid another thread's by now (exec), its stop must stay.
  int result = waitid(P_PID, tid, &info, WEXITED | WNOHANG | __WALL);
  return result != 0 || info.si_pid == tid;
}

void LinuxDriver::OnExec(Task& task, Tid tid) {
  // The leader, whose tid this was, is gone without a trace of its own.
  if (Task* leader = FindTid(tid); leader != nullptr && leader != &task) {
    OnExit(*leader);
    DeleteTask(*leader);
  }
  ForgetLeader(tid);
  options_.guardian->Forget(task.tid);
  by_tid_.erase(task.tid);
  task.tid = tid;
  by_tid_[tid] = &task;
  gate_->SetTid(task.slot, tid);
  if (task.gtid == 0) return;
  Save(task);
  core_->OnTaskTidChanged(task.gtid, tid);
}

void LinuxDriver::OnSchedulingCall(Task& task, long call, uint64_t argument) {
  if (task.gtid == 0) return;
  int64_t gtid = task.gtid;
  switch (call) {
    case kNrSchedSetaffinity: {
      cpu_set_t mask;
      CPU_ZERO(&mask);
      if (sched_getaffinity(task.tid, sizeof(mask), &mask) != 0) return;
      task.affinity = CpuSet::FromCpuSetT(mask);
      int cpu = std::exchange(task.pinned_cpu, -1);
      if (task.phase == Phase::kRunning && cpu >= 0) Pin(task, cpu);
      Save(task);
      core_->OnTaskAffinityChanged(gtid);
      break;
    }
    case kNrSetpriority:
      task.nice = getpriority(PRIO_PROCESS, task.tid);
      core_->OnTaskPriorityChanged(gtid, task.nice);
      break;
    case kNrSchedSetscheduler:
    case kNrSchedSetattr:
      if (call == kNrSchedSetscheduler && (argument & ~uint64_t{SCHED_RESET_ON_FORK}) == SCHED_GHOST) return;
      task.marked = false;  // what it has now is what somebody wanted
      core_->OnTaskDeparted(gtid);
      Detach(gtid);
      break;
    default:
      break;
  }
}

void LinuxDriver::OnStopped(Task& task) {
  tracee::Stop stop = gate_->Wait(task.tid);
  switch (stop.kind) {
    case tracee::Stop::Kind::kNone:
      break;
    case tracee::Stop::Kind::kGone:
      OnExit(task);
      DeleteTask(task);
      break;
    case tracee::Stop::Kind::kExec:
      GoOn(task);
      break;
    case tracee::Stop::Kind::kExit:
      OnExit(task);
      gate_->Continue(task.slot, task.tid, 0);
      break;
    case tracee::Stop::Kind::kSyscall:
      OnSyscallStop(task);
      break;
    case tracee::Stop::Kind::kClone:
      OnClone(task, stop.message);
      break;
    case tracee::Stop::Kind::kSignal:
      OnSignalStop(task, stop.signal);
      break;
    case tracee::Stop::Kind::kInterrupt:
      OnInterruptStop(task);
      break;
    case tracee::Stop::Kind::kGroupStop:
      OnGroupStop(task);
      break;
  }
}

void LinuxDriver::OnSignalStop(Task& task, int signal) {
  bool is_gate_signal = (signal == SIGURG || signal == SIGSTOP) && gate_->SignalSent(task.slot) &&
                        tracee::SignalIsFromKernel(task.tid) && gate_->TakeSignal(task.slot);
  if (is_gate_signal) {
    if (signal == SIGSTOP && gate_->TakeLostCont(task.slot)) tracee::SendAgain(task.tid, SIGCONT);
    signal = 0;
  } else if (tracee::IgnoresSignal(task.tid, signal)) {
    // Untraced, the signal would not even have woken the thread.
    tracee::RestartInterruptedCall(task.tid);
  }
  if (task.phase == Phase::kLeaving) {
    FinishDetach(task, signal);
  } else if (gate_->State(task.slot) == GATE_RUN) {
    gate_->Continue(task.slot, task.tid,
                    signal);  // a gate signal that comes after the hold it was for, or one of its own
  } else {
    // Not even a handler may run now. The gate's own signal may still be pending: it is swallowed later.
    Hold(task, signal);
  }
}

void LinuxDriver::OnInterruptStop(Task& task) {
  const bool sleeps_on = tracee::RestartInterruptedCall(task.tid);
  if (task.parent != 0) {
    OnChildStopped(task);
    return;
  }
  const uint32_t state = gate_->State(task.slot);
  if (task.phase == Phase::kLeaving) {
    FinishDetach(task, 0);
  } else if (state == GATE_RUN) {
    gate_->Continue(task.slot, task.tid, 0);
  } else if (state == GATE_BLOCKED && sleeps_on && !gate_->holds_sleepers()) {
    // It was seized asleep, and goes back to sleep: the system call instruction is all that it runs. From now on the
    // call's exit can be seen.
    gate_->Continue(task.slot, task.tid, 0);
  } else {
    Hold(task, 0);
  }
}

void LinuxDriver::OnSyscallStop(Task& task) {
  // May call back, for a scheduling call, and so set the task free.
  const Gate::Verdict verdict = gate_->AtSyscallStop(task.slot, task.tid);
  if (verdict == Gate::Verdict::kGoOn) {
    gate_->Continue(task.slot, task.tid, 0);
  } else if (task.phase == Phase::kLeaving) {
    FinishDetach(task, 0);
  } else {
    Hold(task, 0);
  }
}

void LinuxDriver::GoOn(Task& task) {
  // Any stop takes a PTRACE_INTERRUPT away that was still to come: it is asked for again.
  const uint32_t state = gate_->State(task.slot);
  if (state == GATE_PREEMPTING || state == GATE_LEAVING) gate_->Interrupt(task.slot, task.tid);
  gate_->Continue(task.slot, task.tid, 0);
}

void LinuxDriver::OnGroupStop(Task& task) {
  if (task.parent != 0) {
    OnChildStopped(task);
    return;
  }
  if (task.phase == Phase::kLeaving) {
    FinishDetach(task, 0);
    return;
  }
  // Stopped by job control is asleep, until SIGCONT makes it trap again: then it is held.
  gate_->SetState(task.slot, GATE_GATING);
  tracee::Listen(task.tid);
  if (task.phase == Phase::kBlocked) return;
  task.phase = Phase::kBlocked;
  task.deferrable = false;
  core_->OnTaskBlocked(task.gtid);
}

void LinuxDriver::Hold(Task& task, int signal) {
  if (task.phase == Phase::kExited) return;
  bool yielded = gate_->State(task.slot) == GATE_YIELDING;
  gate_->SetState(task.slot, GATE_HELD);
  task.signal = signal;
  Phase before = std::exchange(task.phase, Phase::kHeld);
  int64_t gtid = task.gtid;
  switch (before) {
    case Phase::kRunning:
      yielded ? core_->OnTaskYielded(gtid) : core_->OnTaskGated(gtid);
      break;
    case Phase::kEntering:
      core_->OnTaskGated(gtid);
      break;
    case Phase::kBlocked:
      core_->OnTaskReady(gtid, {.waker_cpu = -1, .deferrable = task.deferrable});
      break;
    case Phase::kHeld:
    case Phase::kLeaving:
    case Phase::kExited:
      break;
  }
}

void LinuxDriver::OnClone(Task& parent, Tid child) {
  Task* task = NewTask(child, 0, GATE_ENTERING);
  if (task == nullptr) {
    // No slot left: an ordinary thread. Nothing would tell of its first stop, so it is waited for here.
    gate_->AwaitStop(child);
    tracee::Detach(child, 0);
    GoOn(parent);
    return;
  }
  if (parent.phase == Phase::kLeaving || parent.phase == Phase::kExited) {
    // The parent is on its way out: its child is let go at its first stop.
    task->phase = Phase::kLeaving;
    GoOn(parent);
    OnStopped(*task);
    return;
  }
  task->affinity = parent.affinity;
  task->pinned_cpu = parent.pinned_cpu;
  InheritPolicy(*task, parent);
  task->parent = parent.tid;
  task->parent_gtid = parent.gtid;
  Save(*task);
  // The parent waits, so that it can't be gone before its child is known.
  parent.child = child;
  OnStopped(*task);  // it may have stopped before the programs knew it
}

void LinuxDriver::OnChildStopped(Task& child) {
  gate_->SetState(child.slot, GATE_HELD);
  int64_t gtid = core_->OnTaskForked(child.parent_gtid, child.tid, 0, getpriority(PRIO_PROCESS, child.tid));
  ReleaseParentOf(child);
  if (gtid == 0) {
    FinishDetach(child, 0);
    return;
  }
  child.gtid = gtid;
  by_gtid_[gtid] = &child;
  child.phase = Phase::kHeld;
  core_->OnTaskForkTaken(gtid);
}

void LinuxDriver::ReleaseParentOf(Task& child) {
  Tid parent_tid = std::exchange(child.parent, 0);
  if (parent_tid == 0) return;
  Task* parent = FindTid(parent_tid);
  if (parent == nullptr || parent->child != child.tid) return;
  parent->child = 0;
  GoOn(*parent);
}

void LinuxDriver::Resync() {
  std::vector<int> slots;
  for (const auto& [tid, task] : by_tid_) slots.push_back(task->slot);
  for (int slot : slots) {
    Task* task = by_slot_[slot].get();
    if (task == nullptr) continue;
    uint32_t state = gate_->State(slot);
    if (state == GATE_BLOCKED && task->phase == Phase::kRunning) OnBlocked(*task, -1);
    if (state == GATE_EXITED) OnExit(*task);
    if (task->phase != Phase::kHeld) OnStopped(*task);
  }
}

}  // namespace ghost::usermode
