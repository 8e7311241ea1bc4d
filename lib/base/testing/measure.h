// Measures a piece of code in a google-benchmark: time, allocations and instructions per operation, of the piece alone.
//
//     void BM_Peek(benchmark::State& state) {
//       …
//       Measure(state, [&] { Fill(queue); }, [&] { return Drain(queue); });   // how many operations it did
//     }
//     BENCHMARK(BM_Peek)->Apply(Measured);
//
// Instructions are counted by callgrind, on any machine: tests/perf/instructions.py runs the program under it, with
// $COUNT_INSTRUCTIONS set. It counts within MeasuredRegion, but for Uncounted calls, and writes a profile at each
// EndOfRun.
#ifndef GHOST_LIB_BASE_TESTING_MEASURE_H_
#define GHOST_LIB_BASE_TESTING_MEASURE_H_

#include <cstdint>
#include <cstdlib>

#include "benchmark/benchmark.h"
#include "lib/base/testing/allocation_counter.h"
#include "lib/base/time.h"

namespace ghost {

// Instructions are being counted: time means nothing then, and each benchmark runs once, equally often every time.
inline bool CountingInstructions() { return std::getenv("COUNT_INSTRUCTIONS") != nullptr; }

inline void Measured(benchmark::internal::Benchmark* benchmark) {
  constexpr int kCountedIterations = 8;
  benchmark->UseManualTime();
  if (CountingInstructions()) benchmark->Iterations(kCountedIterations);
}

// Functions of their own, by whose names callgrind finds them.
inline bool in_measured_region = false;
template <typename Run>
[[gnu::noinline]] int64_t MeasuredRegion(Run& run) {
  return run();
}
template <typename Call>
[[gnu::noinline]] auto UncountedRegion(Call& call) {
  return call();
}
[[gnu::noinline]] inline void EndOfRun() { asm volatile(""); }

// Within what is measured, but somebody else's: the pretended kernel's part.
template <typename Call>
auto Uncounted(Call call) {
  return in_measured_region ? UncountedRegion(call) : call();
}

// Whether this build's figures mean anything: optimised, and without a sanitizer's code between ours.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
inline constexpr bool kMeasurable = true;
#else
inline constexpr bool kMeasurable = false;
#endif

// In each iteration prepare(), then run(), which returns how many operations it did. Only run() is measured.
template <typename Prepare, typename Run>
void Measure(benchmark::State& state, Prepare prepare, Run run) {
  int64_t operations = 0, allocated = 0;
  for (auto _ : state) {
    prepare();
    AllocationCounter allocations;
    in_measured_region = true;
    const Time start = Time::Now();
    operations += MeasuredRegion(run);
    const Time end = Time::Now();
    in_measured_region = false;
    allocated += allocations.count();
    state.SetIterationTime(static_cast<double>(Time::NanosecondsBetween(start, end)) * 1e-9);
  }
  EndOfRun();
  state.counters["measurable"] = kMeasurable ? 1 : 0;
  state.counters["operations"] = static_cast<double>(operations);
  state.counters["allocations"] = static_cast<double>(allocated) / static_cast<double>(operations);
  state.counters["time_per_operation"] =
      benchmark::Counter(static_cast<double>(operations), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace ghost

#endif  // GHOST_LIB_BASE_TESTING_MEASURE_H_
