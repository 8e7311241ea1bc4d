// Instructions and allocations per operation as counters of a google-benchmark: figures that a busy machine does not
// disturb, beside the time that it does.
//
//     void BM_Decode(benchmark::State& state) {
//       PerOp per_op(state);
//       for (auto _ : state) DecodeMessage(…);
//     }                                              // "allocs" and, where the machine can count them, "instructions"
//
// Instructions include the loop's own (about 5), and the reading of the counter spread over all iterations.
#ifndef GHOST_LIB_BASE_TESTING_PER_OP_H_
#define GHOST_LIB_BASE_TESTING_PER_OP_H_

#include <optional>

#include "benchmark/benchmark.h"
#include "lib/base/testing/allocation_counter.h"
#include "lib/base/testing/instruction_counter.h"

namespace ghost {

// Make it right before the loop; it reports when it goes.
class PerOp {
 public:
  explicit PerOp(benchmark::State& state) : state_(state), instructions_(InstructionCounter::Open()) {
    allocations_.Reset();
    if (instructions_.has_value()) instructions_before_ = instructions_->Read();
  }
  ~PerOp() {
    if (instructions_.has_value()) Report("instructions", instructions_->Read() - instructions_before_);
    Report("allocs", allocations_.count());
  }
  PerOp(const PerOp&) = delete;
  PerOp& operator=(const PerOp&) = delete;

 private:
  void Report(const char* name, int64_t total) {
    state_.counters[name] = benchmark::Counter(static_cast<double>(total), benchmark::Counter::kAvgIterations);
  }

  benchmark::State& state_;
  std::optional<InstructionCounter> instructions_;
  int64_t instructions_before_ = 0;
  AllocationCounter allocations_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_TESTING_PER_OP_H_
