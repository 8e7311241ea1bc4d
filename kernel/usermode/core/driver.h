// What the user-mode kernel's core asks of whatever really holds threads: the Driver.
//
// The core (core.h) is a pure state machine: no I/O, no clock, no threads. A Driver gives it memory and time, and
// carries out its decisions on real threads (kernel/usermode/linux: ptrace + BPF), on scripted tasks under a virtual
// clock (kernel/usermode/sim), or, one day, through sched_ext. Nothing here may assume ptrace.
//
// Calls go both ways on one thread. The core calls Driver methods from inside its own methods; a Driver never calls
// back into the core from inside a Driver method: what it learns, it reports later through the Core's On… events.
#ifndef GHOST_KERNEL_USERMODE_CORE_DRIVER_H_
#define GHOST_KERNEL_USERMODE_CORE_DRIVER_H_

#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "lib/base/cpu_set.h"

namespace ghost::usermode {

using Tid = int32_t;

// Shared memory that agents map: cpu_data, a region of status words, a queue.
struct Region {
  uint64_t id = 0;  // never reused; 0 = none
  void* address = nullptr;
  size_t size = 0;
};

// Who makes a ghostfs request. Valid during the call only.
class Caller {
 public:
  virtual ~Caller() = default;

  virtual Tid tid() const = 0;
  virtual Tid tgid() const = 0;
  virtual uid_t uid() const = 0;  // effective
  virtual gid_t gid() const = 0;
  virtual bool HasCapSysNice() const = 0;
  // The CPU the caller runs on, or is pinned to, for the ABI-69 form of `become agent`; -1 if it could be on several.
  virtual int Cpu() const = 0;

  // The caller's memory, for arguments behind pointers. False = EFAULT.
  virtual bool ReadMemory(uint64_t address, std::span<std::byte> out) = 0;
  virtual bool WriteMemory(uint64_t address, std::span<const std::byte> data) = 0;

  // What the caller's file descriptor `fd` is: nullopt = not open (EBADF); a Region's id; 0 = some other file.
  virtual std::optional<uint64_t> RegionOfFd(int fd) = 0;

  // timerfd_settime on the caller's descriptor. (The ghost half, CPU_TIMER_EXPIRED, is the core's: it arms a timer of
  // its own with the same times, taking the descriptor's clock to be CLOCK_MONOTONIC.) Returns 0 or -errno; on success
  // *old_value holds what it was.
  virtual int TimerfdSettime(int fd, int flags, const struct itimerspec& value, struct itimerspec* old_value) = 0;
};

// How a thread was when the driver took hold of it.
struct AttachResult {
  int error = 0;  // 0, or the errno for the writer of `tasks`
  // kRunning: on a CPU, not held yet; OnTaskGated follows when it is. kBlocked: asleep. kGated: held, startable.
  enum class State { kRunning, kBlocked, kGated } state = State::kRunning;
  uint64_t runtime_ns = 0;
  int nice = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;

  virtual int64_t NowNs() = 0;  // CLOCK_MONOTONIC

  // Zeroed shared memory named `name` (for listings: "enclave_1/cpu_data"). nullopt: no memory.
  virtual std::optional<Region> AllocateRegion(const std::string& name, size_t size) = 0;
  virtual void FreeRegion(uint64_t id) = 0;  // existing mappings of it may stay

  // -- Tasks. A task is named by its gtid from Attach (or OnTaskForked) until Detach or OnTaskExited. --

  // Takes hold of thread `tid`: from success on, it runs user code only between Run and an off-cpu event.
  virtual AttachResult Attach(Tid tid, int64_t gtid) = 0;
  // Lets go of it: an ordinary thread with its own affinity and nice from now on, whatever state it was in.
  virtual void Detach(int64_t gtid) = 0;
  // Lets a gated task run on `cpu`. A task that has vanished meanwhile is reported through OnTaskExited.
  virtual void Run(int64_t gtid, int cpu) = 0;
  // Asks a running task to stop; asked once per Run at most. Exactly one of OnTaskGated, OnTaskBlocked, OnTaskYielded,
  // OnTaskExited or OnTaskDeparted follows (which may have been under way before).
  virtual void Preempt(int64_t gtid) = 0;
  virtual uint64_t RuntimeNs(int64_t gtid) = 0;  // up to the moment
  // Of any thread, agents and agents' processes too; nullopt = no such thread. (The core asks it also to learn whether
  // the process that made a queue is still there.)
  virtual std::optional<uint64_t> RuntimeNsOfTid(Tid) = 0;
  virtual std::optional<CpuSet> Affinity(int64_t gtid) = 0;  // the task's own mask (not where the driver pins it)

  // Any number that tells the thread from an earlier one with the same tid (field 22 of /proc/<tid>/stat). 0: a driver
  // whose tids are never reused.
  virtual uint64_t StartTime(Tid) { return 0; }

  // Before Attach: may `caller` move `tid` at all, and what is it? 0, or ESRCH (no such thread, dead, zombie), EPERM
  // (another user's, or held by a debugger), EINVAL (kernel thread).
  virtual int MayAttach(Tid tid, const Caller& caller) = 0;

  // -- Agents. --

  // `tid` becomes an agent of `cpu` (-errno on failure): pin it where the CPU is a real one, watch it: OnAgentExited
  // follows when the thread ends.
  virtual int AttachAgent(Tid tid, int cpu) = 0;
  // Kills an agent's process (enclave destroy). OnAgentExited follows.
  virtual void KillAgent(Tid tid) = 0;
  // Answers a request for which Core::Ioctl said `pending`.
  virtual void CompleteRequest(uint64_t request, int result) = 0;

  // -- Time. --

  // OnTimer(id) at `when_ns` (CLOCK_MONOTONIC); replaces an armed timer with this id. when_ns < 0 disarms.
  virtual void ArmTimer(uint64_t id, int64_t when_ns) = 0;

  // -- The tree. --

  // `node` changed without a write through it: wake pollers (EPOLLPRI) or drop caches. (agent_online, removed
  // enclaves.)
  virtual void NotifyNode(uint64_t node) = 0;

  // One line for the operator ("gf_ctl_write: bad cmd :x:"), as the kernel writes to its log.
  virtual void Log(const std::string& line) = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_DRIVER_H_
