// All simulated threads: what they do, when, and what the core is told of it.
//
//     Core ── Attach, Detach, Run, Preempt (by way of SimDriver) ──> Threads ── OnTaskBlocked, OnTaskReady, … ──> Core
//
// A thread executes its program's actions while it is on a CPU; each that takes time is an event. What it is not: it
// decides neither which ghost task runs (the core) nor which ordinary thread does (cpus.h). Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_THREADS_H_
#define GHOST_KERNEL_USERMODE_SIM_THREADS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/driver.h"
#include "kernel/usermode/sim/cost_model.h"
#include "kernel/usermode/sim/cpus.h"
#include "kernel/usermode/sim/event_queue.h"
#include "kernel/usermode/sim/thread.h"
#include "lib/topology.h"

namespace ghost::sim {

class Threads {
 public:
  // All must outlive it.
  Threads(const Topology* topology, EventQueue* events, const CostModel* costs);

  // -- Wiring --
  void set_core(usermode::Core* core);
  void AddObserver(Observer* observer) { observers_.push_back(observer); }
  void RemoveObserver(Observer* observer) { std::erase(observers_, observer); }
  // Writes `tid` to the tasks file of an enclave, as thread `by`. >= 0 or -errno.
  std::function<int64_t(const Thread& by, Tid tid, uint64_t enclave)> enter;

  Cpus& cpus() { return cpus_; }
  const Cpus& cpus() const { return cpus_; }
  // How often a ghost task has stopped on this CPU, or was woken from there: each time, the core is told.
  int64_t reports(int cpu) const { return reports_[static_cast<size_t>(cpu)]; }

  // -- Threads --
  struct Options {
    Tid tgid = 0;  // 0: a process of its own
    uid_t uid = 0;
    int nice = 0;
    int group = 0;
    std::shared_ptr<const CpuSet> affinity;  // null: all CPUs
    Thread::Class scheduling_class = Thread::Class::kOrdinary;
  };
  // A thread that is not started. References are good for as long as this object.
  Thread& Create(const Options& options, std::unique_ptr<Program> program);
  Thread* Find(Tid tid);  // also the dead; null if there never was one
  Thread* FindGtid(int64_t gtid);
  const std::vector<std::unique_ptr<Thread>>& all() const { return threads_; }  // by tid - kFirstTid
  static constexpr Tid kFirstTid = 100;

  // -- Events: outside of the core only. No-ops for threads for which they make no sense. --
  void Start(Thread& thread);
  // Of a sleeping thread; of another one its next kWait does not sleep. `spurious`: ends any sleep, and is not kept.
  void Wake(Thread& thread, int waker_cpu, bool spurious = false);
  void SetAffinity(Thread& thread, const std::shared_ptr<const CpuSet>& cpus);
  void SetNice(Thread& thread, int nice);
  void Depart(Thread& thread);
  void Exit(Thread& thread);
  // Ends its kRun, if it executes one, so that it asks its program again.
  void Poke(Thread& thread);

  // -- What the core asks: inside its calls only --
  usermode::AttachResult Attach(Thread& thread, int64_t gtid);
  void Detach(Thread& thread);
  // It executes after `delay_ns` and the switch.
  void Run(Thread& thread, int cpu, int64_t delay_ns);
  // It executes for `delay_ns` more; then its CPU takes `interrupt_ns` until it is off.
  void Preempt(Thread& thread, int64_t delay_ns, int64_t interrupt_ns);
  uint64_t RuntimeNs(const Thread& thread) const;

  // -- For Cpus: an ordinary thread gets or loses its CPU --
  void Resume(Thread& thread, int cpu, int64_t delay_ns);
  // It is accounted, and has nothing planned any more; its new state is the caller's.
  void Pause(Thread& thread);
  void ReportOff(const Thread& thread, OffReason reason);
  const std::vector<Observer*>& observers() const { return observers_; }

 private:
  // After so many actions that took no time a thread executes for kLeastRunNs: a program never stops the clock.
  static constexpr int kMaxActionsAtOnce = 1000;
  static constexpr int64_t kLeastRunNs = 1000;

  void OnPlan(uint32_t tid, uint32_t generation);
  void OnInterrupt(uint32_t tid, uint32_t generation);
  void OnStop(uint32_t tid, uint32_t generation);
  void Advance(Thread& thread);
  void Perform(Thread& thread, Action& action);
  void Sleep(Thread& thread, int64_t until_ns, bool deferrable);
  void Yield(Thread& thread);
  void Fork(Thread& parent, std::unique_ptr<Program> program);
  // Off its CPU, whatever its class; the core is told by the caller.
  void LeaveCpu(Thread& thread, Thread::State state, OffReason reason);

  EventQueue& events_;
  const CostModel& costs_;
  Cpus cpus_;
  usermode::Core* core_ = nullptr;
  std::vector<Observer*> observers_;
  std::vector<int64_t> reports_;  // by cpu
  std::shared_ptr<const CpuSet> all_cpus_;
  std::vector<std::unique_ptr<Thread>> threads_;
  MethodHandler<Threads, &Threads::OnPlan> plan_{this};
  MethodHandler<Threads, &Threads::OnInterrupt> interrupt_{this};
  MethodHandler<Threads, &Threads::OnStop> stop_{this};
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_THREADS_H_
