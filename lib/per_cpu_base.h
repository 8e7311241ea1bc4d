// What a per-CPU runtime is made of, apart from the policy: for each CPU a queue, an agent and counters; starting them,
// taking over the tasks of an older agent, stopping, dumps. PerCpuRuntime<Policy> adds the schedule pass.
//
// A runtime is started in one of two ways:
//   Start()          one agent thread per CPU, each of which calls Step() until it is finished;
//   StartStepped()   no threads: the caller (a simulation, a test) calls Step(cpu, now) whenever that CPU's agent runs.
//
// Threads: lib/runtime.h says it. Everything protected that takes a CPU belongs to that CPU's agent.
#ifndef GHOST_LIB_PER_CPU_BASE_H_
#define GHOST_LIB_PER_CPU_BASE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lib/agent.h"
#include "lib/base/counter.h"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/channel.h"
#include "lib/enclave.h"
#include "lib/runtime.h"

namespace ghost {

// How a step of a CPU's agent ended.
enum class StepResult : uint8_t {
  kCommitted,   // a task got the CPU (and the agent has run again since, or will)
  kYielded,     // nothing to run: the agent slept until something came, or something came before it could
  kKernelGone,  // the enclave is not served any more: there is nothing to step
};

class PerCpuBase : public Runtime {
 public:
  absl::Status Start() override;
  absl::Status StartStepped();
  void Stop() override;
  // One step of `cpu`'s agent: from its waking up to its next transaction or yield.
  virtual StepResult Step(int cpu, Time now) = 0;

  const CpuSet& cpus() const override { return enclave_->cpus(); }
  RuntimeCounters Counters(int cpu) const override;
  int64_t CountTasks() const override;
  std::string DumpState(absl::Duration timeout) override;

 protected:
  // Those of RuntimeCounters that are counted; only the CPU's own agent does.
  struct AgentCounters {
    Counter passes, messages, corrupt_messages, lost_messages, unknown_tasks, illegal_changes, commits, commits_failed,
        yields, preempted, blocked, yielded, woken, placed, moved;
  };

  struct Cpu {
    explicit Cpu(int number) : cpu(number) {}
    const int cpu;
    Channel channel;
    RunRequest* request = nullptr;
    StatusWord agent_word;
    std::unique_ptr<Agent> agent;
    AgentCounters counters;
    Counter runnable;                       // changed by its agent; read by whoever places a task
    std::atomic<bool> upkeep_due{false};    // something to do between two passes; its agent sets it, and others
    alignas(64) std::atomic<int> tasks{0};  // at home here; written between passes only, by all
    std::atomic<int> incoming{0};           // of these, still in the mailbox
  };

  PerCpuBase(Enclave* enclave, RuntimeOptions options);
  Enclave* enclave() { return enclave_; }
  const RuntimeOptions& options() const { return options_; }

  // The CPU's state, made by the template. Null for CPUs that are not the enclave's.
  virtual Cpu* cpu_base(int cpu) const = 0;
  // A task of an older agent. It is at home on `cpu` now. Before any step.
  virtual void AdoptTask(int cpu, const Enclave::DiscoveredTask& task) = 0;
  // Appends lines about a CPU's tasks. (agent)
  virtual void DescribeCpu(int cpu, std::string* text) = 0;
  // The enclave needs ticks ("deliver_ticks").
  virtual bool wants_ticks() const = 0;
  // Stop was called: agents leave instead of sleeping.
  bool stopping() const { return stopping_.load(std::memory_order_acquire); }

  // Answers DumpState for this CPU, if it asks. Between passes. (agent)
  void ServeDump(Cpu& c);
  // The kernel refused to go on; tells whoever wants to know, once.
  void ReportKernelGone(int cpu, const char* what, int error);

 private:
  absl::Status PrepareQueues();
  absl::Status WaitForOldAgent();
  absl::Status StartAgents();
  absl::Status BecomeAgents();
  absl::Status TakeOver();
  void AgentBody(Agent& agent);

  Enclave* const enclave_;
  const RuntimeOptions options_;
  bool started_ = false;
  std::atomic<bool> kernel_gone_{false};
  std::atomic<bool> stopping_{false};

  std::mutex dump_mutex_;
  std::condition_variable dump_changed_;
  CpuSet dump_wanted_;                   // guarded by dump_mutex_
  std::vector<std::string> dump_texts_;  // by cpu; guarded by dump_mutex_
};

}  // namespace ghost

#endif  // GHOST_LIB_PER_CPU_BASE_H_
