// What the user-mode kernel knows: CPUs, enclaves, tasks, agents, queues, and how they refer to each other.
//
// Plain data with owners and look-ups. What it is not: there are no rules here; those stand in the classes that change
// it (scheduler.h, committer.h, tasks.h, agents.h, enclaves.h, messenger.h), which are the only users. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_STATE_H_
#define GHOST_KERNEL_USERMODE_CORE_STATE_H_

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/abi/abi_version.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/driver.h"
#include "kernel/usermode/core/identity.h"
#include "kernel/usermode/core/message_queue.h"
#include "kernel/usermode/core/observer.h"
#include "kernel/usermode/core/status_words.h"
#include "lib/base/cpu_set.h"
#include "lib/base/histogram.h"

namespace ghost::usermode {

struct Cpu;
struct Enclave;

// A message queue. Lives while its enclave does or a task or agent sends to it.
struct Queue {
  Queue(uint64_t id, const Region& region, uint32_t elems) : id(id), region(region), ring(region.address, elems) {}

  const uint64_t id;
  const Region region;
  MessageQueue ring;
  Enclave* enclave = nullptr;  // whose ctl created it; null once that is gone
  Tid creator = 0;             // the process; when it has ended nobody reads the queue any more
  int references = 0;          // tasks and agents whose messages go here
  std::array<int, GHOST_MAX_WINFO> wakeup_cpus = {};
  int num_wakeup_cpus = 0;
  uint64_t node = 0;  // its file
};

enum class TaskState : uint8_t {
  kEntering,  // taken hold of while it ran somewhere: the driver has yet to stop it
  kRunnable,  // held and startable
  kRunning,   // current on its CPU
  kBlocked,
};

struct WaitingTag;
struct MemberTag;
template <typename Tag>
using ListHook = boost::intrusive::list_base_hook<boost::intrusive::tag<Tag>,
                                                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

struct Task : ListHook<WaitingTag>, ListHook<MemberTag> {
  Identity* identity = nullptr;
  int64_t gtid = 0;
  Tid tid = 0;
  Enclave* enclave = nullptr;
  Queue* queue = nullptr;  // null: its messages are dropped
  StatusWord word;
  TaskState state = TaskState::kBlocked;
  bool new_pending = false;  // TASK_NEW is still to come
  bool preempting = false;   // Driver::Preempt was called, its answer is due
  int cpu = 0;               // where it runs, or last ran
  Cpu* latched_on = nullptr;
  int nice = 0;
  int64_t parent_gtid = 0;
  uint64_t runtime_ns = 0;       // when it last left a CPU
  int64_t on_cpu_since_ns = 0;   // while kRunning
  int64_t waiting_since_ns = 0;  // while kRunnable
};

template <typename Tag>
using TaskList = boost::intrusive::list<Task, boost::intrusive::base_hook<ListHook<Tag>>,
                                        boost::intrusive::constant_time_size<false>>;

struct Agent {
  Identity* identity = nullptr;
  int64_t gtid = 0;
  Tid tid = 0;
  Tid tgid = 0;
  Cpu* cpu = nullptr;
  Enclave* enclave = nullptr;
  Queue* queue = nullptr;
  StatusWord word;
  bool sleeping = false;  // in an ordinary blocking syscall (only if the driver tells)
  // In RUN or a local commit: off its CPU, waiting to be picked. The request is then answered with `result`.
  bool parked = false;
  uint64_t request = 0;
  int result = 0;
};

struct Cpu {
  int id = 0;
  Enclave* enclave = nullptr;
  ghost_txn* txn = nullptr;  // shared with agents; null outside enclaves
  Agent* agent = nullptr;
  uint32_t agent_barrier = 0;  // the truth; the agent's word gets it when it is picked, blocks or gets a CPU message
  bool blocked_in_run = false;
  bool agent_should_wake = false;
  bool must_resched = false;            // the current task may not go on
  bool ignore_prev_preemption = false;  // … and goes without a TASK_PREEMPT (poisoned sync group)
  bool need_resched = false;            // in the scheduler's work list
  bool online = true;
  bool announced_available = false;  // what CPU_AVAILABLE and CPU_BUSY have told the agent
  bool other_class = false;          // a CFS or higher thread is runnable here
  bool on_cpu_message_due = false;   // for the latched task: SEND_TASK_ON_CPU
  bool latched_idle = false;
  bool dont_idle = false;           // its program wants to be asked again rather than see it idle
  bool polls = false;               // … and it is idle (programs.h)
  bool latched_by_program = false;  // in the run that is under way
  uint64_t polled_version = 0;      // what its program knew when it ran last
  Tid other_class_tid = 0;          // which, if the driver knows
  uint16_t run_flags = 0;
  uint64_t seqnum = 0;
  Task* latched = nullptr;
  Task* current = nullptr;
  Task* prev = nullptr;            // just held by the driver; whether it is preempted is being decided
  uint64_t last_async_commit = 0;  // the scheduler's round of the last one
  int64_t vacated_ns = 0;          // since when no task runs here although one waits; 0: that is not so
  CpuStatus status;

  bool AgentRuns() const { return agent != nullptr && !agent->parked && !agent->sleeping; }
  bool HasLatch() const { return latched != nullptr || latched_idle; }
  bool IsIdle() const { return current == nullptr && !AgentRuns() && !other_class; }
};

struct Tunables {
  bool commit_at_tick = false;
  bool deliver_agent_runnability = false;
  bool deliver_cpu_availability = false;
  bool deliver_ticks = false;
  bool live_dangerously = false;
  bool switchto_disabled = false;
  bool wake_on_waker_cpu = false;
  int64_t runnable_timeout_ms = 0;  // 0 = off; as the file shows it
};

struct ProgramCounters {
  std::array<uint64_t, kNumBpfHooks> runs = {};
  uint64_t latched = 0;         // tasks that pick-next-task programs gave a CPU
  uint64_t dropped = 0;         // messages
  uint64_t failed_runs = 0;     // plain behaviour instead
  uint64_t failed_effects = 0;  // helpers that failed though the program was told that they would not
  uint64_t throttled = 0;       // not run, as too many had run already
};

struct EnclaveCounters {
  std::array<uint64_t, _MSG_CPU_LAST + 1> messages = {};  // produced, by type
  uint64_t dropped = 0;                                   // had a queue, but were not queued
  std::array<uint64_t, 16> commits = {};                  // by final state, from GHOST_TXN_COMPLETE up
  uint64_t preempts = 0;
  uint64_t wakeups = 0;  // of tasks
  ProgramCounters programs;
  Histogram runnable_to_run_ns;  // how long tasks waited for a CPU
  Histogram block_to_run_ns;     // how long a CPU that a task left asleep was without one, while others waited
};

// A BPF program at its hook.
struct BpfLink {
  uint64_t handle = 0;  // the open file that keeps it there; 0: the enclave itself
  std::unique_ptr<BpfProgram> program;
};

struct Enclave {
  uint64_t id = 0;
  const AbiVersion* abi = nullptr;
  uid_t uid = 0;
  gid_t gid = 0;
  bool ephemeral = false;  // destroyed with its last agent, once no ctl is held open for writing
  bool dying = false;
  bool agent_online = false;
  CpuSet cpus;
  Region cpu_data;
  StatusWordTable words;
  Queue* default_queue = nullptr;
  std::vector<Queue*> queues;  // created through this enclave
  int num_agents = 0;
  bool had_agent = false;
  size_t num_members = 0;
  size_t num_announced = 0;      // of them, those whose TASK_NEW was due
  TaskList<MemberTag> members;   // in order of entry
  TaskList<WaitingTag> waiting;  // runnable and not running, longest waiting first
  Tunables tunables;
  EnclaveCounters counters;
  std::array<BpfLink, kNumBpfHooks> programs;  // by BpfHook
  std::vector<BpfView*> views;                 // theirs, each once
  // Its files.
  uint64_t directory = 0;
  uint64_t ctl_node = 0;
  uint64_t sw_regions_node = 0;
  uint64_t agent_online_node = 0;
  int ctl_writers = 0;

  std::string name() const { return "enclave_" + std::to_string(id); }
};

class State {
 public:
  State(const CoreOptions& options, Driver* driver);

  const CoreOptions options;
  Driver* const driver;
  BpfLoader* bpf_loader = nullptr;
  std::vector<CoreObserver*> observers;

  std::vector<Cpu> cpus;
  std::vector<std::unique_ptr<Enclave>> enclaves;
  absl::flat_hash_map<int64_t, std::unique_ptr<Task>> tasks;  // by gtid
  absl::flat_hash_map<Tid, Task*> tasks_by_tid;
  absl::flat_hash_map<Tid, std::unique_ptr<Agent>> agents;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Queue>> queues;  // by region id
  IdentityTable identities;

  bool OnlineCpu(int cpu) const { return ValidCpu(cpu) && cpus[static_cast<size_t>(cpu)].online; }
  bool ValidCpu(int cpu) const { return cpu >= 0 && cpu < static_cast<int>(cpus.size()); }
  Task* FindTask(int64_t gtid);
  Agent* FindAgent(Tid tid);
  Agent* FindAgentByGtid(int64_t gtid);
  // The task or the agent that a gtid names; 0 is the caller. Both null: it is neither.
  void FindSource(int64_t gtid, const Caller& caller, Task** task, Agent** agent);
  Queue* FindQueue(uint64_t region);
  // What the caller's descriptor is: the queue, or null with -EBADF in *error.
  Queue* QueueOfFd(Caller& caller, int fd, int* error);
  Identity* IdentityOf(Tid tid) { return identities.Get(tid, driver->StartTime(tid)); }

  // Makes `queue` (or null) the destination; drops what it replaces.
  void SetQueue(Queue** slot, Queue* queue);
  // Frees the queue if its enclave is gone and nobody sends to it.
  void ReleaseQueue(Queue* queue);
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_STATE_H_
