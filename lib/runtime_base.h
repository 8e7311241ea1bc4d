// What every runtime is made of, whatever its model: an agent and counters for each CPU; starting them, taking over the
// tasks of an older agent, stopping, dumps. PerCpuBase (lib/per_cpu_base.h) and CentralizedBase
// (lib/centralized_base.h) add which queues there are.
//
// A runtime is started in one of two ways:
//   Start()          one agent thread per CPU, each of which calls Step() until it is finished;
//   StartStepped()   no threads: the caller (a simulation, a test) calls Step(cpu, now) whenever that CPU's agent runs.
//
// Threads: lib/runtime.h says it. Everything protected that takes a CPU belongs to that CPU's agent.
#ifndef GHOST_LIB_RUNTIME_BASE_H_
#define GHOST_LIB_RUNTIME_BASE_H_

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "kernel/ghost_uapi.h"
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
  kCommitted,   // a task got the CPU (and the agent has run again since, or will); of a global agent: some did
  kYielded,     // nothing to run: the agent slept until something came, or something came before it could
  kKernelGone,  // the enclave is not served any more: there is nothing to step
  kPolled,      // a global agent found nothing to do, and asked the kernel for nothing
};

class RuntimeBase : public Runtime {
 public:
  absl::Status Start() override;
  absl::Status StartStepped();
  void Stop() override;
  // One step of `cpu`'s agent: from its waking up to its next transaction or yield.
  virtual StepResult Step(int cpu, Time now) = 0;

  const CpuSet& cpus() const override { return enclave_->cpus(); }
  RuntimeCounters Counters(int cpu) const override;
  std::string DumpState(absl::Duration timeout) override;

 protected:
  // Those of RuntimeCounters that are counted; only the CPU's own agent does.
  struct AgentCounters {
    Counter passes, messages, corrupt_messages, lost_messages, unknown_tasks, illegal_changes, commits, commits_failed,
        yields, preempted, blocked, yielded, woken, placed, moved, deferred, handoffs;
  };

  struct Cpu {
    explicit Cpu(int number) : cpu(number) {}
    const int cpu;
    RunRequest* request = nullptr;
    StatusWord agent_word;
    std::unique_ptr<Agent> agent;
    AgentCounters counters;
    std::atomic<bool> upkeep_due{false};  // something to do between two passes; its agent sets it, and others
  };

  RuntimeBase(Enclave* enclave, RuntimeOptions options);
  Enclave* enclave() { return enclave_; }
  const RuntimeOptions& options() const { return options_; }

  // The CPU's state, made by the template. Null for CPUs that are not the enclave's.
  virtual Cpu* cpu_base(int cpu) const = 0;
  // Makes the queues, before there are agents.
  virtual absl::Status PrepareQueues() = 0;
  // Where messages about the agent of `cpu` go.
  virtual Channel* agent_queue(int cpu) = 0;
  // Where messages about tasks that are new, or were there before, go.
  virtual Channel* default_queue() = 0;
  // Sets up the enclave, once there are agents, before it has tasks of ours.
  virtual absl::Status ConfigureEnclave() = 0;
  // A task of an older agent; its messages go to the default queue now. Before any step.
  virtual void AdoptTask(const Enclave::DiscoveredTask& task) = 0;
  // Nice values of adopted tasks matter: the kernel is asked to announce them anew, as status words do not have them.
  virtual bool wants_nice() const { return false; }
  // The CPUs whose agents each write a part of the dump.
  virtual CpuSet describers() const { return cpus(); }
  // Appends lines about a CPU's tasks. (agent)
  virtual void DescribeCpu(int cpu, std::string* text) = 0;
  // Stop was called: agents leave instead of sleeping.
  bool stopping() const { return stopping_.load(std::memory_order_acquire); }

  // Answers DumpState for this CPU, if it asks. Between passes. (agent)
  void ServeDump(int cpu);
  // The agent sleeps on its own CPU, as RunRequest::LocalYield says. False: the kernel is gone, which is reported
  // with `failure`. (agent)
  bool YieldCpu(Cpu& c, uint32_t barrier, int run_flags, const char* failure) {
    c.counters.yields.Add(1);
    const int result = c.request->LocalYield(barrier, run_flags);
    if (result == 0 || result == -ESTALE || result == -EINTR) [[likely]]
      return true;
    ReportKernelGone(c.cpu, failure, -result);
    return false;
  }
  // Calls admit(const TaskNew&, seqnum) with each TASK_NEW that stands first in the queue. Between passes. (agent)
  template <typename Admit>
  static void ReadNewTasks(Channel& queue, AgentCounters& counters, Admit admit) {
    MessageView view;
    while (queue.Peek(&view) == Channel::Result::kMessage && view.type() == MSG_TASK_NEW) {
      Message message;
      if (view.Decode(queue.abi(), &message) == DecodeError::kOk) {
        admit(*std::get_if<TaskNew>(&message.payload), message.seqnum);
      } else {
        counters.corrupt_messages.Add(1);
      }
      counters.messages.Add(1);
      queue.Consume();
    }
  }

  // The kernel refused to go on; tells whoever wants to know, once.
  void ReportKernelGone(int cpu, const char* what, int error);
  // Raises the CPU's upkeep_due and pings its agent, if it is a thread.
  virtual void AskForUpkeep(int cpu);

 private:
  absl::Status Prepare();
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

#endif  // GHOST_LIB_RUNTIME_BASE_H_
