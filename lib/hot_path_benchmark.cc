// What the framework itself costs in a schedule pass, with a kernel that does nothing: the rows of the same names in
// the table of hot-path costs. Per operation; see lib/base/testing/measure.h.
#include <memory>
#include <vector>

#include "benchmark/benchmark.h"
#include "lib/base/testing/measure.h"
#include "lib/channel.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/run_request.h"
#include "lib/testing/empty_kernel.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

constexpr int kMessages = 5000;
constexpr int kTid = 1000;

// A policy that does nothing: what is left is the runtime's own cost. The benchmark says which task is next.
struct EmptyPolicy {
  struct Task : TaskBase {};
  explicit EmptyPolicy(const PolicyConfig&) {}
  int PlaceTask(const Task& task, const CpuLoads&) {
    placed.push_back(const_cast<Task*>(&task));
    return 0;
  }
  void Enqueue(int, Task*, EnqueueReason, Time) {}
  void Dequeue(int, Task*) {}
  Pick<Task> PickNext(int, Time) { return {.task = next}; }

  static inline std::vector<Task*> placed;
  static inline Task* next = nullptr;
};

void BM_PeekConsume(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  Channel channel = *enclave->CreateChannel(32768, 0, {});
  kernel.enclave()->AddTask(MockGtid(kTid));
  channel.SetDefault().IgnoreError();
  kernel.enclave()->AddTask(MockGtid(kTid + 1));
  Measure(
      state,
      [&] {
        for (int i = 0; i < kMessages; ++i) kernel.enclave()->Post(TaskWakeup{.gtid = MockGtid(kTid + 1)});
      },
      [channel = &channel] {
        int64_t count = 0;
        MessageView view;
        while (channel->Peek(&view) == Channel::Result::kMessage) {
          channel->Consume();
          ++count;
        }
        return count;
      });
}
BENCHMARK(BM_PeekConsume)->UseManualTime();

// As many tasks as the argument says have blocked; all of them wake.
void BM_DrainPerMessage(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  PerCpuRuntime<EmptyPolicy> runtime(enclave.get(), {.queue_elements = 65536});
  runtime.StartStepped().IgnoreError();
  MockEnclave& mock = *kernel.enclave();
  EmptyPolicy::placed.clear();
  EmptyPolicy::next = nullptr;
  const int num_tasks = static_cast<int>(state.range(0));
  for (int i = 0; i < num_tasks; ++i) mock.PostNew(MockGtid(kTid + i), /*runnable=*/false);
  // The first time a task wakes, it is given its place.
  const auto wake_all = [&] {
    for (int i = 0; i < num_tasks; ++i) mock.Post(TaskWakeup{.gtid = MockGtid(kTid + i)});
  };
  wake_all();
  runtime.Step(0, Time());
  mock.agent_word(0).flags |= GHOST_SW_BOOST_PRIO;  // draining without a decision
  Measure(
      state,
      [&] {
        mock.agent_word(0).flags &= ~GHOST_SW_BOOST_PRIO;
        for (EmptyPolicy::Task* task : EmptyPolicy::placed) {
          EmptyPolicy::next = task;
          runtime.Step(0, Time());
          EmptyPolicy::next = nullptr;
          mock.Post(TaskBlocked{.gtid = task->gtid()});
          runtime.Step(0, Time());
        }
        mock.agent_word(0).flags |= GHOST_SW_BOOST_PRIO;
        wake_all();
      },
      [&] {
        runtime.Step(0, Time());
        return int64_t{num_tasks};
      });
}
BENCHMARK(BM_DrainPerMessage)->UseManualTime()->Arg(10)->Arg(1000);

void BM_RunRequestOpen(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  RunRequest& request = enclave->run_request(0);
  Measure(
      state, [] {},
      [&] {
        for (uint32_t i = 0; i < 1000; ++i) {
          request.Open(
              {.gtid = MockGtid(kTid), .task_barrier = i, .agent_barrier = i, .commit_flags = COMMIT_AT_TXN_COMMIT});
          benchmark::ClobberMemory();
        }
        return int64_t{1000};
      });
}
BENCHMARK(BM_RunRequestOpen)->UseManualTime();

void BM_CommitOneCpu(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  RunRequest& request = enclave->run_request(0);
  request.Open({.gtid = MockGtid(kTid), .commit_flags = COMMIT_AT_TXN_COMMIT});
  Measure(
      state, [] {},
      [&] {
        for (int i = 0; i < 1000; ++i) benchmark::DoNotOptimize(request.Commit());
        return int64_t{1000};
      });
}
BENCHMARK(BM_CommitOneCpu)->UseManualTime();

// The pretended kernel's part of the rows with a commit in them.
void BM_EmptyKernelCommit(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  Measure(
      state, [] {},
      [port = static_cast<KernelEnclave*>(kernel.enclave())] {
        uint64_t mask[CpuSet::kWords] = {1};
        ghost_ioc_commit_txn argument = {.mask_ptr = reinterpret_cast<uint64_t>(mask), .mask_len = sizeof(mask)};
        for (int i = 0; i < 1000; ++i) benchmark::DoNotOptimize(port->Ioctl(GHOST_IOC_COMMIT_TXN, &argument));
        return int64_t{1000};
      });
}
BENCHMARK(BM_EmptyKernelCommit)->UseManualTime();

// Arguments: CPUs of the enclave, CPUs in the group.
void BM_GroupCommit(benchmark::State& state) {
  const int enclave_cpus = static_cast<int>(state.range(0));
  const int num_cpus = static_cast<int>(state.range(1));
  EmptyKernel kernel(enclave_cpus);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(enclave_cpus));
  CommitGroup group(enclave.get());
  Measure(
      state, [] {},
      [&group, num_cpus] {
        for (int i = 0; i < 1000; ++i) {
          for (int cpu = 0; cpu < num_cpus; ++cpu) group.Add(cpu);
          benchmark::DoNotOptimize(group.Submit());
          group.ForEach([](RunRequest& request) { benchmark::DoNotOptimize(request.Finish()); });
          group.Clear();
        }
        return int64_t{1000};
      });
}
BENCHMARK(BM_GroupCommit)->UseManualTime()->Args({8, 1})->Args({256, 1})->Args({256, 16})->Args({256, 256});

}  // namespace
}  // namespace ghost
