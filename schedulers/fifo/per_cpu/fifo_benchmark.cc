// What a whole turn costs: BLOCKED and WAKEUP messages, and the decision that follows. See lib/base/testing/measure.h.
#include "benchmark/benchmark.h"
#include "lib/base/testing/measure.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/testing/empty_kernel.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"

namespace ghost {
namespace {

constexpr int kTid = 1000;

// As many tasks as the argument says: one runs, one sleeps, the others queue. In each turn the running one blocks, the
// sleeping one wakes, and the next one in the queue gets the CPU.
void BM_FifoTurn(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  const int num_tasks = static_cast<int>(state.range(0));
  PerCpuRuntime<FifoPolicy> runtime(enclave.get(), {.queue_elements = 65536});
  runtime.StartStepped().IgnoreError();
  MockEnclave& mock = *kernel.enclave();
  for (int i = 0; i < num_tasks; ++i) {
    mock.PostNew(MockGtid(kTid + i));
    runtime.Step(0, Time());
  }
  int64_t sleeping = mock.txn(0).gtid;
  mock.Post(TaskBlocked{.gtid = sleeping});
  runtime.Step(0, Time());
  Measure(
      state,
      [&] {
        const int64_t running = mock.txn(0).gtid;
        mock.Post(TaskBlocked{.gtid = running});
        mock.Post(TaskWakeup{.gtid = sleeping, .deferrable = true});
        sleeping = running;
      },
      [&] {
        runtime.Step(0, Time());
        return int64_t{1};
      });
}
BENCHMARK(BM_FifoTurn)->UseManualTime()->Arg(2)->Arg(1000);

}  // namespace
}  // namespace ghost
