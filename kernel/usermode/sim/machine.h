// Machine: a simulated computer with a ghost kernel. A core, CPUs, threads, processes and a virtual clock in one
// object.
//
// It does nothing by itself: whoever holds it makes system calls on behalf of its processes, gives its threads
// programs, and moves the clock. The same calls give the same run, to the byte.
//
//     Machine machine({.num_cpus = 2, .costs = CostModel::Zero()});
//     SimCaller& agent = machine.StartAgentThread(machine.StartProcess());
//     int ctl = machine.Open(agent, "ctl", O_WRONLY);        // ghostfs paths, no mount point
//     machine.Write(agent, ctl, "create 1 91");
//     …
//     Thread& thread = machine.StartPuppet();                // an ordinary thread that executes for ever
//     machine.Write(agent, tasks, std::to_string(thread.tid));
//     machine.RunFor(1000);                                  // it has been stopped, TASK_NEW is in the queue
//     Machine::IoctlResult run = machine.Ioctl(agent, enclave_ctl, GHOST_IOC_COMMIT_TXN, &commit);
//     machine.Do(thread, Action::Wait());                    // as soon as it is on a CPU
//     machine.RunUntil([&] { return machine.Answer(run.request).has_value(); }, machine.now_ns() + 1'000'000);
//
// A thread of a process of agents (StartAgentThread) is driven by the caller and occupies a CPU only as an agent that
// is not parked; time passes for it when the caller lets it pass. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_MACHINE_H_
#define GHOST_KERNEL_USERMODE_SIM_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/usermode/core/core.h"
#include "kernel/usermode/sim/cost_model.h"
#include "kernel/usermode/sim/event_queue.h"
#include "kernel/usermode/sim/process.h"
#include "kernel/usermode/sim/program.h"
#include "kernel/usermode/sim/sim_driver.h"
#include "kernel/usermode/sim/thread.h"
#include "lib/topology.h"

namespace ghost::sim {

struct MachineOptions {
  int num_cpus = 4;
  // How its CPUs lie together, and how many there are then. Null: num_cpus of them, each a core of its own.
  std::shared_ptr<const Topology> topology = nullptr;
  std::vector<uint32_t> abi_versions = {91};
  CostModel costs;
  int64_t start_ns = 1'000'000'000;  // the clock at the start
  usermode::CoreOptions limits;      // only its max_… fields
  // Stands between the core and the driver, to watch (an invariant checker). Null: nothing does.
  std::function<std::unique_ptr<usermode::Driver>(usermode::Driver*)> wrap_driver;
};

class Machine {
 public:
  explicit Machine(const MachineOptions& options);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  usermode::Core& core() { return *core_; }
  SimDriver& driver() { return driver_; }
  EventQueue& events() { return events_; }
  Threads& threads() { return driver_.threads(); }
  const CostModel& costs() const { return costs_; }
  int num_cpus() { return driver_.cpus().count(); }
  const std::shared_ptr<const Topology>& topology() const { return topology_; }  // never null
  void AddObserver(Observer* observer) { driver_.AddObserver(observer); }
  // For one that ends before the machine, whose own end is told, too.
  void RemoveObserver(Observer* observer) { driver_.RemoveObserver(observer); }

  // -- Time --
  int64_t now_ns() const { return events_.now_ns(); }
  // Handles the next event, if there is one at or before `limit_ns`.
  bool Step(int64_t limit_ns = EventQueue::kNever);
  // Handles all events of the next `ns`, those at its end included; the clock stands at that end then. 0: those of now.
  void RunFor(int64_t ns);
  // Handles events until the condition holds: true; false once the clock has reached `deadline_ns`, or nothing is left.
  bool RunUntil(const std::function<bool()>& condition, int64_t deadline_ns);
  // `call` at a time, as an event.
  void At(int64_t when_ns, std::function<void()> call);

  // -- Processes --
  struct ProcessOptions {
    uid_t uid = 0;
    gid_t gid = 0;
    bool cap_sys_nice = true;
  };
  Process& StartProcess(const ProcessOptions& options);
  Process& StartProcess() { return StartProcess(ProcessOptions()); }
  // A thread that the caller drives: an agent, or one that makes system calls only. The first one is the main thread.
  SimCaller& StartAgentThread(Process& process);
  SimCaller& CallerOf(Tid tid);  // of such a thread
  // An agent's CPU affinity, which the form of `become agent` without a CPU goes by.
  void PinAgentThread(SimCaller& caller, int cpu);
  // The thread ends: its pending request is dropped, the core is told.
  void ExitAgentThread(Tid tid);
  // All its threads end, then its descriptors are closed: kill -9.
  void Kill(Process& process);
  Process* FindProcess(Tid tgid);

  // -- System calls on ghostfs. Negative: -errno. Mode bits are checked as a VFS does. --
  int Open(SimCaller& caller, std::string_view path, int flags);
  int64_t Read(SimCaller& caller, int fd, uint64_t offset, size_t size, std::string* out);
  int64_t Write(SimCaller& caller, int fd, std::string_view text);
  int Close(SimCaller& caller, int fd);
  uint32_t Poll(SimCaller& caller, int fd);  // POLLIN and so on
  int Stat(std::string_view path, usermode::NodeAttr* attr);
  int List(std::string_view path, std::vector<std::string>* names);
  // The memory behind a region's descriptor; empty if it is none. Valid while a copy of `owner` lives.
  struct Mapping {
    std::shared_ptr<std::byte> owner;
    std::span<std::byte> bytes;
  };
  Mapping Map(SimCaller& caller, int fd);
  int TimerfdCreate(SimCaller& caller);
  // Whole files: open, read or write, close. Read: "-13" for -EACCES.
  std::string ReadFile(SimCaller& caller, std::string_view path);
  int64_t WriteFile(SimCaller& caller, std::string_view path, std::string_view text);

  struct IoctlResult {
    int result = 0;        // what ioctl(2) returns, or -errno
    bool pending = false;  // its thread sleeps in it: Answer(request) will say
    uint64_t request = 0;
  };
  IoctlResult Ioctl(SimCaller& caller, int fd, unsigned long command, void* argument);
  // What a pending request was answered with; nullopt: it still is pending. An answer is given once.
  std::optional<int> Answer(uint64_t request);
  bool IsPending(uint64_t request) const { return driver_.IsPending(request); }
  // A signal for the thread that sleeps in it.
  void Interrupt(uint64_t request) { core_->Interrupt(request); }
  // Called for each answer instead of keeping it for Answer().
  std::function<void(uint64_t request, Tid tid, int result)> on_answer;
  // agent_online files and directories that changed. (From inside the core: only note it.)
  void set_on_notify(std::function<void(uint64_t node)> call) { driver_.on_notify = std::move(call); }

  // -- Threads: what threads.h offers, by reference --
  Thread& StartThread(std::unique_ptr<Program> program, const Threads::Options& options);
  Thread& StartThread(std::unique_ptr<Program> program) { return StartThread(std::move(program), Threads::Options()); }
  Thread& StartPuppet(const Threads::Options& options) { return StartThread(std::make_unique<Puppet>(), options); }
  Thread& StartPuppet() { return StartPuppet(Threads::Options()); }
  // Of a puppet: it performs the action as soon as it is on a CPU, after those it was given before.
  void Do(Thread& puppet, Action action);
  // From outside, whatever the thread is doing: see threads.h.
  void Wake(Thread& thread, int waker_cpu) { threads().Wake(thread, waker_cpu); }
  void SetAffinity(Thread& thread, const CpuSet& cpus);

  // -- CPUs --
  void SetOnline(int cpu, bool online) { driver_.cpus().SetOnline(cpu, online); }
  // An ordinary thread of no further interest occupies the CPU. Nests.
  void SetBusy(int cpu, bool busy) { driver_.cpus().SetBusy(cpu, busy); }

 private:
  int64_t Node(std::string_view path);
  bool MayOpen(const Process& process, const usermode::NodeAttr& attr, int flags) const;
  void OnKillAgent(Tid tid);
  void OnCall(uint32_t index, uint32_t generation);
  int64_t EnterEnclave(const Thread& by, Tid tid, uint64_t enclave);

  const CostModel costs_;
  const std::shared_ptr<const Topology> topology_;
  EventQueue events_;
  SimDriver driver_;
  std::unique_ptr<usermode::Driver> wrapper_;
  std::unique_ptr<usermode::Core> core_;
  std::map<Tid, std::unique_ptr<Process>> processes_;
  std::map<Tid, std::unique_ptr<SimCaller>> callers_;
  uint64_t next_request_ = 1;
  std::map<uint64_t, int> answers_;
  std::vector<std::function<void()>> calls_;
  std::vector<uint32_t> free_calls_;
  MethodHandler<Machine, &Machine::OnCall> call_{this};
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_MACHINE_H_
