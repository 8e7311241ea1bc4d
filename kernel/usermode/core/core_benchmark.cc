// What the core itself costs, with a driver that does nothing; see lib/base/testing/measure.h.
//
// An operation is one entry into the core: an ioctl, or an event of the driver. The argument is the number of tasks.
#include "benchmark/benchmark.h"
#include "kernel/usermode/core/hot_path.h"
#include "lib/base/testing/measure.h"

namespace ghost::usermode {
namespace {

constexpr size_t kRounds = 2000;

template <typename Round>
void Repeat(benchmark::State& state, int operations, Round round) {
  const auto tasks = static_cast<size_t>(state.range(0));
  HotPath path(state.range(0));
  Measure(
      state, [] {},
      [&] {
        for (size_t i = 0; i < kRounds; ++i) round(path, i * 7 % (tasks - 1));
        return static_cast<int64_t>(kRounds) * operations;
      });
}

// A per-CPU agent's turn: commit, BLOCKED, WAKEUP.
void BM_Turn(benchmark::State& state) {
  Repeat(state, 3, [](HotPath& path, size_t i) {
    path.CommitLocal(i);
    path.BlockAndWake(i);
  });
}
// A global agent's: commit on another CPU, take the task off again, PREEMPT.
void BM_RemoteCommitAndPreempt(benchmark::State& state) {
  Repeat(state, 3, [](HotPath& path, size_t i) { path.RunRemoteAndPreempt(i); });
}
void BM_GroupOfTwo(benchmark::State& state) {
  Repeat(state, 3, [](HotPath& path, size_t i) { path.GroupAndYield(i, i + 1); });
}
void BM_YieldAndPing(benchmark::State& state) {
  Repeat(state, 2, [](HotPath& path, size_t) { path.YieldAndPing(); });
}

BENCHMARK(BM_Turn)->Arg(10)->Arg(1000)->Arg(10000)->Apply(Measured);
BENCHMARK(BM_RemoteCommitAndPreempt)->Arg(10)->Arg(1000)->Arg(10000)->Apply(Measured);
BENCHMARK(BM_GroupOfTwo)->Arg(10)->Arg(1000)->Apply(Measured);
BENCHMARK(BM_YieldAndPing)->Arg(10)->Apply(Measured);

}  // namespace
}  // namespace ghost::usermode
