// A scheduler that lives in BPF as the simulation steps it: C++ twins of its programs, and agents that sleep.
//
//     SchedulerFactory biff = TwinScheduler<BiffTwin>::Make;
//
// A twin is what its BPF source is, in C++ (biff_twin.h is the model): it gets what programs see of the kernel in its
// Options, answers each hook, and a test (tests/bpf) holds it against the source. What it is not: the programs' agent;
// what that counts and prints is not here.
//
// Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_TWIN_SCHEDULER_H_
#define GHOST_KERNEL_USERMODE_SIM_TWIN_SCHEDULER_H_

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/sim/machine.h"
#include "kernel/usermode/sim/scheduler_twin.h"
#include "kernel/usermode/sim/sim_kernel.h"
#include "kernel/usermode/sim/stepped_scheduler.h"
#include "lib/base/status.h"
#include "lib/bpf/programs_runtime.h"

namespace ghost::sim {

// Options has `cpus` (the enclave's), `now_ns` and `affinity` (of a task; nullopt: it is not known), as biff's.
template <typename T>
concept Twin = std::derived_from<T, SchedulerTwin> && std::constructible_from<T, typename T::Options> &&
    requires(T& twin) {
  // How many tasks it knows.
  { twin.tasks() } -> std::convertible_to<size_t>;
  // What --set may change; they live as long as the twin.
  { twin.Tunables() } -> std::same_as<std::vector<Tunable*>>;
};

template <Twin T>
class TwinRuntime final : public ProgramsRuntime {
 public:
  TwinRuntime(Enclave* enclave, RuntimeOptions options)
      : ProgramsRuntime(enclave, std::move(options)), twin_(MakeTwin(&this->enclave()->kernel())) {}

  absl::Status StartTwin() {
    GHOST_RETURN_IF_ERROR(StartStepped());
    twin_->StartScheduling();
    return absl::OkStatus();
  }
  int64_t CountTasks() const override { return static_cast<int64_t>(twin_->tasks()); }
  std::vector<Tunable*> Tunables() override { return twin_->Tunables(); }
  const T& twin() const { return *twin_; }

 private:
  class Program final : public usermode::BpfProgram {
   public:
    explicit Program(std::shared_ptr<T> twin) : twin_(std::move(twin)) {}
    bool Run(usermode::BpfHook hook, std::span<std::byte> context, int cpu, usermode::BpfHelpers& helpers,
             int32_t* result) override {
      return twin_->Run(hook, context, cpu, helpers, result);
    }

   private:
    const std::shared_ptr<T> twin_;
  };

  std::shared_ptr<T> MakeTwin(KernelEnclave* kernel) {
    Machine& machine = static_cast<SimEnclave*>(kernel)->machine();
    typename T::Options options;
    options.cpus = cpus();
    options.now_ns = [&machine] { return machine.now_ns(); };
    options.affinity = [&machine](int64_t gtid) { return machine.driver().Affinity(gtid); };
    return std::make_shared<T>(std::move(options));
  }

  absl::Status LoadPrograms() override { return absl::OkStatus(); }
  absl::Status SetTunables() override { return enclave()->SetTunable("deliver_ticks", true); }
  absl::Status AttachPrograms() override {
    auto& kernel = static_cast<SimEnclave&>(enclave()->kernel());
    for (size_t hook = 0; hook < usermode::kNumBpfHooks; ++hook) {
      GHOST_RETURN_IF_ERROR(
          kernel.AttachProgram(static_cast<usermode::BpfHook>(hook), std::make_unique<Program>(twin_)));
    }
    return absl::OkStatus();
  }
  void DescribeCpu(int, std::string*) override {}

  const std::shared_ptr<T> twin_;
};

template <Twin T>
class TwinScheduler final : public SteppedScheduler {
 public:
  static std::unique_ptr<SteppedScheduler> Make(Enclave* enclave, const SchedulerOptions& options) {
    return std::make_unique<TwinScheduler>(enclave, options);
  }
  TwinScheduler(Enclave* enclave, const SchedulerOptions& options)
      : runtime_(enclave, {.queue_elements = options.queue_elements, .topology = options.topology}) {}

  absl::Status Start() override { return runtime_.StartTwin(); }
  Outcome Step(int cpu, Time now) override {
    return {.kernel_gone = runtime_.Step(cpu, now) == StepResult::kKernelGone};
  }
  uint64_t Messages(int cpu) const override { return runtime_.Counters(cpu).messages; }
  Runtime& runtime() override { return runtime_; }

 private:
  TwinRuntime<T> runtime_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_TWIN_SCHEDULER_H_
