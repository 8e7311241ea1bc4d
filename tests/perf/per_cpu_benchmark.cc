// What a whole turn of a per-CPU policy costs: BLOCKED and WAKEUP messages, and the decision that follows. See
// lib/base/testing/measure.h.
#include "benchmark/benchmark.h"
#include "lib/base/testing/measure.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/testing/empty_kernel.h"
#include "schedulers/cfs/cfs_policy.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"

namespace ghost {
namespace {

constexpr int kTid = 1000;

// N tasks on one CPU: one runs, one sleeps, the others queue. In each turn the running one blocks, the sleeping one
// wakes, and the policy's choice gets the CPU.
template <typename Policy>
void BM_Turn(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  const int num_tasks = static_cast<int>(state.range(0));
  PerCpuRuntime<Policy> runtime(enclave.get(), {.queue_elements = 65536});
  runtime.StartStepped().IgnoreError();
  MockEnclave& mock = *kernel.enclave();
  for (int i = 0; i < num_tasks; ++i) {
    mock.PostNew(MockGtid(kTid + i));
    if (i % 1000 == 999) runtime.Step(0, Time());
  }
  runtime.Step(0, Time());
  int64_t now = 1'000'000;
  uint64_t runtime_ns = 0;
  int64_t sleeping = mock.txn(0).gtid;
  mock.Post(TaskBlocked{.gtid = sleeping});
  runtime.Step(0, Time::FromNanoseconds(now));
  Measure(
      state,
      [&] {
        const int64_t running = mock.txn(0).gtid;
        now += 10'000;
        runtime_ns += 10'000;
        mock.Post(TaskBlocked{.gtid = running, .runtime_ns = runtime_ns});
        mock.Post(TaskWakeup{.gtid = sleeping, .deferrable = true});
        sleeping = running;
      },
      [&] {
        runtime.Step(0, Time::FromNanoseconds(now));
        return int64_t{1};
      });
}
BENCHMARK_TEMPLATE(BM_Turn, FifoPolicy)->ArgName("N")->Arg(10)->Arg(1000)->Arg(100'000)->Apply(Measured);
BENCHMARK_TEMPLATE(BM_Turn, CfsPolicy)->ArgName("N")->Arg(10)->Arg(1000)->Arg(100'000)->Apply(Measured);

// A task of the first of C CPUs wakes, and no CPU is idle: each runs one task, and another waits.
template <typename Policy>
void BM_WakeWithoutIdleCpu(benchmark::State& state) {
  const int num_cpus = static_cast<int>(state.range(0));
  EmptyKernel kernel(num_cpus);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(num_cpus));
  PerCpuRuntime<Policy> runtime(enclave.get());
  runtime.StartStepped().IgnoreError();
  MockEnclave& mock = *kernel.enclave();
  int64_t now = 1'000'000;
  const auto step_all = [&] {
    for (int cpu = 0; cpu < num_cpus; ++cpu) runtime.Step(cpu, Time::FromNanoseconds(now));
  };
  for (int i = 0; i < 2 * num_cpus; ++i) mock.PostNew(MockGtid(kTid + i));
  for (int i = 0; i < 3; ++i) step_all();
  uint64_t runtime_ns = 0;
  Measure(
      state,
      [&] {
        now += 10'000;
        runtime_ns += 10'000;
        const int64_t running = mock.txn(0).gtid;
        mock.Post(TaskBlocked{.gtid = running, .runtime_ns = runtime_ns});
        runtime.Step(0, Time::FromNanoseconds(now));
        mock.Post(TaskWakeup{.gtid = running, .deferrable = true});
      },
      [&] {
        runtime.Step(0, Time::FromNanoseconds(now));
        return int64_t{1};
      });
  if (runtime.Counters(0).tasks != 2 || runtime.TotalCounters().illegal_changes != 0)
    state.SkipWithError("not as meant");
}
BENCHMARK_TEMPLATE(BM_WakeWithoutIdleCpu, CfsPolicy)->ArgName("C")->Arg(1)->Arg(8)->Arg(100)->Arg(256)->Apply(Measured);

}  // namespace
}  // namespace ghost
