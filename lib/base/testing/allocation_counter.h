// Counts the calling thread's heap allocations: for tests and benchmarks that promise none.
//
// Linking this library replaces malloc and its kin (so operator new too) by ones that count and pass on; with ASan or
// TSan the sanitizer's own hook counts (TSan's leaves out aligned_alloc and posix_memalign). Not for programs.
//
//     AllocationCounter allocations;
//     policy.PickNext(…);
//     EXPECT_EQ(allocations.count(), 0);
#ifndef GHOST_LIB_BASE_TESTING_ALLOCATION_COUNTER_H_
#define GHOST_LIB_BASE_TESTING_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace ghost {

class AllocationCounter {
 public:
  AllocationCounter() { Reset(); }

  // The calling thread's allocations, and the bytes it asked for, since it made or reset the counter. A reallocation is
  // an allocation.
  int64_t count() const { return TotalCount() - count_; }
  int64_t bytes() const { return TotalBytes() - bytes_; }
  void Reset() {
    count_ = TotalCount();
    bytes_ = TotalBytes();
  }

 private:
  // Since the thread began.
  static int64_t TotalCount();
  static int64_t TotalBytes();

  int64_t count_;
  int64_t bytes_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_TESTING_ALLOCATION_COUNTER_H_
