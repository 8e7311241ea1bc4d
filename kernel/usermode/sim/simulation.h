// Simulation: a workload under a scheduler on a simulated machine, from a seed to a summary.
//
//     Simulation simulation({.scheduler = PerCpuScheduler<FifoPolicy>::Make, .num_cpus = 8, .seed = 1}, workload);
//     absl::Status status = simulation.Run();         // what was broken, if anything was
//     std::cout << simulation.summary().ToText();
//
// The same options and workload give the same run, to the byte. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SIMULATION_H_
#define GHOST_KERNEL_USERMODE_SIM_SIMULATION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernel/usermode/core/invariant_checker.h"
#include "kernel/usermode/sim/faults.h"
#include "kernel/usermode/sim/machine.h"
#include "kernel/usermode/sim/scheduler_process.h"
#include "kernel/usermode/sim/script.h"
#include "kernel/usermode/sim/summary.h"
#include "kernel/usermode/sim/trace.h"
#include "kernel/usermode/sim/workload.h"

namespace ghost::sim {

struct SimulationOptions {
  SchedulerFactory scheduler;
  int num_cpus = 4;
  std::shared_ptr<const Topology> topology = nullptr;  // null: the workload's, or num_cpus that share nothing
  CpuSet agent_cpus = {};                              // those that agents schedule; empty: all
  bool pnt = false;     // CPUs take waiting tasks by themselves, if the scheduler has a global agent
  int global_cpu = -1;  // where a global agent starts; -1: on the first of them
  std::vector<std::pair<std::string, std::string>> tunables = {};  // of the policy: name and value
  uint64_t seed = 1;
  uint32_t abi = 91;
  CostModel costs;
  FaultRates faults;
  int64_t duration_ns = 0;  // 0: the workload's
  // How long a runnable task may wait once all faults have stopped; 0: the time after them is not simulated.
  int64_t liveness_bound_ns = 0;
  Trace* trace = nullptr;
  // Everything is looked at after every so many entries into the core; 0: nothing is checked, not even the rest of
  // what core/invariant_checker.h does.
  uint64_t check_every = 0;
};

class Simulation final : public AgentObserver, public Observer {
 public:
  Simulation(const SimulationOptions& options, const Workload& workload);
  ~Simulation() override;

  // Once. Not OK: the scheduler could not start, or did not do what it must.
  absl::Status Run();
  const Summary& summary() { return collector_.summary(); }
  Machine& machine() { return machine_; }
  // When the workload started, on the machine's clock.
  int64_t start_ns() const { return start_ns_; }

 private:
  void Broken(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }
  std::unique_ptr<usermode::Driver> MakeChecker(usermode::Driver* driver);
  absl::Status Step();
  absl::Status RunUntil(int64_t when_ns);
  absl::Status AwaitScheduler();
  // What the summary leaves out of the workload.
  absl::Status WarmUp();
  void StartClass(int number, int count);
  void StartThread(int class_number);
  void ScheduleEvents();
  void Handle(const MachineEvent& event);
  void StartAgents(const std::string& enclave);
  void EndAgents(SchedulerProcess& process, bool kill);
  void KillAgents();
  void RestartAgents(int64_t after_ns);
  // Not OK: agents could not start.
  absl::Status WatchAgents();
  void UpgradeAgents();
  // After the faults: everybody who can run must, within the bound.
  absl::Status CheckLiveness();
  // Whether it may be expected to run: it has work. One that may use a global agent's CPU alone may use any (and so may
  // one whose CPUs are not the enclave's): see lib/centralized_runtime.h.
  bool MustRun(const Thread& thread);
  void OnRun(const Thread& thread, int64_t now_ns) override;

  int64_t CommitDelay() override { return faults_ == nullptr ? 0 : faults_->CommitDelay(); }
  void OnTransaction(int by, int cpu, int64_t gtid, int32_t state, int64_t now_ns) override;

  const SimulationOptions options_;
  const Workload& workload_;
  SummaryCollector collector_;
  usermode::InvariantChecker* checker_ = nullptr;  // the machine's
  Machine machine_;
  WorkloadState state_;
  Random seeds_;
  SchedulerOptions scheduler_options_;
  std::unique_ptr<Faults> faults_;
  std::vector<std::unique_ptr<SchedulerProcess>> agents_;  // the last one is, or will be, the one that schedules
  std::string enclave_;
  std::vector<bool> has_run_;  // since the faults stopped, by thread
  bool watches_runs_ = false;
  std::string broken_;  // what was broken first; empty: nothing
  bool restart_due_ = false;
  bool under_faults_ = false;
  int64_t start_ns_ = 0;
  uint64_t restarts_ = 0;
  uint64_t lost_messages_ = 0;
  std::vector<uint64_t> early_;  // requests by stream that arrived before the duration began
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SIMULATION_H_
