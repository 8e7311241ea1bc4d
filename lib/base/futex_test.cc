#include "lib/base/futex.h"

#include <thread>

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(Futex, ReturnsAtOnceIfTheWordDiffers) {
  std::atomic<uint32_t> word = 1;
  EXPECT_EQ(FutexWait(word, 0), FutexResult::kChanged);
}

TEST(Futex, TimesOutAtTheDeadline) {
  std::atomic<uint32_t> word = 0;
  const Time deadline = Time::Now() + absl::Milliseconds(2);
  while (FutexWait(word, 0, deadline) == FutexResult::kWoken) {
  }
  EXPECT_GE(Time::Now(), deadline);
  EXPECT_EQ(FutexWait(word, 0, Time::FromNanoseconds(0)), FutexResult::kTimedOut) << "long past";
  EXPECT_EQ(FutexWait(word, 0, Time::FromNanoseconds(-5)), FutexResult::kTimedOut) << "before the clock began";
}

TEST(Futex, WakesNobodyIfNobodySleeps) {
  std::atomic<uint32_t> word = 0;
  EXPECT_EQ(FutexWake(word), 0);
}

TEST(Futex, WakesSleepers) {
  std::atomic<uint32_t> word = 0;
  std::thread sleeper([&] {
    while (word.load() == 0) FutexWait(word, 0);
  });
  // Once it sleeps, a wake-up that changes nothing finds it.
  while (FutexWake(word, 1) == 0) std::this_thread::yield();
  word = 1;
  FutexWake(word);
  sleeper.join();
}

}  // namespace
}  // namespace ghost
