// A scheduler as the simulation steps it: a runtime with its policy, whatever its model.
//
//     SchedulerFactory fifo = PerCpuScheduler<FifoPolicy>::Make;                     // its options are the defaults
//     SchedulerFactory cfs = PerCpuScheduler<CfsPolicy>::With({.latency = …});
//     SchedulerFactory edf = CentralizedScheduler<EdfPolicy>::Make;
//
// Threads: one; all calls but the constructor come from fibers of its process.
#ifndef GHOST_KERNEL_USERMODE_SIM_STEPPED_SCHEDULER_H_
#define GHOST_KERNEL_USERMODE_SIM_STEPPED_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/time.h"
#include "lib/centralized_runtime.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/runtime.h"
#include "lib/topology.h"
#include "lib/work_hints.h"

namespace ghost::sim {

struct SchedulerOptions {
  int queue_elements = 16384;
  std::shared_ptr<const Topology> topology = nullptr;              // null: flat
  std::shared_ptr<HintSource> hints = nullptr;                     // null: no application tells anything of its work
  std::shared_ptr<PntPrograms> pnt = nullptr;                      // null: idle CPUs take no tasks by themselves
  int global_cpu = -1;                                             // where a global agent starts; -1: on the first CPU
  std::vector<std::pair<std::string, std::string>> tunables = {};  // of its policy: name and value
};

class SteppedScheduler {
 public:
  struct Outcome {
    bool kernel_gone = false;
    // Of a step that asked the kernel for nothing: when it wants the next one at the latest. Something that happens to
    // the enclave comes first.
    Time look_again = Time::Infinite();
  };

  virtual ~SteppedScheduler() = default;
  // Everything up to the first step: agents, their queues, the tasks that are there.
  virtual absl::Status Start() = 0;
  // One step of the agent of `cpu`.
  virtual Outcome Step(int cpu, Time now) = 0;
  // Whose agent handles the messages of all CPUs; it runs no tasks there. -1: each handles its own.
  virtual int global_cpu() const { return -1; }
  // How many messages this agent has handled so far.
  virtual uint64_t Messages(int cpu) const = 0;
  virtual Runtime& runtime() = 0;
};

using SchedulerFactory = std::function<std::unique_ptr<SteppedScheduler>(Enclave*, const SchedulerOptions&)>;

template <typename Policy>
class PerCpuScheduler final : public SteppedScheduler {
 public:
  static std::unique_ptr<SteppedScheduler> Make(Enclave* enclave, const SchedulerOptions& options) {
    return std::make_unique<PerCpuScheduler>(enclave, options);
  }
  static SchedulerFactory With(const PolicyOptions<Policy>& policy) {
    return [policy](Enclave* enclave, const SchedulerOptions& options) {
      return std::make_unique<PerCpuScheduler>(enclave, options, policy);
    };
  }
  PerCpuScheduler(Enclave* enclave, const SchedulerOptions& options, const PolicyOptions<Policy>& policy = {})
      : runtime_(enclave, {.queue_elements = options.queue_elements, .topology = options.topology}, policy) {}

  absl::Status Start() override { return runtime_.StartStepped(); }
  Outcome Step(int cpu, Time now) override {
    return {.kernel_gone = runtime_.Step(cpu, now) == StepResult::kKernelGone};
  }
  uint64_t Messages(int cpu) const override { return runtime_.Counters(cpu).messages; }
  Runtime& runtime() override { return runtime_; }

 private:
  PerCpuRuntime<Policy> runtime_;
};

template <typename Policy>
class CentralizedScheduler final : public SteppedScheduler {
 public:
  static std::unique_ptr<SteppedScheduler> Make(Enclave* enclave, const SchedulerOptions& options) {
    return std::make_unique<CentralizedScheduler>(enclave, options);
  }
  static SchedulerFactory With(const PolicyOptions<Policy>& policy) {
    return [policy](Enclave* enclave, const SchedulerOptions& options) {
      return std::make_unique<CentralizedScheduler>(enclave, options, policy);
    };
  }
  CentralizedScheduler(Enclave* enclave, const SchedulerOptions& options, const PolicyOptions<Policy>& policy = {})
      : runtime_(enclave,
                 {.queue_elements = options.queue_elements,
                  .topology = options.topology,
                  .global_cpu = options.global_cpu,
                  .hints = options.hints,
                  .pnt = options.pnt},
                 policy) {}

  absl::Status Start() override { return runtime_.StartStepped(); }
  Outcome Step(int cpu, Time now) override {
    switch (runtime_.Step(cpu, now)) {
      case StepResult::kKernelGone:
        return {.kernel_gone = true};
      case StepResult::kPolled:
        return {.look_again = runtime_.look_again()};
      default:
        return {.look_again = now};
    }
  }
  int global_cpu() const override { return runtime_.global_cpu(); }
  uint64_t Messages(int cpu) const override { return runtime_.Counters(cpu).messages; }
  Runtime& runtime() override { return runtime_; }

 private:
  CentralizedRuntime<Policy> runtime_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_STEPPED_SCHEDULER_H_
