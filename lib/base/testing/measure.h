// Measures a piece of code in a google-benchmark: time, allocations and instructions per operation, of the piece alone.
//
//     void BM_Peek(benchmark::State& state) {
//       …
//       Measure(state, [&] { Fill(queue); }, [&] { return Drain(queue); });   // how many operations it did
//     }
//     BENCHMARK(BM_Peek)->UseManualTime();
//
// Instructions come from the machine's counter, where it has one. Anywhere else util/instructions.py counts them: it
// runs the benchmark under callgrind, which looks only inside MeasuredRegion.
#ifndef GHOST_LIB_BASE_TESTING_MEASURE_H_
#define GHOST_LIB_BASE_TESTING_MEASURE_H_

#include <cstdint>
#include <optional>

#include "benchmark/benchmark.h"
#include "lib/base/testing/allocation_counter.h"
#include "lib/base/testing/instruction_counter.h"
#include "lib/base/time.h"

namespace ghost {

// A function of its own, by whose name callgrind finds it.
template <typename Run>
[[gnu::noinline]] int64_t MeasuredRegion(Run& run) {
  return run();
}

// Operations of all measured regions of this process: the library runs a benchmark several times, with more iterations
// each time, and reports only the last.
inline int64_t all_measured_operations = 0;

// Whether this build's figures mean anything: optimised, and without a sanitizer's code between ours.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
inline constexpr bool kMeasurable = true;
#else
inline constexpr bool kMeasurable = false;
#endif

// In each iteration prepare(), then run(), which returns how many operations it did. Only run() is measured.
template <typename Prepare, typename Run>
void Measure(benchmark::State& state, Prepare prepare, Run run) {
  std::optional<InstructionCounter> instructions = InstructionCounter::Open();
  int64_t operations = 0, allocated = 0, executed = 0;
  for (auto _ : state) {
    prepare();
    AllocationCounter allocations;
    const int64_t before = instructions.has_value() ? instructions->Read() : 0;
    const Time start = Time::Now();
    operations += MeasuredRegion(run);
    const Time end = Time::Now();
    if (instructions.has_value()) executed += instructions->Read() - before;
    allocated += allocations.count();
    state.SetIterationTime(static_cast<double>(Time::NanosecondsBetween(start, end)) * 1e-9);
  }
  const auto per_operation = [operations](int64_t count) {
    return static_cast<double>(count) / static_cast<double>(operations);
  };
  all_measured_operations += operations;
  state.counters["measurable"] = kMeasurable ? 1 : 0;
  state.counters["operations"] = static_cast<double>(operations);
  state.counters["all_operations"] = static_cast<double>(all_measured_operations);
  state.counters["allocations"] = per_operation(allocated);
  state.counters["time_per_operation"] =
      benchmark::Counter(static_cast<double>(operations), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  if (instructions.has_value()) state.counters["instructions"] = per_operation(executed);
}

}  // namespace ghost

#endif  // GHOST_LIB_BASE_TESTING_MEASURE_H_
