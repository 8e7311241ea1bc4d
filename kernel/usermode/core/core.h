// The user-mode ghost kernel: everything a ghost kernel knows and decides, as a pure state machine.
//
// What it is: enclaves, CPUs, tasks, agents, queues (producer side), status words, transactions, tunables and the
// ghostfs tree (names, modes, texts, errno). What it is not: it does no I/O, reads no clock and starts no threads; it
// asks a Driver (driver.h) and is told events. Who may call it: one thread, never from inside a Driver method. The
// specification is the semantics of the ABI-69 kernel plus what newer versions add (kernel/abi/abi_version.h).
//
//     ghostfs request ──> Lookup/Open/Read/Write/Ioctl ─┐                     ┌─> Run, Preempt, Attach, CompleteRequest
//                                                       ├─> Core ── Driver ───┤
//     the driver saw  ──> OnTaskBlocked, OnTaskReady … ─┘                     └─> AllocateRegion, ArmTimer
//
// All results are 0 or positive for success and -errno for failure, as a kernel's.
#ifndef GHOST_KERNEL_USERMODE_CORE_CORE_H_
#define GHOST_KERNEL_USERMODE_CORE_CORE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/usermode/core/driver.h"
#include "lib/base/cpu_set.h"

namespace ghost::usermode {

class BpfLoader;
class BpfProgram;
enum class BpfHook : uint8_t;
class CoreObserver;

struct CoreOptions {
  int num_cpus = 1;                           // CPUs 0..num_cpus-1, all online
  int num_nodes = 1;                          // NUMA nodes
  std::vector<uint32_t> abi_versions = {91};  // what `version` lists; `create` picks one
  int max_enclaves = 64;
  int max_queues = 4096;             // over all enclaves
  int max_tasks = 65534;             // over all enclaves
  int max_status_word_regions = 64;  // over all enclaves; 2 MiB each
  int nr_cpus = CpuSet::kMaxCpus;    // CPU numbers from here on are errors in cpulist and cpumask
  uid_t uid = 0;                     // owner of the root directory's files
  gid_t gid = 0;
};

enum class NodeType { kDirectory, kFile, kRegion };  // kRegion: mapped memory; shown as a link to it under FUSE

struct NodeAttr {
  NodeType type = NodeType::kFile;
  uint32_t mode = 0;  // permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;
  uint64_t region = 0;  // Region::id of a kRegion
};

struct DirEntry {
  std::string name;
  uint64_t node = 0;
  NodeType type = NodeType::kFile;
};

struct IoctlResult {
  int result = 0;        // what ioctl(2) returns, or -errno
  bool pending = false;  // Driver::CompleteRequest(request, …) will say
};

struct CpuStatus {  // for `status` displays
  int cpu = 0;
  bool has_agent = false;
  bool agent_running = false;
  int64_t current_gtid = 0;
  int64_t latched_gtid = 0;
  uint64_t commits = 0;
  uint64_t failed_commits = 0;
  uint64_t preempts = 0;
  uint64_t busy_ns = 0;  // ghost tasks' time on it
};

class Core {
 public:
  Core(const CoreOptions& options, Driver* driver);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // ---- The ghostfs tree ----
  // Node 1 is the root. Nodes are never reused. A node of a removed enclave gives -ENOENT in Lookup and -ENODEV through
  // open handles.
  static constexpr uint64_t kRootNode = 1;
  int64_t Lookup(uint64_t directory, std::string_view name);  // node or -ENOENT/-ENOTDIR
  int GetAttr(uint64_t node, NodeAttr* attr);
  int ReadDir(uint64_t directory, std::vector<DirEntry>* entries);  // without . and ..

  // `flags` as open(2)'s. Returns a handle (> 0) or -errno (EACCES by mode and by what the file can do, EBUSY).
  // Permission bits against the caller's uid/gid are the VFS's job (FUSE default_permissions), not done here.
  int64_t Open(uint64_t node, int flags, Caller& caller);
  int64_t Read(uint64_t handle, uint64_t offset, size_t size, std::string* out);
  int64_t Write(uint64_t handle, std::string_view data, Caller& caller);  // at most 4096 bytes are taken
  // `argument` is the ioctl's struct, in and out (_IOC_SIZE bytes; empty for NULL). `request` names a deferred answer.
  IoctlResult Ioctl(uint64_t handle, uint32_t command, std::span<std::byte> argument, Caller& caller, uint64_t request);
  // The caller of a pending request got a signal: it is answered (-EINTR or its normal result) through CompleteRequest.
  void Interrupt(uint64_t request);
  // POLLIN|POLLOUT always, POLLERR|POLLPRI once after each notification of the node.
  uint32_t Poll(uint64_t handle);
  void Release(uint64_t handle);

  // ghostd's dialect: CREATE_QUEUE's result is a queue id, opened as enclave_N/queue_<id>; and a task's own affinity,
  // which the driver's pin hides from sched_getaffinity, is asked with GHOSTD_IOC_TASK_AFFINITY (dialect.h).

  // ---- What the driver saw of tasks ----
  void OnTaskGated(int64_t gtid);    // a running (or entering) task is off its CPU and still runnable: preempted
  void OnTaskYielded(int64_t gtid);  // it called sched_yield and is held
  void OnTaskBlocked(int64_t gtid);  // it sleeps; its CPU is free
  struct Wakeup {
    int waker_cpu = -1;
    bool deferrable = false;  // it slept in futex, nanosleep or epoll_wait
  };
  void OnTaskReady(int64_t gtid, const Wakeup& wakeup);  // a blocked task woke and is held, startable
  // A task's clone/fork: the child is already held. Returns the child's gtid, by which the driver names it from now on,
  // or 0 if it can't be taken (enclave dying, no status word): the driver then lets it go.
  int64_t OnTaskForked(int64_t parent_gtid, Tid child, uint64_t runtime_ns, int nice);
  // … and the driver knows the child by its gtid: with BPF programs, which schedule at once, it may run from now on.
  void OnTaskForkTaken(int64_t gtid);
  void OnTaskExited(int64_t gtid);               // in any state; the driver has let go of it
  void OnTaskDeparted(int64_t gtid);             // it, or someone, called sched_setscheduler(2) to an ordinary policy
  void OnTaskTidChanged(int64_t gtid, Tid tid);  // exec by a thread that was not the leader
  void OnTaskAffinityChanged(int64_t gtid);
  void OnTaskPriorityChanged(int64_t gtid, int nice);

  // ---- Agents, CPUs, time ----
  void OnAgentExited(Tid tid);
  // CFS or above has, or has no more, a runnable thread on this CPU; `next`: which (CPU_NOT_IDLE tells), if known.
  void OnOtherClass(int cpu, bool wants_cpu, Tid next = 0);
  // Hot unplug and plug. Nothing runs on a CPU that is offline; what is parked there waits.
  void OnCpuOnline(int cpu, bool online);
  void OnTimer(uint64_t id);
  // Only for a driver that sees expiries which the core's own timer (Caller::TimerfdSettime) does not.
  void OnTimerfdExpired(int cpu, uint64_t type, uint64_t cookie);
  // The agent sleeps in an ordinary blocking syscall, or has woken from one. Optional: a driver that does not tell has
  // its agents count as running, and CPU_AGENT_BLOCKED/WAKEUP are never sent.
  void OnAgentBlocked(Tid tid);
  void OnAgentWoken(Tid tid);

  // Who takes the programs that agents attach (bpf_program.h); null, the default: nobody, and the ioctl fails. Must
  // outlive the core.
  void SetBpfLoader(BpfLoader* loader);
  // Attaches a program that is in this process already: simulations and tests. It stays as long as the open file, or if
  // that is 0 as the enclave. 0, -ENOENT or -EBUSY.
  int AttachProgram(uint64_t enclave, BpfHook hook, std::unique_ptr<BpfProgram> program, uint64_t handle = 0);
  // One more who is told of what goes on inside (observer.h). Must outlive the core.
  void AddObserver(CoreObserver* observer);

  // ---- Introspection (no side effects) ----
  std::vector<CpuStatus> Cpus() const;
  size_t num_tasks() const;
  // Panics (CHECK) if the state is inconsistent: a task on two CPUs, counts that do not add up, … For tests.
  void CheckInvariants() const;

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_CORE_H_
