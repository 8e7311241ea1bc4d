// A simulated agent process: a scheduler over the framework, its agents as fibers, its life and death.
//
//     SchedulerProcess agents(&machine, {.scheduler = PerCpuScheduler<FifoPolicy>::Make, .cpus = CpuSet::FirstN(4)});
//     machine.RunUntil([&] { return agents.ready(); }, deadline);
//     …
//     agents.Kill();             // kill -9; or Leave(): it ends, and the enclave stays for its successor
//
// Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SCHEDULER_PROCESS_H_
#define GHOST_KERNEL_USERMODE_SIM_SCHEDULER_PROCESS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "kernel/usermode/sim/agent_host.h"
#include "kernel/usermode/sim/hint_board.h"
#include "kernel/usermode/sim/machine.h"
#include "kernel/usermode/sim/sim_kernel.h"
#include "kernel/usermode/sim/stepped_scheduler.h"
#include "lib/base/cpu_set.h"
#include "lib/enclave.h"

namespace ghost::sim {

class SchedulerProcess {
 public:
  struct Options {
    SchedulerFactory scheduler;
    SchedulerOptions scheduler_options;
    uint32_t abi = 91;
    CpuSet cpus;          // of the enclave that it makes, …
    std::string enclave;  // … unless this names one that is there: it goes on with that
    AgentObserver* observer = nullptr;
    bool pnt = false;            // with PNT rings
    HintBoard* hints = nullptr;  // what the applications tell; null: nothing
  };

  // It starts at once, as an event. Answers of the machine's requests must reach OnAnswer (SchedulerProcesses does it).
  SchedulerProcess(Machine* machine, Options options);
  ~SchedulerProcess();  // kills
  SchedulerProcess(const SchedulerProcess&) = delete;
  SchedulerProcess& operator=(const SchedulerProcess&) = delete;

  Tid tgid() const { return process_.tgid; }
  // Its agents schedule.
  bool ready() const { return ready_; }
  // It could not start, was killed, or has left.
  bool ended() const { return killed_ || failed_; }
  bool killed() const { return killed_; }  // … or has left
  const absl::Status& start_status() const { return start_status_; }
  // Null before it is ready, and after its end.
  SteppedScheduler* scheduler() const { return scheduler_.get(); }
  const std::string& enclave() const { return enclave_name_; }
  uint64_t enclave_id() const { return enclave_id_; }

  void Kill();
  void Leave();

  void OnAnswer(Tid tid, int result) { host_->OnAnswer(tid, result); }
  void LookAtWorld() { host_->LookAtWorld(); }

 private:
  absl::Status Start();
  absl::Status SetTunables();
  void AgentMain(int cpu);

  Machine& machine_;
  const Options options_;
  Process& process_;
  const std::unique_ptr<AgentHost> host_;  // to the end: events may still name it
  SimEnclave::Hooks hooks_;
  SimKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  std::unique_ptr<SteppedScheduler> scheduler_;
  std::string enclave_name_;
  uint64_t enclave_id_ = 0;
  absl::Status start_status_;
  bool ready_ = false;
  bool failed_ = false;
  bool killed_ = false;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SCHEDULER_PROCESS_H_
