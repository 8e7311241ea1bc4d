#include "schedulers/sol/sol_stats.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(SolStats, AQueueWithOneServer) {
  // A million loops of 1 us each. A quarter of a loop goes to messages, of which there is one in every second loop.
  const LoopMeter::Totals loops = {
      .loops = 1'000'000, .loops_ns = 1'000'000'000, .samples = 1000, .read_ns = 250'000, .rest_ns = 750'000};
  EXPECT_EQ(DescribeLoops(loops, 500'000),
            "----------------------------------------\n"
            "global iterations: 1000000, nr_msgs 500000, msg/iter 0.500000, total msg rate (A) 500000.000\n"
            "T_d: 0.250000, T_a: 0.750000, T_t: 1.000000\n"
            "A/S = T_d/T_t: 0.250000, Computed S: 2000000.000, L: 0.333333\n"
            "----------------------------------------\n");
  EXPECT_EQ(loops.MeanNs(), 1000);
}

TEST(SolStats, NothingHasHappenedYet) {
  EXPECT_EQ(DescribeLoops({}, 0),
            "----------------------------------------\n"
            "global iterations: 0, nr_msgs 0, msg/iter 0.000000, total msg rate (A) 0.000\n"
            "T_d: 0.000000, T_a: 0.000000, T_t: 0.000000\n"
            "A/S = T_d/T_t: 0.000000, Computed S: 0.000, L: 0.000000\n"
            "----------------------------------------\n");
}

}  // namespace
}  // namespace ghost
