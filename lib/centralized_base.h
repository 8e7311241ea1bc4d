// What a centralized runtime is made of, apart from the policy: one queue for all, a global agent that reads it and
// schedules every CPU, satellite agents that hold the other CPUs, and the hand-off of the global agent from CPU to CPU.
// CentralizedRuntime<Policy> (lib/centralized_runtime.h) adds the schedule pass.
//
// The global agent's CPU runs no tasks. When another class wants that CPU, the global agent moves to another one:
//
//   old   offers itself to an heir, takes that CPU out of the plan, pings its agent, and goes on scheduling;
//   heir  (its task, if any, is off the CPU now) says that it is awake, and waits;
//   old   ends its pass and makes the heir the global agent; holds its own CPU as a satellite from then on.
//
// So messages are read all the time, and each task's state has one owner: whoever global_cpu() names. An offer that is
// not answered in time is withdrawn.
//
// A CPU that goes offline takes its agent along. If that is the global one, nothing is scheduled until the CPU is back:
// whoever noticed would have to be awake, and satellites sleep. Nothing is lost meanwhile.
//
// Threads: lib/runtime_base.h says it. Everything protected belongs to the global agent, but for SatelliteStep.
#ifndef GHOST_LIB_CENTRALIZED_BASE_H_
#define GHOST_LIB_CENTRALIZED_BASE_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "lib/base/counter.h"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/channel.h"
#include "lib/cpu_timer.h"
#include "lib/loop_meter.h"
#include "lib/pnt_ring.h"
#include "lib/runtime_base.h"
#include "lib/topology.h"
#include "lib/tunable.h"

namespace ghost {

class CentralizedBase : public RuntimeBase {
 public:
  // Whose agent is the global one.
  int global_cpu() const { return global_cpu_.load(std::memory_order_acquire); }
  // After a step that asked nothing of the kernel (kPolled): when its agent wants the next one at the latest. Something
  // that happens to the enclave comes first.
  Time look_again() const { return look_again_; }

  // The global agent's loop.
  const LoopMeter& loop_meter() const { return loop_meter_; }

  void Stop() override;
  RuntimeCounters Counters(int cpu) const override;
  int64_t CountTasks() const override { return tasks_.value(); }

 protected:
  struct Cpu : RuntimeBase::Cpu {
    using RuntimeBase::Cpu::Cpu;
    Time retry_at;       // unavailable: not looked at before
    bool chain = false;  // tasks hand this CPU on among themselves (switchto); which one has it is not known
    Time waits_since;    // (its agent) as an heir
  };

  CentralizedBase(Enclave* enclave, RuntimeOptions options);

  Cpu* cpu_base(int cpu) const override = 0;
  Channel& queue() { return queue_; }
  const std::shared_ptr<const Topology>& shared_topology() const { return topology_; }
  PntRing* ring() const { return ring_.get(); }  // null: CPUs take no tasks by themselves
  // Whether the policy says who waits.
  virtual bool shows_waiting() const = 0;

  // A step of the agent of a CPU that is not the global one: it sleeps until it is pinged, or becomes an heir.
  StepResult SatelliteStep(Cpu& c, Time now);

  // -- Hand-off (global agent) --
  // The nearest of `candidates` to `cpu`: its SMT sibling, then one that shares its L3, its node, any; of equals one of
  // `preferred`. -1: there is none.
  int Nearest(int cpu, const CpuSet& candidates, const CpuSet& preferred) const;
  int heir() const { return heir_; }  // -1: none
  void OfferTo(int cpu, Time now);
  enum class Answer : uint8_t { kNone, kAwake, kTooLate };
  Answer HeirsAnswer(Time now) const;
  // False: too late, the heir is awake.
  bool Withdraw();
  // The heir is the global agent from here on: the caller's next step is a satellite's.
  void HandOver(Cpu& c);
  // Has messages wake this CPU's agent, after a hand-off.
  void ClaimWakeup(Cpu& c);

  // -- Sleep (global agent) --
  // Sleeps until a message comes, `until`, or (RTLA_ON_IDLE) nobody else wants the CPU. `barrier` is the agent's, read
  // before the queue was drained.
  StepResult Sleep(Cpu& c, uint32_t barrier, Time now, Time until, int run_flags);

  // How long it polls before it sleeps; INT64_MAX: for ever.
  int64_t idle_poll_ns() const { return idle_poll_.Get(); }
  Tunable* idle_poll() { return &idle_poll_; }

  bool upkeep_due() const { return upkeep_due_.load(std::memory_order_acquire); }
  void NeedUpkeep() { upkeep_due_.store(true, std::memory_order_relaxed); }
  void TakeUpkeepDue() { upkeep_due_.exchange(false, std::memory_order_acquire); }

  LoopMeter loop_meter_;
  // What it knows of CPUs: those that no other class has, as far as it has been told.
  CpuSet available_;
  CpuSet unavailable_;  // cpus() without those
  Time look_again_ = Time::Infinite();
  Counter tasks_;
  Counter runnable_;

 private:
  static constexpr int kNobody = -1;
  static constexpr int kAwake = 1 << 16;  // beside the CPU in offer_: its agent has seen it

  absl::Status PrepareQueues() override;
  Channel* agent_queue(int) override { return &queue_; }
  Channel* default_queue() override { return &queue_; }
  absl::Status ConfigureEnclave() override;
  // One dump for all, by whoever is the global agent; it goes under the name of the first CPU.
  CpuSet describers() const override { return CpuSet({cpus().First()}); }
  void AskForUpkeep(int cpu) override;

  const std::shared_ptr<const Topology> topology_;
  Tunable idle_poll_;
  std::unique_ptr<PntRing> ring_;
  Channel queue_;
  std::atomic<int> global_cpu_;
  std::atomic<int> offer_{kNobody};
  std::atomic<bool> upkeep_due_{false};
  int heir_ = kNobody;
  Time offered_at_;
  CpuTimer timer_;
};

}  // namespace ghost

#endif  // GHOST_LIB_CENTRALIZED_BASE_H_
