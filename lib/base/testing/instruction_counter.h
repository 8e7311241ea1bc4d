// Counts the instructions that the calling thread executes in user mode (perf_event_open): the figure of a benchmark
// that a busy machine does not disturb.
//
// Many virtual machines and containers have no such counter: then Open() is nullopt, and callgrind is the way.
//
//     auto counter = InstructionCounter::Open();
//     int64_t before = counter->Read();  Work();  int64_t used = counter->Read() - before;
#ifndef GHOST_LIB_BASE_TESTING_INSTRUCTION_COUNTER_H_
#define GHOST_LIB_BASE_TESTING_INSTRUCTION_COUNTER_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "lib/base/file.h"

namespace ghost {

class InstructionCounter {
 public:
  // For the calling thread; counts from now on.
  static std::optional<InstructionCounter> Open();

  // Instructions since Open, those of the reading itself included (about a hundred).
  int64_t Read() const;

 private:
  explicit InstructionCounter(ScopedFd fd) : fd_(std::move(fd)) {}

  ScopedFd fd_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_TESTING_INSTRUCTION_COUNTER_H_
