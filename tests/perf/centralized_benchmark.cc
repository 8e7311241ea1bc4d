// What a pass of a centralized policy costs, with its runtime and a kernel that does nothing: N tasks, C CPUs, of which
// CPU 0 is the global agent's. See lib/base/testing/measure.h.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "lib/base/testing/measure.h"
#include "lib/centralized_runtime.h"
#include "lib/enclave.h"
#include "lib/testing/empty_kernel.h"
#include "schedulers/edf/edf_policy.h"
#include "schedulers/fifo/centralized/fifo_policy.h"
#include "schedulers/shinjuku/shinjuku_policy.h"
#include "schedulers/sol/sol_policy.h"

namespace ghost {
namespace {

constexpr int kTid = 1000;

// A policy that can be made to wait with its decisions, so that what comes before them is not measured.
template <typename Policy>
struct Held : Policy {
  using Policy::Policy;
  void Schedule(Plan<typename Policy::Task>& plan) {
    if (!hold) Policy::Schedule(plan);
  }
  static inline bool hold = false;
};

template <typename Policy>
class Scene {
 public:
  // All CPUs but one, which the global agent has, run tasks if there are enough; the others wait.
  Scene(int num_tasks, int num_cpus)
      : num_cpus_(num_cpus),
        running_(std::min(num_tasks, num_cpus - 1)),
        kernel_(num_cpus),
        enclave_(*Enclave::Create(&kernel_, CpuSet::FirstN(num_cpus))),
        runtime_(enclave_.get(), {.queue_elements = 65536, .initial_tasks = num_tasks, .global_cpu = 0}) {
    Held<Policy>::hold = false;
    runtime_.StartStepped().IgnoreError();
    for (int i = 0; i < num_tasks; ++i) {
      mock().PostNew(MockGtid(kTid + i));
      if (i % 1000 == 999) Step();
    }
    Settle();
  }
  MockEnclave& mock() { return *kernel_.enclave(); }
  int running() const { return running_; }

  void Step() { runtime_.Step(0, Time::FromNanoseconds(now_ns_)); }
  // What a decision takes: asynchronous policies see what came of it a pass later.
  void Decide() {
    Step();
    if constexpr (requires { Policy::kAsynchronous; }) Step();
  }
  void Settle() {
    Decide();
    Decide();
  }
  void StepUndecided() {
    Held<Policy>::hold = true;
    Step();
    Held<Policy>::hold = false;
  }
  void Advance(int64_t ns) { now_ns_ += ns; }

  // The task of a CPU, another one each time, blocks; who blocked the last time waits again by then.
  void BlockOne() {
    if (sleeper_ != 0) {
      mock().Post(TaskWakeup{.gtid = sleeper_, .deferrable = true});
      StepUndecided();
    }
    const int cpu = 1 + static_cast<int>(turns_++ % running_);
    sleeper_ = mock().txn(cpu).gtid;
    mock().Post(TaskBlocked{.gtid = sleeper_, .runtime_ns = RuntimeNs(), .cpu = cpu});
  }
  // Every CPU becomes free.
  void AllYield() {
    for (int cpu = 1; cpu < num_cpus_; ++cpu) {
      if (mock().txn(cpu).gtid <= 0) continue;
      mock().Post(TaskYield{.gtid = mock().txn(cpu).gtid, .runtime_ns = RuntimeNs(), .cpu = cpu});
    }
  }

 private:
  uint64_t RuntimeNs() const { return static_cast<uint64_t>(now_ns_); }

  const int num_cpus_;
  const int running_;
  EmptyKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  CentralizedRuntime<Held<Policy>> runtime_;
  int64_t now_ns_ = 1'000'000;
  int64_t sleeper_ = 0;
  uint64_t turns_ = 0;
};

template <typename Policy>
void BM_NothingToDo(benchmark::State& state) {
  constexpr int kPasses = 1000;
  Scene<Policy> scene(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  Measure(
      state, [] {},
      [&scene] {
        for (int i = 0; i < kPasses; ++i) scene.Step();
        return int64_t{kPasses};
      });
}

// One blocks, and its CPU is given to the next.
template <typename Policy>
void BM_OneDecision(benchmark::State& state) {
  Scene<Policy> scene(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  Measure(
      state,
      [&scene] {
        scene.Settle();
        scene.Advance(100);
        scene.BlockOne();
      },
      [&scene] {
        scene.Decide();
        return int64_t{1};
      });
}

// Per decision of a pass in which all CPUs are free.
template <typename Policy>
void BM_AllFree(benchmark::State& state) {
  Scene<Policy> scene(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  Measure(
      state,
      [&scene] {
        scene.Settle();
        scene.Advance(100);
        scene.AllYield();
        scene.StepUndecided();
      },
      [&scene] {
        scene.Decide();
        return int64_t{scene.running()};
      });
}

void EverySize(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"N", "C"});
  for (int num_cpus : {2, 8, 100, 256}) benchmark->Args({1000, num_cpus});
  for (int num_tasks : {10, 100'000}) benchmark->Args({num_tasks, 256});
  Measured(benchmark);
}

#define ALL_POLICIES(benchmark)                                           \
  BENCHMARK_TEMPLATE(benchmark, CentralizedFifoPolicy)->Apply(EverySize); \
  BENCHMARK_TEMPLATE(benchmark, SolPolicy)->Apply(EverySize);             \
  BENCHMARK_TEMPLATE(benchmark, ShinjukuPolicy)->Apply(EverySize);        \
  BENCHMARK_TEMPLATE(benchmark, EdfPolicy)->Apply(EverySize)

ALL_POLICIES(BM_NothingToDo);
ALL_POLICIES(BM_OneDecision);
ALL_POLICIES(BM_AllFree);

}  // namespace
}  // namespace ghost
