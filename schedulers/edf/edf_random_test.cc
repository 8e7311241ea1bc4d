#include <cstdint>

#include "gtest/gtest.h"
#include "lib/testing/plan_random.h"
#include "schedulers/edf/edf_policy.h"

namespace ghost {
namespace {

class EdfRandomTest : public PlanRandom<EdfPolicy> {
 protected:
  EdfRandomTest() : PlanRandom({.preempt_earlier_deadline = GetParam() % 4 != 0}) {}

  bool MayHave(const Task& waiting, const Task& running) override {
    if (waiting.hint.qos != running.hint.qos) return waiting.hint.qos > running.hint.qos;
    return GetParam() % 4 != 0 && waiting.hint.deadline < running.hint.deadline;
  }
};

TEST_P(EdfRandomTest, NobodyWaitsForWhatHeMayHave) {
  for (int step = 0; step < 1000 && !HasFatalFailure(); ++step) Step(Draw(20000));
}

INSTANTIATE_TEST_SUITE_P(Seeds, EdfRandomTest, testing::Range(0u, 30u));

}  // namespace
}  // namespace ghost
