#include "lib/base/testing/allocation_counter.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace ghost {
namespace {

// The compiler must not see through an allocation, or it drops the pair of malloc and free.
template <typename T>
void Keep(T* pointer) {
  asm volatile("" : : "r"(pointer) : "memory");
}

TEST(AllocationCounter, CountsNothingWhereNothingIsAllocated) {
  std::vector<int> numbers;
  numbers.reserve(100);
  AllocationCounter counter;
  for (int i = 0; i < 100; ++i) numbers.push_back(i);
  EXPECT_EQ(counter.count(), 0);
  EXPECT_EQ(counter.bytes(), 0);
}

TEST(AllocationCounter, CountsOperatorNew) {
  AllocationCounter counter;
  auto number = std::make_unique<int64_t>(1);
  Keep(number.get());
  struct alignas(256) Aligned {
    char bytes[256];
  };
  auto aligned = std::make_unique<Aligned>();
  Keep(aligned.get());
  EXPECT_EQ(counter.count(), 2);
  EXPECT_GE(counter.bytes(), 8 + 256);
  counter.Reset();
  EXPECT_EQ(counter.count(), 0);
}

TEST(AllocationCounter, CountsMallocAndItsKin) {
  AllocationCounter counter;
  void* memory[] = {malloc(8), calloc(2, 8), realloc(nullptr, 32)};
  const int64_t count = counter.count();
  for (void* block : memory) {
    Keep(block);
    free(block);
  }
  EXPECT_EQ(count, 3);
}

TEST(AllocationCounter, CountsAlignedAllocations) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "TSan does not call its hook for these";
#endif
  AllocationCounter counter;
  void* memory[] = {aligned_alloc(64, 64), nullptr};
  EXPECT_EQ(posix_memalign(&memory[1], 64, 64), 0);
  const int64_t count = counter.count();
  for (void* block : memory) {
    Keep(block);
    free(block);
  }
  EXPECT_EQ(count, 2);
}

TEST(AllocationCounter, IsOfOneThread) {
  std::string* text = nullptr;
  std::thread other;
  AllocationCounter counter;
  other = std::thread([&] { text = new std::string(1000, 'x'); });
  const int64_t thread_itself = counter.count();
  other.join();
  EXPECT_EQ(counter.count(), thread_itself) << "the other thread's allocations are its own";
  EXPECT_LE(thread_itself, 3);
  delete text;
}

}  // namespace
}  // namespace ghost
