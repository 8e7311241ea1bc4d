#include <cstdint>

#include "gtest/gtest.h"
#include "lib/base/time.h"
#include "lib/testing/plan_random.h"
#include "schedulers/shinjuku/shinjuku_policy.h"

namespace ghost {
namespace {

constexpr int64_t kSlice = 50'000;

class ShinjukuRandomTest : public PlanRandom<ShinjukuPolicy> {
 protected:
  ShinjukuRandomTest() : PlanRandom({.slice_ns = kSlice}) {}

  bool MayHave(const Task& waiting, const Task& running) override {
    if (waiting.qos_class() != running.qos_class()) return waiting.qos_class() > running.qos_class();
    return !running.hint.repeating && Time::NanosecondsBetween(running.since, run_.now()) >= kSlice;
  }
};

TEST_P(ShinjukuRandomTest, NobodyWaitsForWhatHeMayHave) {
  for (int step = 0; step < 1000 && !HasFatalFailure(); ++step) {
    Step(Draw(4) == 0 ? kSlice : Draw(20000));
    // Nothing changes by itself before the time that it said.
    if (run_.look_again() > run_.now()) {
      EXPECT_EQ(run_.Pass(), 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ShinjukuRandomTest, testing::Range(0u, 30u));

}  // namespace
}  // namespace ghost
