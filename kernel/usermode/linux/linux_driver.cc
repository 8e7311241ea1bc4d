#include "kernel/usermode/linux/linux_driver.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/linux/proc.h"
#include "lib/base/logging.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost::usermode {
namespace {

// Above tasks (CFS), below ghostd: an agent that is ready runs at once.
constexpr int kAgentPriority = 50;

void SetAffinity(Tid tid, const CpuSet& cpus) {
  cpu_set_t mask = cpus.ToCpuSetT();
  sched_setaffinity(tid, sizeof(mask), &mask);
}

}  // namespace

LinuxDriver::LinuxDriver(const LinuxDriverOptions& options) : options_(options), by_slot_(GATE_MAX_SLOTS) {}

LinuxDriver::~LinuxDriver() = default;

absl::StatusOr<std::unique_ptr<LinuxDriver>> LinuxDriver::Create(const LinuxDriverOptions& options) {
  std::unique_ptr<LinuxDriver> driver(new LinuxDriver(options));
  LinuxDriver* self = driver.get();
  GHOST_ASSIGN_OR_RETURN(
      driver->gate_, OpenGate(
                         options.gate, [self](const gate_event& event) { self->OnEvent(event); }, &driver->gate_note_));
  return driver;
}

void LinuxDriver::Connect(Core* core, FuseServer* server) {
  core_ = core;
  server_ = server;
  timers_ = std::make_unique<TimerSet>(options_.loop, [core](uint64_t id) { core->OnTimer(id); });
  if (!gate_->sees_strangers()) sweep_ = std::make_unique<TimerSet>(options_.loop, [this](uint64_t) { Sweep(); });
  options_.loop->Watch(gate_->event_fd(), [this] { ConsumeEvents(); });
  options_.loop->AddPoller([this] { return ConsumeEvents(); });
}

bool LinuxDriver::ConsumeEvents() {
  const bool any = gate_->Consume() > 0;
  const Gate::Losses losses = gate_->TakeLosses();
  if (losses.dropped > 0) Resync();
  if (losses.missed > 0) {
    Log(absl::StrCat(losses.missed,
                     " gate signals could not be sent: a thread may have run unscheduled until its next ",
                     "system call"));
  }
  return any;
}

int64_t LinuxDriver::NowNs() { return Time::Now().ns(); }

std::optional<Region> LinuxDriver::AllocateRegion(const std::string& name, size_t size) {
  return options_.regions->Allocate(name, size);
}

void LinuxDriver::FreeRegion(uint64_t id) { options_.regions->Free(id); }

int LinuxDriver::MayAttach(Tid tid, const Caller& caller) {
  entering_self_ = caller.tid() == tid ? tid : 0;
  std::optional<ThreadStat> stat = ReadThreadStat(tid);
  std::optional<ThreadStatus> status = ReadThreadStatus(tid);
  if (!stat.has_value() || !status.has_value() || stat->state == 'Z' || stat->state == 'X') return ESRCH;
  if (stat->kernel_thread) return EINVAL;
  // Whoever serves the tree must never wait for a held thread, itself least of all.
  if (status->tgid == getpid() || tid == options_.guardian->pid()) return EPERM;
  if (!caller.HasCapSysNice() && caller.uid() != status->uid && caller.uid() != status->euid) return EPERM;
  if (status->tracer != 0 && status->tracer != getpid()) return EPERM;
  return 0;
}

AttachResult LinuxDriver::Attach(Tid tid, int64_t gtid) {
  if (Task* leaving = FindTid(tid); leaving != nullptr) return Reattach(*leaving, gtid);
  AttachResult result;
  std::optional<ThreadStat> stat = ReadThreadStat(tid);
  if (!stat.has_value()) return {.error = ESRCH};
  const bool self = entering_self_ == tid;
  const uint32_t state = !self ? GATE_BLOCKED : gate_->holds_sleepers() ? GATE_ENTERING_SELF : GATE_ENTERING;
  // The gate knows the thread before it is seized, so that no wake-up can slip through in between.
  Task* task = NewTask(tid, gtid, state);
  if (task == nullptr) return {.error = ENOMEM};
  task->affinity = GetAffinity(tid);
  task->runtime_base_ns = ReadRuntimeNs(tid).value_or(0);
  if (int error = Seize(*task); error != 0) return {.error = error};
  task->nice = stat->nice;
  MarkPolicy(*task);
  Save(*task);
  result.nice = stat->nice;
  result.runtime_ns = task->runtime_base_ns;
  if (self) {
    result.state = AttachResult::State::kRunning;
    // It waits for our answer to its very write to `tasks`; the interrupt takes effect after it.
    if (!gate_->holds_sleepers()) gate_->Interrupt(task->slot, tid);
  } else {
    std::optional<ThreadStat> now = ReadThreadStat(tid);
    result.state = StartEntering(*task, now.has_value() ? now->state : 'X');
  }
  return result;
}

int LinuxDriver::Seize(Task& task) {
  if (int error = gate_->Seize(task.slot, task.tid); error != 0) {
    DeleteTask(task);
    return -error;
  }
  std::optional<ThreadStat> stat = ReadThreadStat(task.tid);
  if (stat.has_value() && !stat->exiting && stat->state != 'Z') return 0;
  // It began to exit before the programs knew it, so they may not have told; but it is ours now, and ours to reap.
  by_gtid_.erase(std::exchange(task.gtid, 0));
  task.phase = Phase::kExited;
  gate_->SetState(task.slot, GATE_EXITED);  // GATE_EVENT_DEAD follows, unless it is a zombie already
  const Tid tid = task.tid;
  if (Reap(tid)) {
    DeleteTask(task);
  } else if (stat = ReadThreadStat(tid); stat.has_value() && stat->state == 'Z') {
    DeleteTask(task);
    ReapWithProcess(tid);
  }
  return ESRCH;
}

AttachResult LinuxDriver::Reattach(Task& task, int64_t gtid) {
  if (task.phase != Phase::kLeaving) return {.error = task.phase == Phase::kExited ? ESRCH : EPERM};
  // Its interrupt is under way: the stop that would have detached it is now its first.
  if (!gate_->ChangeState(task.slot, GATE_LEAVING, GATE_ENTERING)) return {.error = ESRCH};
  task.gtid = gtid;
  task.phase = Phase::kEntering;
  by_gtid_[gtid] = &task;
  Save(task);
  AttachResult result;
  result.runtime_ns = RuntimeNs(gtid);
  result.nice = task.nice = getpriority(PRIO_PROCESS, task.tid);
  return result;
}

AttachResult::State LinuxDriver::StartEntering(Task& task, char proc_state) {
  bool asleep = proc_state == 'S' || proc_state == 'D';
  if (std::optional<long> call = SleepsInSystemCall(task.tid); asleep && call.has_value()) {
    // The end of that system call gates it, by itself or once it has begun again.
    task.phase = Phase::kBlocked;
    task.deferrable = IsDeferrable(*call);
    if (!gate_->holds_sleepers()) gate_->Interrupt(task.slot, task.tid);
    return AttachResult::State::kBlocked;
  }
  if (proc_state == 'T') {
    // Seizing a stopped thread makes it trap once more: OnGroupStop lets it be.
    task.phase = Phase::kBlocked;
    gate_->SetState(task.slot, GATE_GATING);
    OnStopped(task);
    return AttachResult::State::kBlocked;
  }
  // Should it have left a system call since, the gate's signal is on the way instead.
  if (gate_->ChangeState(task.slot, GATE_BLOCKED, GATE_ENTERING)) gate_->Interrupt(task.slot, task.tid);
  return AttachResult::State::kRunning;
}

void LinuxDriver::OnUntracedClone(Task& parent, Tid child) {
  // Born with its parent's pin.
  SetAffinity(child, parent.affinity);
  if (parent.gtid == 0) return;
  Task* task = NewTask(child, 0, GATE_ENTERING);
  if (task == nullptr) return;
  task->affinity = parent.affinity;
  task->parent = parent.tid;
  task->parent_gtid = parent.gtid;
  if (Seize(*task) != 0) return;
  InheritPolicy(*task, parent);
  Save(*task);
  gate_->Interrupt(task->slot, child);
}

void LinuxDriver::Detach(int64_t gtid) {
  Task* task = Find(gtid);
  if (task == nullptr) return;
  by_gtid_.erase(gtid);
  task->gtid = 0;
  if (task->phase == Phase::kHeld) {
    FinishDetach(*task, task->signal);
    return;
  }
  Unpin(*task);
  task->phase = Phase::kLeaving;
  gate_->SetState(task->slot, GATE_LEAVING);
  gate_->Interrupt(task->slot, task->tid);
}

void LinuxDriver::FinishDetach(Task& task, int signal) {
  Unpin(task);
  UnmarkPolicy(task);
  // A gate signal that is still pending is ignored by default once nobody traces the thread.
  if (tracee::Detach(task.tid, signal) == -ESRCH) {
    // Killed meanwhile: its exit is on the way, and it is still ours to reap.
    task.phase = Phase::kLeaving;
    gate_->SetState(task.slot, GATE_LEAVING);
    return;
  }
  options_.guardian->Forget(task.tid);
  DeleteTask(task);
}

void LinuxDriver::Run(int64_t gtid, int cpu) {
  Task* task = Find(gtid);
  GHOST_CHECK(task != nullptr && task->phase == Phase::kHeld) << "run of a task that is not held: gtid " << gtid;
  Pin(*task, cpu);
  task->phase = Phase::kRunning;
  gate_->SetState(task->slot, GATE_RUN);
  int signal = std::exchange(task->signal, 0);
  // -ESRCH: it was killed; its exit event is on the way.
  gate_->Continue(task->slot, task->tid, signal);
}

void LinuxDriver::Preempt(int64_t gtid) {
  Task* task = Find(gtid);
  if (task == nullptr || task->phase != Phase::kRunning) return;
  // In any other state it is about to stop or has blocked, and that event is on the way.
  if (gate_->ChangeState(task->slot, GATE_RUN, GATE_PREEMPTING)) gate_->Interrupt(task->slot, task->tid);
}

uint64_t LinuxDriver::RuntimeNs(int64_t gtid) {
  Task* task = Find(gtid);
  if (task == nullptr) return 0;
  return task->runtime_base_ns + gate_->RuntimeNs(task->slot, NowNs());
}

std::optional<uint64_t> LinuxDriver::RuntimeNsOfTid(Tid tid) { return ReadRuntimeNs(tid); }

std::optional<CpuSet> LinuxDriver::Affinity(int64_t gtid) {
  Task* task = Find(gtid);
  if (task == nullptr) return std::nullopt;
  // A mask that names every CPU of the machine says nothing of slots beyond them.
  bool anywhere = CpuSet::FirstN(static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))).IsSubsetOf(task->affinity);
  if (!options_.real_cpus && anywhere) return CpuSet::FirstN(options_.num_cpus);
  return task->affinity;
}

uint64_t LinuxDriver::StartTime(Tid tid) {
  std::optional<ThreadStat> stat = ReadThreadStat(tid);
  return stat.has_value() ? stat->start_time : 0;
}

int LinuxDriver::AttachAgent(Tid tid, int cpu) {
  int slot = gate_->Take(tid, GATE_AGENT);
  if (slot < 0) return -ENOMEM;
  Agent agent = {.tid = tid, .cpu = cpu, .affinity = GetAffinity(tid)};
  std::optional<ThreadStat> stat = ReadThreadStat(tid);
  if (!stat.has_value()) {
    gate_->Give(slot, tid);
    return -ESRCH;
  }
  SavedTask saved = {.tid = tid, .start_time = stat->start_time, .affinity = agent.affinity};
  saved.restore_policy = true;
  saved.policy = SCHED_OTHER;
  options_.guardian->Save(saved);
  // An agent and ghostd hand over fastest on one CPU, and ghostd follows the agent: so a virtual CPU's is pinned, too.
  SetAffinity(tid, CpuSet{cpu % static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))});
  sched_param priority = {.sched_priority = kAgentPriority};
  sched_setscheduler(tid, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority);  // without the right to: as CFS, slower
  agents_[slot] = agent;
  return 0;
}

void LinuxDriver::KillAgent(Tid tid) { kill(tid, SIGKILL); }

void LinuxDriver::ReleaseAgent(const Agent& agent) {
  sched_param none = {};
  sched_setscheduler(agent.tid, SCHED_OTHER, &none);
  SetAffinity(agent.tid, agent.affinity);
}

void LinuxDriver::CompleteRequest(uint64_t request, int result) { server_->Complete(request, result); }

void LinuxDriver::ArmTimer(uint64_t id, int64_t when_ns) {
  if (when_ns < 0) {
    timers_->Disarm(id);
  } else {
    timers_->Arm(id, when_ns);
  }
}

void LinuxDriver::NotifyNode(uint64_t node) { server_->NotifyNode(node); }

void LinuxDriver::Log(const std::string& line) { std::fprintf(stderr, "ghostd: %s\n", line.c_str()); }

void LinuxDriver::Shutdown() {
  for (const auto& [slot, agent] : agents_) ReleaseAgent(agent);
  std::vector<int64_t> gtids;
  for (const auto& [gtid, task] : by_gtid_) gtids.push_back(gtid);
  for (int64_t gtid : gtids) Detach(gtid);
  // The rest must come to a stop first, to be detached without losing a signal; ghostd's end would let them run too.
  constexpr int64_t kPatienceNs = 1'000'000'000;
  int64_t deadline = NowNs() + kPatienceNs;
  while (!by_tid_.empty() && NowNs() < deadline) {
    pollfd events = {.fd = gate_->event_fd(), .events = POLLIN, .revents = 0};
    poll(&events, 1, 10);
    gate_->Consume();
    Resync();
  }
}

LinuxDriver::Task* LinuxDriver::NewTask(Tid tid, int64_t gtid, uint32_t state) {
  int slot = gate_->Take(tid, state);
  if (slot < 0) return nullptr;
  auto task = std::make_unique<Task>();
  task->gtid = gtid;
  task->tid = tid;
  task->slot = slot;
  Task* pointer = task.get();
  by_slot_[slot] = std::move(task);
  slots_used_ = std::max(slots_used_, static_cast<size_t>(slot) + 1);
  by_tid_[tid] = pointer;
  if (gtid != 0) by_gtid_[gtid] = pointer;
  return pointer;
}

void LinuxDriver::DeleteTask(Task& task) {
  if (auto found = by_tid_.find(task.tid); found != by_tid_.end() && found->second == &task) by_tid_.erase(found);
  if (auto found = by_gtid_.find(task.gtid); found != by_gtid_.end() && found->second == &task) by_gtid_.erase(found);
  gate_->Give(task.slot, task.tid);
  by_slot_[task.slot].reset();
}

LinuxDriver::Task* LinuxDriver::Find(int64_t gtid) {
  auto found = by_gtid_.find(gtid);
  return found == by_gtid_.end() ? nullptr : found->second;
}

LinuxDriver::Task* LinuxDriver::FindTid(Tid tid) {
  auto found = by_tid_.find(tid);
  return found == by_tid_.end() ? nullptr : found->second;
}

CpuSet LinuxDriver::GetAffinity(Tid tid) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  sched_getaffinity(tid, sizeof(mask), &mask);
  return CpuSet::FromCpuSetT(mask);
}

void LinuxDriver::Pin(Task& task, int cpu) {
  if (!options_.real_cpus || task.pinned_cpu == cpu) return;
  SetAffinity(task.tid, CpuSet{cpu});
  task.pinned_cpu = cpu;
}

void LinuxDriver::Unpin(Task& task) {
  if (task.pinned_cpu < 0) return;
  SetAffinity(task.tid, task.affinity);
  task.pinned_cpu = -1;
}

void LinuxDriver::Save(const Task& task) {
  std::optional<ThreadStat> stat = ReadThreadStat(task.tid);
  if (!stat.has_value()) return;
  SavedTask saved = {.tid = task.tid, .start_time = stat->start_time, .affinity = task.affinity};
  saved.send_cont = true;
  saved.restore_policy = task.marked;
  saved.policy = SCHED_OTHER;
  options_.guardian->Save(saved);
}

}  // namespace ghost::usermode
