// AgentHost: the threads of one simulated agent process as fibers, and what its system calls cost them.
//
// Each thread is a fiber that runs, in no virtual time at all, up to its next system call; Charge lets the time pass
// that the call and what led to it take; then the call is made, at that instant. So what an agent decided may be stale
// when its commit arrives, as on a real machine. A thread that sleeps in a call is resumed when the core answers.
//
// What it is not: it knows no files (sim_kernel.h) and no schedulers (scheduler_process.h). Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_AGENT_HOST_H_
#define GHOST_KERNEL_USERMODE_SIM_AGENT_HOST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/sim/fiber.h"
#include "kernel/usermode/sim/machine.h"

namespace ghost::sim {

// Watches what agents ask for, and may make it take longer.
class AgentObserver {
 public:
  virtual ~AgentObserver() = default;
  // More time for a commit, in ns. Asked once for each.
  virtual int64_t CommitDelay() { return 0; }
  // A commit's transaction of `cpu`, right after the call: its state, by agent `by`.
  virtual void OnTransaction(int /*by*/, int /*cpu*/, int64_t /*gtid*/, int32_t /*state*/, int64_t /*now_ns*/) {}
};

class AgentHost {
 public:
  AgentHost(Machine* machine, Process* process);
  ~AgentHost();  // unwinds all

  Machine& machine() { return machine_; }
  Process& process() { return process_; }
  // Whoever executes: the current fiber's thread, or the main thread outside of fibers.
  SimCaller& caller();
  bool in_fiber() const { return current_ != nullptr; }
  int current_cpu() const { return current_ == nullptr ? -1 : current_->cpu; }

  // The thread that is to be the agent of `cpu`, made now if need be; its body comes with StartThread.
  SimCaller& ReserveThread(int cpu);
  // Runs `body` on it, as an event. cpu -1: on the main thread.
  void StartThread(int cpu, std::function<void()> body);
  // All fibers end here and now; whoever calls this host afterwards is told that its process is dead.
  void CancelAll();
  bool dead() const { return dead_; }

  // -- Inside of a fiber; outside, calls take no time --
  // A call, and what led to it, which take so long on a core that has nothing else to do.
  void Charge(int64_t ns);
  // An ioctl at this instant; sleeps until the core has answered it.
  int Ioctl(int fd, unsigned long command, void* argument);
  // What the watched words look like.
  uint64_t World() const;
  // Sleeps until they look otherwise than `world`, or `until_ns`.
  void WaitForWorld(uint64_t world, int64_t until_ns);
  // To be watched: ring heads, and what else an agent that polls looks at. It must stay as long as the host.
  void Watch(const uint32_t* word) { watched_.push_back(word); }
  // To be called after each event of the machine.
  void LookAtWorld() {
    if (num_waiting_ != 0) [[unlikely]]
      WakeWaiting();
  }
  // Calls of the current thread so far.
  uint64_t calls() const { return current_ == nullptr ? 0 : current_->calls; }

  // The core's answer to a request of one of its threads. From inside the core.
  void OnAnswer(Tid tid, int result);

 private:
  struct Thread {
    uint32_t index = 0;
    int cpu = -1;
    SimCaller* caller = nullptr;
    std::unique_ptr<Fiber> fiber;
    uint32_t generation = 0;  // of its next resumption
    uint64_t calls = 0;
    int answer = 0;
    bool waits_for_world = false;
    uint64_t world = 0;  // as it was seen
  };
  Thread& Reserve(int cpu);
  void ResumeAt(Thread& thread, int64_t when_ns);
  void OnResume(uint32_t index, uint32_t generation);
  // For how long the other hardware threads of a CPU's core have not idled so far.
  int64_t SiblingsBusyNs(int cpu) const;
  void WakeWaiting();

  Machine& machine_;
  Process& process_;
  std::vector<std::unique_ptr<Thread>> threads_;
  absl::flat_hash_map<Tid, Thread*> by_tid_;
  Thread* current_ = nullptr;
  bool dead_ = false;
  std::vector<const uint32_t*> watched_;
  int num_waiting_ = 0;
  MethodHandler<AgentHost, &AgentHost::OnResume> resume_{this};
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_AGENT_HOST_H_
