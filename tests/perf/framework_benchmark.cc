// What the framework itself costs in a schedule pass, with a kernel that does nothing. Per operation; see
// lib/base/testing/measure.h. tests/perf/table.py says which row of the table each is.
#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "lib/base/testing/measure.h"
#include "lib/channel.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/run_request.h"
#include "lib/task_index.h"
#include "lib/testing/empty_kernel.h"
#include "lib/testing/task_test_peer.h"

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
BENCHMARK(BM_PeekConsume)->Apply(Measured);

// There are so many tasks; of as many as a queue holds messages of, taken from all over them, each has blocked and
// wakes.
void BM_DrainPerMessage(benchmark::State& state) {
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  PerCpuRuntime<EmptyPolicy> runtime(enclave.get(), {.queue_elements = 65536});
  runtime.StartStepped().IgnoreError();
  MockEnclave& mock = *kernel.enclave();
  EmptyPolicy::placed.clear();
  EmptyPolicy::next = nullptr;
  const int num_tasks = static_cast<int>(state.range(0));
  for (int i = 0; i < num_tasks; ++i) {
    mock.PostNew(MockGtid(kTid + i), /*runnable=*/false);
    mock.Post(TaskWakeup{.gtid = MockGtid(kTid + i)});  // then it is given its place
    if (i % 1000 == 999) runtime.Step(0, Time());
  }
  runtime.Step(0, Time());
  std::vector<EmptyPolicy::Task*> tasks;
  const int stride = std::max(num_tasks / kMessages, 1);
  for (int i = 0; i < num_tasks; i += stride) tasks.push_back(EmptyPolicy::placed[i]);
  Measure(
      state,
      [&] {
        mock.agent_word(0).flags &= ~GHOST_SW_BOOST_PRIO;
        for (EmptyPolicy::Task* task : tasks) {
          EmptyPolicy::next = task;
          runtime.Step(0, Time());
          EmptyPolicy::next = nullptr;
          mock.Post(TaskBlocked{.gtid = task->gtid()});
          runtime.Step(0, Time());
        }
        mock.agent_word(0).flags |= GHOST_SW_BOOST_PRIO;  // draining without a decision
        for (EmptyPolicy::Task* task : tasks) mock.Post(TaskWakeup{.gtid = task->gtid()});
      },
      [&] {
        runtime.Step(0, Time());
        return static_cast<int64_t>(tasks.size());
      });
}
BENCHMARK(BM_DrainPerMessage)->ArgName("N")->Arg(10)->Arg(1000)->Arg(100'000)->Apply(Measured);

// A task comes: its message, memory, affinity, place. Not in a pass, but between two.
void BM_NewTask(benchmark::State& state) {
  constexpr int kNewTasks = 100;
  EmptyKernel kernel(1);
  auto enclave = *Enclave::Create(&kernel, CpuSet::FirstN(1));
  PerCpuRuntime<EmptyPolicy> runtime(enclave.get());
  runtime.StartStepped().IgnoreError();
  int tid = kTid;
  Measure(
      state,
      [&] {
        for (int i = 0; i < kNewTasks; ++i) kernel.enclave()->PostNew(MockGtid(tid++));
      },
      [&] {
        runtime.Step(0, Time());
        return int64_t{kNewTasks};
      });
}
BENCHMARK(BM_NewTask)->Iterations(8)->Apply(Measured);

// Calls find(gtid) for each of N tasks' gtids, in no order.
template <typename Find>
void FindAll(benchmark::State& state, Find find) {
  const int num_tasks = static_cast<int>(state.range(0));
  TaskIndex index;
  TaskPool<EmptyPolicy::Task> pool(num_tasks);
  std::vector<int64_t> order;
  for (int i = 0; i < num_tasks; ++i) {
    EmptyPolicy::Task* task = pool.Allocate();
    TaskTestPeer::SetGtid(task, MockGtid(kTid + i));
    index.Insert(task);
    order.push_back(task->gtid());
  }
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  while (order.size() < 1000) order.insert(order.end(), order.begin(), order.begin() + num_tasks);
  Measure(
      state, [] {},
      [&index, &order, find] {
        const TaskIndex& tasks = index;
#pragma GCC unroll 10
        for (int64_t gtid : order) asm volatile("" : : "r"(find(tasks, gtid)));
        return static_cast<int64_t>(order.size());
      });
}
void BM_FindTask(benchmark::State& state) {
  FindAll(state, [](const TaskIndex& index, int64_t gtid) { return index.Find(gtid); });
}
BENCHMARK(BM_FindTask)->ArgName("N")->Arg(10)->Arg(1000)->Arg(100'000)->Apply(Measured);
// What of that is the asking.
void BM_FindNothing(benchmark::State& state) {
  FindAll(state, [](const TaskIndex&, int64_t gtid) { return gtid; });
}
BENCHMARK(BM_FindNothing)->ArgName("N")->Arg(10)->Arg(1000)->Arg(100'000)->Apply(Measured);

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
BENCHMARK(BM_RunRequestOpen)->Apply(Measured);

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
BENCHMARK(BM_CommitOneCpu)->Apply(Measured);

// So many CPUs of an enclave of C are committed at once.
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
BENCHMARK(BM_GroupCommit)
    ->ArgNames({"C", "committed"})
    ->Args({2, 1})
    ->Args({8, 1})
    ->Args({100, 1})
    ->Args({256, 1})
    ->Args({256, 255})
    ->Apply(Measured);

}  // namespace
}  // namespace ghost
