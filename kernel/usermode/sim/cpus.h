// The simulated CPUs, and the class of ordinary threads (CFS) on them.
//
// Who uses a CPU, highest first: its agent, ordinary threads, a ghost task. Ordinary threads have a run queue per CPU
// (fair_queue.h); one that wakes goes to an idle CPU if it may use one, else to the shortest queue, and stays there. A
// CPU with one of them is one that another class wants (Core::OnOtherClass). What it is not: it does not decide which
// ghost task runs (the core does) nor what a thread does next (threads.h). Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_CPUS_H_
#define GHOST_KERNEL_USERMODE_SIM_CPUS_H_

#include <cstdint>
#include <vector>

#include "kernel/usermode/core/core.h"
#include "kernel/usermode/sim/cost_model.h"
#include "kernel/usermode/sim/event_queue.h"
#include "kernel/usermode/sim/fair_queue.h"
#include "kernel/usermode/sim/thread.h"
#include "lib/topology.h"

namespace ghost::sim {

class Threads;

class Cpus {
 public:
  Cpus(const Topology* topology, EventQueue* events, Threads* threads, const CostModel* costs);
  void set_core(usermode::Core* core) { core_ = core; }

  int count() const { return static_cast<int>(cpus_.size()); }
  bool online(int cpu) const { return cpus_[static_cast<size_t>(cpu)].online; }
  bool agent_running(int cpu) const { return cpus_[static_cast<size_t>(cpu)].agent_running; }
  Thread* ghost(int cpu) const { return cpus_[static_cast<size_t>(cpu)].ghost; }
  // A word that changes whenever a CPU goes or comes, or another class begins or ceases to want it.
  const uint32_t* changes() const { return &changes_; }
  // For how long it has not idled so far.
  int64_t BusyNs(int cpu) const;
  size_t num_ordinary(int cpu) const { return cpus_[static_cast<size_t>(cpu)].ordinary.size(); }
  // What the kernel does in `ns` on a core of its own takes so long on this CPU, as things are.
  int64_t KernelNs(int cpu, int64_t ns) const;

  // -- Bookkeeping: allowed inside the core's calls --
  void SetGhost(int cpu, Thread* thread);
  void SetAgentRunning(int cpu, bool running);
  // An ordinary thread becomes runnable. `waker_cpu`: where that was done, -1: on none of these.
  void Enqueue(Thread& thread, int waker_cpu = -1);
  // … stops being runnable, or of this class.
  void Dequeue(Thread& thread);

  // -- Events: outside of the core only --
  void SetOnline(int cpu, bool online);
  // To the end of its queue.
  void Yield(Thread& thread);
  // Says that a thread that is none of ours wants the CPU, or no longer does. Nests.
  void SetBusy(int cpu, bool busy);

 private:
  struct Cpu {
    bool online = true;
    bool agent_running = false;
    bool told_wanted = false;
    bool telling = false;
    int busy = 0;
    Thread* ghost = nullptr;
    uint32_t slice = 0;  // generation
    FairQueue ordinary;
    bool counted_busy = false;
    int64_t busy_ns = 0;        // until busy_since_ns
    int64_t busy_since_ns = 0;  // while counted_busy
  };
  Cpu& at(int cpu) { return cpus_[static_cast<size_t>(cpu)]; }
  int ChooseCpu(const Thread& thread) const;
  // Starts or ends the counting of its busy time.
  void Account(int cpu);
  // What the first of them has got is counted.
  void AccountOrdinary(Cpu& c);
  // Takes the CPU from an ordinary thread; it stays in its queue.
  void Stop(Thread& thread);
  // Runs the first ordinary thread if nothing stands above it, and nothing else. `delay_ns`: what comes before that.
  void Update(int cpu, int64_t delay_ns = 0);
  void Turn(int cpu, bool yields);
  void TellLater(int cpu);
  void OnTell(uint32_t cpu, uint32_t generation);
  void OnSlice(uint32_t cpu, uint32_t generation);

  const Topology& topology_;
  EventQueue& events_;
  Threads& threads_;
  const CostModel& costs_;
  usermode::Core* core_ = nullptr;
  std::vector<Cpu> cpus_;
  uint32_t changes_ = 0;
  MethodHandler<Cpus, &Cpus::OnTell> tell_{this};
  MethodHandler<Cpus, &Cpus::OnSlice> slice_{this};
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_CPUS_H_
