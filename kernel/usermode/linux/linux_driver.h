// The Driver that holds real threads of unmodified programs on a stock Linux kernel, in ptrace stops. When to hold one,
// and when it has blocked, a Gate says (gate.h: by BPF programs, or at every system call).
//
// How a thread is held: it is seized, not stopped. When it blocks, the gate tells ghostd; when its system call ends, it
// enters a ptrace stop before its next user instruction: it is held, and "ready". Run() pins it and continues it.
// Preempt() is PTRACE_INTERRUPT. Nothing but stops and continues ever happens to it: ghostd's death lets every thread
// run on by itself (the Guardian then restores affinities).
//
// What it is not: it decides nothing (core.h does), and keeps no ABI state. All of it runs on ghostd's one thread:
// ptrace demands that.
#ifndef GHOST_KERNEL_USERMODE_LINUX_LINUX_DRIVER_H_
#define GHOST_KERNEL_USERMODE_LINUX_LINUX_DRIVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/driver.h"
#include "kernel/usermode/linux/event_loop.h"
#include "kernel/usermode/linux/fuse_server.h"
#include "kernel/usermode/linux/gate.h"
#include "kernel/usermode/linux/guardian.h"
#include "kernel/usermode/linux/open_gate.h"
#include "kernel/usermode/linux/region_store.h"
#include "kernel/usermode/linux/tracee.h"
#include "lib/base/file.h"

namespace ghost::usermode {

struct LinuxDriverOptions {
  int num_cpus = 1;
  bool real_cpus = true;  // CPU i is the machine's CPU i: tasks and agents are pinned; else a CPU is only a slot
  EventLoop* loop = nullptr;
  RegionStore* regions = nullptr;
  Guardian* guardian = nullptr;
  GateKind gate = GateKind::kAuto;
};

class LinuxDriver final : public Driver {
 public:
  static absl::StatusOr<std::unique_ptr<LinuxDriver>> Create(const LinuxDriverOptions& options);
  ~LinuxDriver() override;

  // Must be called before the loop runs.
  void Connect(Core* core, FuseServer* server);
  // "ptrace + BPF sys_exit", for the start-up line.
  std::string_view GateName() const { return gate_->name(); }
  // Why it is not the other one, if another was tried first; else empty.
  const std::string& GateNote() const { return gate_note_; }
  // Lets go of every thread and agent; waits for those that must stop first, but not for long.
  void Shutdown();

  int64_t NowNs() override;
  std::optional<Region> AllocateRegion(const std::string& name, size_t size) override;
  void FreeRegion(uint64_t id) override;
  AttachResult Attach(Tid tid, int64_t gtid) override;
  void Detach(int64_t gtid) override;
  void Run(int64_t gtid, int cpu) override;
  void Preempt(int64_t gtid) override;
  uint64_t RuntimeNs(int64_t gtid) override;
  std::optional<uint64_t> RuntimeNsOfTid(Tid tid) override;
  std::optional<CpuSet> Affinity(int64_t gtid) override;
  uint64_t StartTime(Tid tid) override;
  int MayAttach(Tid tid, const Caller& caller) override;
  int AttachAgent(Tid tid, int cpu) override;
  void KillAgent(Tid tid) override;
  void CompleteRequest(uint64_t request, int result) override;
  void ArmTimer(uint64_t id, int64_t when_ns) override;
  void NotifyNode(uint64_t node) override;
  void Log(const std::string& line) override;

 private:
  enum class Phase {
    kEntering,  // seized; its first stop is to come
    kRunning,   // Run was called
    kBlocked,   // the core knows that it sleeps
    kHeld,      // in a ptrace stop, startable
    kLeaving,   // the core has forgotten it; to be detached at its next stop
    kExited,    // to be reaped
  };

  struct Task {
    int64_t gtid = 0;
    Tid tid = 0;
    int slot = -1;
    Phase phase = Phase::kEntering;
    int signal = 0;  // to deliver when it continues
    int pinned_cpu = -1;
    CpuSet affinity;  // its own
    uint64_t runtime_base_ns = 0;
    // What MarkPolicy and LookForChanges keep, where the gate does not see strangers' calls.
    int policy = 0;       // as ghostd expects it
    bool marked = false;  // it is SCHED_BATCH instead of its own SCHED_OTHER
    int nice = 0;
    bool deferrable = false;  // sleeps in futex, nanosleep or epoll_wait
    Tid child = 0;            // stopped in clone until this child's first stop
    int64_t parent_gtid = 0;  // a child before its first stop
    Tid parent = 0;
  };

  struct Agent {
    Tid tid = 0;
    int cpu = -1;
    CpuSet affinity;
  };

  explicit LinuxDriver(const LinuxDriverOptions& options);

  // Events of the gate.
  void OnEvent(const gate_event& event);
  void OnBlocked(Task& task, long call);
  void OnExit(Task& task);
  void OnDead(Task& task, Tid tgid);
  void OnExec(Task& task, Tid tid);
  void OnSchedulingCall(Task& task, long call, uint64_t argument);
  void OnAgentEvent(const gate_event& event);

  // What others do to tasks, where the gate does not see strangers' calls (linux_driver_changes.cc).
  void MarkPolicy(Task& task);
  void UnmarkPolicy(Task& task);
  static void InheritPolicy(Task& child, const Task& parent);
  void LookForChanges(Task& task);
  void Sweep();
  bool ConsumeEvents();
  // After events were lost: asks every thread itself.
  void Resync();

  // Stops.
  void OnStopped(Task& task);
  void OnSignalStop(Task& task, int signal);
  void OnInterruptStop(Task& task);
  void OnSyscallStop(Task& task);
  void OnGroupStop(Task& task);
  void OnClone(Task& parent, Tid child);
  void OnUntracedClone(Task& parent, Tid child);
  void OnChildStopped(Task& child);
  void ReleaseParentOf(Task& child);
  // From a stop that changes nothing.
  void GoOn(Task& task);
  // The thread is in a stop and must stay there: tells the core.
  void Hold(Task& task, int signal);
  void FinishDetach(Task& task, int signal);

  Task* NewTask(Tid tid, int64_t gtid, uint32_t state);
  void DeleteTask(Task& task);  // gives its slot back
  // Seizes a thread that lives: 0 or an errno, and then the task is gone.
  int Seize(Task& task);
  bool Reap(Tid tid);
  // A dead leader can only be reaped after its process's last thread, which may be none of ours.
  void ReapWithProcess(Tid tgid);
  void ForgetLeader(Tid tgid);
  AttachResult Reattach(Task& task, int64_t gtid);
  // Decides how a thread just seized is, and sets it going towards its first stop.
  AttachResult::State StartEntering(Task& task, char proc_state);
  Task* Find(int64_t gtid);
  Task* FindTid(Tid tid);
  static CpuSet GetAffinity(Tid tid);
  void Pin(Task& task, int cpu);
  void Unpin(Task& task);
  void Save(const Task& task);
  void ReleaseAgent(const Agent& agent);
  static bool IsDeferrable(long call);  // a system call whose wake-ups can wait

  const LinuxDriverOptions options_;
  Core* core_ = nullptr;
  FuseServer* server_ = nullptr;
  std::unique_ptr<Gate> gate_;
  std::string gate_note_;
  std::unique_ptr<TimerSet> timers_;
  std::unique_ptr<TimerSet> sweep_;  // one timer; null where the gate sees strangers' calls
  size_t sweep_slot_ = 0;            // where the next sweep goes on
  size_t slots_used_ = 0;            // slots from here on have never had a task
  Tid entering_self_ = 0;            // MayAttach's caller moves itself

  std::vector<std::unique_ptr<Task>> by_slot_;
  absl::flat_hash_map<int64_t, Task*> by_gtid_;
  absl::flat_hash_map<Tid, Task*> by_tid_;
  absl::flat_hash_map<Tid, ScopedFd> zombie_leaders_;  // and the pidfds that tell of their processes' ends
  absl::flat_hash_map<int, Agent> agents_;             // by slot
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_LINUX_DRIVER_H_
