#include "lib/loop_meter.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(LoopMeter, MeanIsFromBeginToBegin) {
  LoopMeter meter;
  EXPECT_EQ(meter.totals().MeanNs(), 0);
  for (int64_t now = 1000; now <= 5000; now += 1000) meter.Begin(Time::FromNanoseconds(now), /*real=*/false);
  EXPECT_EQ(meter.totals().loops, 5);
  EXPECT_EQ(meter.totals().loops_ns, 4000);
  EXPECT_EQ(meter.totals().MeanNs(), 800);
}

TEST(LoopMeter, SleepsAreNotInIt) {
  LoopMeter meter;
  meter.Begin(Time::FromNanoseconds(100), false);
  meter.Begin(Time::FromNanoseconds(200), false);
  meter.Pause();
  meter.Begin(Time::FromNanoseconds(9200), false);
  meter.Begin(Time::FromNanoseconds(9300), false);
  EXPECT_EQ(meter.totals().loops_ns, 200);
}

TEST(LoopMeter, FewLoopsAreSampledAndOnlyInRealTime) {
  for (const bool real : {true, false}) {
    LoopMeter meter;
    for (int64_t i = 0; i < 3 * LoopMeter::kSample; ++i) {
      meter.Begin(Time::Now(), real);
      meter.MessagesRead();
      meter.End();
    }
    const LoopMeter::Totals totals = meter.totals();
    EXPECT_EQ(totals.samples, real ? 3 : 0);
    EXPECT_EQ(totals.read_ns + totals.rest_ns > 0, real);
    EXPECT_GE(totals.loops_ns, totals.read_ns + totals.rest_ns);
  }
}

}  // namespace
}  // namespace ghost
