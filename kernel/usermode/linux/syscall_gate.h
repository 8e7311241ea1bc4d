// The gate without BPF: a thread stops at the entry and at the exit of each of its system calls. For machines and users
// that may trace a process, but not load BPF programs. A system call costs a thread two stops, some 10 us and more.
//
// What is exact, as with the BPF gate: a thread runs user code only while it is scheduled; yields and a task's own
// scheduling calls are seen at the call's exit; whoever was reported as blocked is held at the exit of that call.
// What is not: that a thread sleeps is not announced, so its state is looked at (/proc), soon after the entry and then
// ever more rarely. Until then it counts as running: that is a delay, never an error. Scheduling calls that other
// programs make on a task are not seen.
//
// The timing of a look: first after kFirstLookNs, then each time when half as much again has passed, but kLookNs at
// most. So a thread is seen to sleep after 1.5 times the time that it was busy in the kernel before.
#ifndef GHOST_KERNEL_USERMODE_LINUX_SYSCALL_GATE_H_
#define GHOST_KERNEL_USERMODE_LINUX_SYSCALL_GATE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/usermode/linux/gate.h"
#include "lib/base/file.h"
#include "lib/base/signals.h"

namespace ghost::usermode {

class SyscallGate final : public Gate {
 public:
  static constexpr int64_t kFirstLookNs = 20'000;
  static constexpr int64_t kLookNs = 1'000'000;

  // Reaps every child of this process from then on, and blocks SIGCHLD. Fails where the kernel does not tell entries
  // from exits (before Linux 5.3).
  static absl::StatusOr<std::unique_ptr<Gate>> Create(EventCallback on_event);
  ~SyscallGate() override;

  std::string_view name() const override { return "ptrace syscall stops"; }
  bool holds_sleepers() const override { return false; }
  bool sees_strangers() const override { return false; }
  bool scheduling_call_under_way() const override { return scheduling_calls_ > 0; }
  int Take(int32_t tid, uint32_t state) override;
  void Give(int slot, int32_t tid) override;
  void SetTid(int slot, int32_t tid) override;
  int Seize(int slot, int32_t tid) override;
  int Interrupt(int slot, int32_t tid) override;
  int Continue(int slot, int32_t tid, int signal) override;
  tracee::Stop Wait(int32_t tid) override;
  void AwaitStop(int32_t tid) override;
  Verdict AtSyscallStop(int slot, int32_t tid) override;
  // As procfs has it: a running thread's is up to a tick old.
  uint64_t RuntimeNs(int slot, int64_t now_ns) override;
  int event_fd() const override { return epoll_.get(); }
  int Consume() override;
  Losses TakeLosses() override { return {}; }

 private:
  struct Thread {
    bool in_call = false;    // between an entry stop and its exit stop
    bool disturbed = false;  // an interrupt of ours may have ended the call
    bool cloned = false;     // ptrace has told of the child that this call made
    bool watched = false;
    int64_t call = -1;
    uint64_t arguments[2] = {};
    int64_t entered_ns = 0;
    int64_t next_look_ns = 0;
    uint64_t first_runtime_ns = 0;
    uint64_t runtime_ns = 0;  // the last that was read
    uint64_t start_time = 0;  // agents only
    ScopedFd end;             // agents only: readable at the thread's end
  };
  struct Stray {
    int status = 0;
    int64_t since_ns = 0;
  };

  SyscallGate() = default;
  absl::Status Open();
  void Emit(uint32_t type, int slot, int32_t tid, uint64_t arg, uint64_t arg2);

  int TakeStops();
  void OnStatus(int32_t tid, int status);
  void OnSchedulingCall(int64_t call, int32_t tid, const uint64_t (&arguments)[2]);
  Verdict VerdictAtEntry(int slot, int32_t tid);
  Verdict VerdictAtExit(int slot, int64_t call);

  // What is due of: threads that may sleep, strays, agents that nothing announces the end of.
  int Look();
  int LookAtThreads(int64_t now_ns);
  void LetStraysGo(int64_t now_ns);
  int LookAtAgents(int64_t now_ns);
  void Watch(int slot);
  void Unwatch(int slot);
  void WakeAt(int64_t when_ns);
  void WatchAgent(int slot, int32_t tid);
  int OnAgentEnd(int slot);

  EventCallback on_event_;
  ScopedFd epoll_;
  SignalFd signals_;
  ScopedFd timer_;
  int64_t wake_ns_ = INT64_MAX;  // what the timer is set to
  bool more_stops_ = false;

  std::vector<Thread> threads_;  // by slot
  absl::flat_hash_map<int32_t, int> slot_of_;
  absl::flat_hash_map<int32_t, int> stops_;     // reported, and not yet asked for by Wait: tid -> status
  absl::flat_hash_map<int32_t, Stray> strays_;  // children of threads whose clone has not been reported yet
  std::vector<int> watched_;
  int scheduling_calls_ = 0;        // threads that are in one
  std::vector<int> due_;            // LookAtThreads's, kept for its memory
  std::vector<int> polled_agents_;  // slots
  int64_t next_agents_ns_ = INT64_MAX;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_SYSCALL_GATE_H_
