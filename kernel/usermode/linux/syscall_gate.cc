#include "kernel/usermode/linux/syscall_gate.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "kernel/usermode/linux/proc.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost::usermode {
namespace {

// What epoll names: two of its descriptors, and agents by slot.
constexpr uint64_t kSignals = uint64_t{1} << 32;
constexpr uint64_t kTimer = kSignals + 1;

// So many stops at once, then others get their turn.
constexpr int kStopsAtOnce = 64;
// A thread whose maker was killed before its clone was told of: nobody will ask for it any more.
constexpr int64_t kStrayNs = 1'000'000'000;
constexpr int64_t kAgentsNs = 10'000'000;
// O_EXCL for pidfd_open: one of a thread. Since Linux 6.9; older headers lack it.
constexpr unsigned kPidfdThread = 0200;

bool IsSchedulingCall(int64_t call) {
  return call == SYS_setpriority || call == SYS_sched_setparam || call == SYS_sched_setscheduler ||
         call == SYS_sched_setaffinity || call == SYS_sched_setattr;
}

bool IsClone(int64_t call) { return call == SYS_clone || call == SYS_clone3 || call == SYS_fork || call == SYS_vfork; }

}  // namespace

absl::StatusOr<std::unique_ptr<Gate>> SyscallGate::Create(EventCallback on_event) {
  std::unique_ptr<SyscallGate> gate(new SyscallGate);
  gate->on_event_ = std::move(on_event);
  GHOST_RETURN_IF_ERROR(gate->Open());
  return gate;
}

absl::Status SyscallGate::Open() {
  if (int error = tracee::TrySyscallStops(); error == -EIO) {
    return WithHint(absl::FailedPreconditionError("this kernel has no PTRACE_GET_SYSCALL_INFO"),
                    "use Linux 5.3 or newer");
  } else if (error != 0) {
    return WithHint(
        ErrnoStatus(-error, "cannot trace a process"),
        "a sandbox or container forbids ptrace: leave it, or start it with --cap-add SYS_PTRACE; what works "
        "without: `ghostctl doctor`");
  }
  void* memory = mmap(nullptr, kSlotsBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "cannot map the gate's slots");
  UseSlots(static_cast<gate_slot*>(memory));
  GHOST_ASSIGN_OR_RETURN(signals_, SignalFd::Open(SignalSet({SIGCHLD})));
  epoll_ = ScopedFd(epoll_create1(EPOLL_CLOEXEC));
  timer_ = ScopedFd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  epoll_event signals = {.events = EPOLLIN, .data = {.u64 = kSignals}};
  epoll_event timer = {.events = EPOLLIN, .data = {.u64 = kTimer}};
  if (!epoll_.valid() || !timer_.valid() || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, signals_.fd(), &signals) != 0 ||
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &timer) != 0) {
    return ErrnoStatus(errno, "cannot watch for stops");
  }
  return absl::OkStatus();
}

SyscallGate::~SyscallGate() {
  if (slots_ != nullptr) munmap(slots_, kSlotsBytes);
}

void SyscallGate::Emit(uint32_t type, int slot, int32_t tid, uint64_t arg, uint64_t arg2) {
  gate_event event = {};
  event.type = type;
  event.slot = static_cast<uint32_t>(slot);
  event.tid = static_cast<uint32_t>(tid);
  event.arg = arg;
  event.arg2 = arg2;
  on_event_(event);
}

int SyscallGate::Take(int32_t tid, uint32_t state) {
  const int slot = TakeSlot(tid, state);
  if (slot < 0) return -1;
  if (threads_.size() <= static_cast<size_t>(slot)) threads_.resize(static_cast<size_t>(slot) + 1);
  Thread& thread = threads_[slot] = Thread();
  thread.first_runtime_ns = ReadRuntimeNs(tid).value_or(0);
  thread.runtime_ns = thread.first_runtime_ns;
  slot_of_[tid] = slot;
  if (auto stray = strays_.find(tid); stray != strays_.end()) {
    stops_[tid] = stray->second.status;
    strays_.erase(stray);
  }
  if (state == GATE_AGENT) WatchAgent(slot, tid);
  return slot;
}

void SyscallGate::Give(int slot, int32_t tid) {
  Unwatch(slot);
  if (IsSchedulingCall(threads_[slot].call)) --scheduling_calls_;
  std::erase(polled_agents_, slot);
  threads_[slot] = Thread();
  if (auto found = slot_of_.find(tid); found != slot_of_.end() && found->second == slot) {
    slot_of_.erase(found);
    stops_.erase(tid);
  }
  GiveSlot(slot);
}

void SyscallGate::SetTid(int slot, int32_t tid) {
  const int32_t former = static_cast<int32_t>(std::exchange(slots_[slot].tid, static_cast<uint32_t>(tid)));
  if (auto found = slot_of_.find(former); found != slot_of_.end() && found->second == slot) slot_of_.erase(found);
  slot_of_[tid] = slot;
}

int SyscallGate::Seize(int, int32_t tid) { return tracee::Seize(tid, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT); }

int SyscallGate::Interrupt(int slot, int32_t tid) {
  threads_[slot].disturbed = true;
  return tracee::Interrupt(tid);
}

int SyscallGate::Continue(int slot, int32_t tid, int signal) {
  const uint32_t state = State(slot);
  if (threads_[slot].in_call && (state == GATE_RUN || state == GATE_PREEMPTING)) Watch(slot);
  return tracee::ContinueToSyscall(tid, signal);
}

tracee::Stop SyscallGate::Wait(int32_t tid) {
  auto found = stops_.find(tid);
  if (found == stops_.end()) return {};
  const tracee::Stop stop = tracee::Decode(tid, found->second);
  stops_.erase(found);
  if (auto slot = slot_of_.find(tid); slot != slot_of_.end()) {
    Thread& thread = threads_[slot->second];
    // It has taken its interrupt on the way back to user mode: what it does next is undisturbed.
    if (stop.kind == tracee::Stop::Kind::kInterrupt) thread.disturbed = false;
    if (stop.kind == tracee::Stop::Kind::kClone) thread.cloned = true;
  }
  return stop;
}

void SyscallGate::AwaitStop(int32_t tid) {
  if (strays_.erase(tid) == 0) waitpid(tid, nullptr, __WALL);
}

uint64_t SyscallGate::RuntimeNs(int slot, int64_t) {
  Thread& thread = threads_[slot];
  thread.runtime_ns = std::max(thread.runtime_ns, ReadRuntimeNs(static_cast<int32_t>(slots_[slot].tid)).value_or(0));
  return thread.runtime_ns - thread.first_runtime_ns;
}

Gate::Verdict SyscallGate::AtSyscallStop(int slot, int32_t tid) {
  Thread& thread = threads_[slot];
  const std::optional<tracee::SyscallStop> stop = tracee::ReadSyscallStop(tid);
  // Killed in the stop: what follows is its end.
  if (!stop.has_value()) return Verdict::kGoOn;
  if (stop->entry) {
    thread.in_call = true;
    thread.cloned = false;
    thread.call = stop->number;
    if (IsSchedulingCall(thread.call)) ++scheduling_calls_;
    std::copy(std::begin(stop->arguments), std::end(stop->arguments), thread.arguments);
    return VerdictAtEntry(slot, tid);
  }
  const int64_t call = std::exchange(thread.call, -1);
  thread.in_call = false;
  if (std::exchange(thread.disturbed, false)) tracee::RestartInterruptedCall(tid);
  if (IsSchedulingCall(call)) {
    --scheduling_calls_;
    if (stop->result == 0) OnSchedulingCall(call, tid, thread.arguments);
  }
  if (IsClone(call) && stop->result > 0 && !thread.cloned) {
    // CLONE_UNTRACED.
    Emit(GATE_EVENT_UNTRACED, slot, tid, static_cast<uint64_t>(stop->result), 0);
  }
  return VerdictAtExit(slot, call);
}

Gate::Verdict SyscallGate::VerdictAtEntry(int slot, int32_t tid) {
  switch (State(slot)) {
    case GATE_RUN:
    case GATE_BLOCKED:  // goes back to the sleep in which it was seized
    case GATE_EXITED:
      return Verdict::kGoOn;
    case GATE_LEAVING:
      // Detached here, a call would return EINTR because of our interrupt: it is seen through to its exit, which the
      // interrupt brings about. (This stop has taken the one that was on its way.)
      Interrupt(slot, tid);
      return Verdict::kGoOn;
    default:
      return Verdict::kHold;
  }
}

Gate::Verdict SyscallGate::VerdictAtExit(int slot, int64_t call) {
  const uint32_t state = State(slot);
  if (state == GATE_EXITED) return Verdict::kGoOn;
  if (state != GATE_RUN) return Verdict::kHold;
  if (call != SYS_sched_yield) return Verdict::kGoOn;
  SetState(slot, GATE_YIELDING);
  return Verdict::kHold;
}

void SyscallGate::OnSchedulingCall(int64_t call, int32_t tid, const uint64_t (&arguments)[2]) {
  const bool of_nice = call == SYS_setpriority;
  if (of_nice && arguments[0] != 0) return;  // PRIO_PROCESS only
  int32_t target = static_cast<int32_t>(arguments[of_nice ? 1 : 0]);
  if (target == 0) target = tid;
  auto found = slot_of_.find(target);
  if (found == slot_of_.end()) return;
  Emit(GATE_EVENT_CALL, found->second, target, static_cast<uint64_t>(call), arguments[1]);
}

int SyscallGate::Consume() {
  epoll_event ready[8];
  const int count = epoll_wait(epoll_.get(), ready, std::size(ready), 0);
  int found = 0;
  for (int i = 0; i < count; ++i) {
    if (ready[i].data.u64 == kSignals) {
      while (signals_.Next().has_value()) continue;
      found += TakeStops();
    } else if (ready[i].data.u64 == kTimer) {
      found += Look();
    } else {
      found += OnAgentEnd(static_cast<int>(ready[i].data.u64));
    }
  }
  return found;
}

int SyscallGate::TakeStops() {
  for (int taken = 0; taken < kStopsAtOnce; ++taken) {
    int status = 0;
    const pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid <= 0) return taken;
    OnStatus(tid, status);
  }
  more_stops_ = true;
  WakeAt(0);
  return kStopsAtOnce;
}

void SyscallGate::OnStatus(int32_t tid, int status) {
  if (WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_EXEC) {
    const int32_t former = tracee::Decode(tid, status).message;
    // The owner answers by SetTid.
    if (auto found = slot_of_.find(former); former != tid && found != slot_of_.end()) {
      Emit(GATE_EVENT_EXEC, found->second, tid, static_cast<uint64_t>(former), 0);
    }
  }
  auto found = slot_of_.find(tid);
  if (found != slot_of_.end()) {
    Unwatch(found->second);
    stops_[tid] = status;
    Emit(GATE_EVENT_STOPPED, found->second, tid, 0, 0);
  } else if (WIFSTOPPED(status)) {
    const int64_t now_ns = Time::Now().ns();
    strays_[tid] = {.status = status, .since_ns = now_ns};
    WakeAt(now_ns + kStrayNs);
  } else {
    strays_.erase(tid);
  }
}

int SyscallGate::Look() {
  uint64_t expirations;
  if (read(timer_.get(), &expirations, sizeof(expirations)) < 0) return 0;  // set anew since
  wake_ns_ = INT64_MAX;
  int found = std::exchange(more_stops_, false) ? TakeStops() : 0;
  const int64_t now_ns = Time::Now().ns();
  found += LookAtThreads(now_ns);
  LetStraysGo(now_ns);
  found += LookAtAgents(now_ns);
  return found;
}

int SyscallGate::LookAtThreads(int64_t now_ns) {
  due_.clear();
  for (int slot : watched_) {
    if (threads_[slot].next_look_ns <= now_ns) due_.push_back(slot);
  }
  int found = 0;
  for (int slot : due_) {
    Thread& thread = threads_[slot];
    if (!thread.watched) continue;  // because of one before it
    const int32_t tid = static_cast<int32_t>(slots_[slot].tid);
    const char state = ReadThreadState(tid);
    // An interrupt that is on its way ends a sleep of the light kind.
    if (((state == 'S' || state == 'D') && ChangeState(slot, GATE_RUN, GATE_BLOCKED)) ||
        (state == 'D' && ChangeState(slot, GATE_PREEMPTING, GATE_BLOCKED))) {
      Unwatch(slot);
      Emit(GATE_EVENT_BLOCKED, slot, tid, static_cast<uint64_t>(thread.call), 0);
      ++found;
    } else {
      thread.next_look_ns = now_ns + std::clamp((now_ns - thread.entered_ns) / 2, kFirstLookNs, kLookNs);
    }
  }
  for (int slot : watched_) WakeAt(threads_[slot].next_look_ns);
  return found;
}

void SyscallGate::LetStraysGo(int64_t now_ns) {
  for (auto stray = strays_.begin(); stray != strays_.end();) {
    const auto here = stray++;
    if (now_ns - here->second.since_ns >= kStrayNs) {
      tracee::Detach(here->first, 0);
      strays_.erase(here);
    } else {
      WakeAt(here->second.since_ns + kStrayNs);
    }
  }
}

int SyscallGate::LookAtAgents(int64_t now_ns) {
  if (polled_agents_.empty()) return 0;
  WakeAt(next_agents_ns_);
  if (now_ns < next_agents_ns_) return 0;
  next_agents_ns_ = now_ns + kAgentsNs;
  WakeAt(next_agents_ns_);
  int found = 0;
  due_ = polled_agents_;
  for (int slot : due_) {
    std::optional<ThreadStat> stat = ReadThreadStat(static_cast<int32_t>(slots_[slot].tid));
    const bool lives =
        stat.has_value() && stat->start_time == threads_[slot].start_time && stat->state != 'Z' && stat->state != 'X';
    if (!lives) found += OnAgentEnd(slot);
  }
  return found;
}

void SyscallGate::Watch(int slot) {
  Thread& thread = threads_[slot];
  if (std::exchange(thread.watched, true)) return;
  thread.entered_ns = Time::Now().ns();
  thread.next_look_ns = thread.entered_ns + kFirstLookNs;
  watched_.push_back(slot);
  WakeAt(thread.next_look_ns);
}

void SyscallGate::Unwatch(int slot) {
  if (!std::exchange(threads_[slot].watched, false)) return;
  // There are as many as CPUs at most.
  auto found = std::find(watched_.begin(), watched_.end(), slot);
  *found = watched_.back();
  watched_.pop_back();
}

void SyscallGate::WakeAt(int64_t when_ns) {
  if (when_ns >= wake_ns_) return;
  wake_ns_ = when_ns;
  const int64_t set_ns = std::max<int64_t>(when_ns, 1);  // zero would stop it
  itimerspec when = {};
  when.it_value.tv_sec = set_ns / 1'000'000'000;
  when.it_value.tv_nsec = set_ns % 1'000'000'000;
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void SyscallGate::WatchAgent(int slot, int32_t tid) {
  Thread& thread = threads_[slot];
  thread.end = ScopedFd(static_cast<int>(syscall(SYS_pidfd_open, tid, kPidfdThread)));
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = static_cast<uint64_t>(slot)}};
  if (thread.end.valid() && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, thread.end.get(), &event) == 0) return;
  thread.end.reset();
  std::optional<ThreadStat> stat = ReadThreadStat(tid);
  thread.start_time = stat.has_value() ? stat->start_time : 0;
  polled_agents_.push_back(slot);
  next_agents_ns_ = Time::Now().ns() + kAgentsNs;
  WakeAt(next_agents_ns_);
}

int SyscallGate::OnAgentEnd(int slot) {
  // Its owner gives the slot back, which closes the descriptor.
  if (State(slot) != GATE_AGENT) return 0;
  Emit(GATE_EVENT_EXIT, slot, static_cast<int32_t>(slots_[slot].tid), 0, 0);
  return 1;
}

}  // namespace ghost::usermode
