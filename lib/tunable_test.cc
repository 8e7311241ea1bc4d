#include "lib/tunable.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

TEST(TunableTest, TakesValuesOfItsUnit) {
  Tunable slice("slice", "", Tunable::Unit::kNanoseconds, 50'000, 1'000, INT64_MAX);
  Tunable depth("depth", "", Tunable::Unit::kCount, 8, 1, 64);
  Tunable balance("balance", "", Tunable::Unit::kBool, 1, 0, 1);
  const struct {
    Tunable* tunable;
    const char* text;
    int64_t value;
    const char* shown;
  } kCases[] = {
      {&slice, "30us", 30'000, "30us"},  {&slice, "1us", 1'000, "1us"}, {&slice, "1.5ms", 1'500'000, "1.5ms"},
      {&slice, "inf", INT64_MAX, "inf"}, {&depth, "64", 64, "64"},      {&depth, "1", 1, "1"},
      {&balance, "false", 0, "false"},   {&balance, "1", 1, "true"},
  };
  for (const auto& c : kCases) {
    EXPECT_TRUE(c.tunable->Set(c.text).ok()) << c.text;
    EXPECT_EQ(c.tunable->Get(), c.value) << c.text;
    EXPECT_EQ(c.tunable->ToString(), c.shown);
  }
}

TEST(TunableTest, KeepsItsValueWhenTheNewOneIsWrong) {
  Tunable slice("slice", "", Tunable::Unit::kNanoseconds, 50'000, 1'000, 1'000'000'000);
  for (const char* text : {"", "50", "50 us", "-1us", "999ns", "inf", "2s", "x", "1e400s"}) {
    const absl::Status status = slice.Set(text);
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage) << text;
    EXPECT_EQ(HintOf(status), "slice: from 1us to 1s") << text;
    EXPECT_EQ(slice.Get(), 50'000) << text;
  }
  Tunable balance("balance", "", Tunable::Unit::kBool, 1, 0, 1);
  EXPECT_EQ(HintOf(balance.Set("2")), "balance: true or false");
}

TEST(TunableTest, IsFoundByItsName) {
  Tunable slice("slice", "", Tunable::Unit::kNanoseconds, 50'000, 1'000, 1'000'000'000);
  Tunable depth("depth", "", Tunable::Unit::kCount, 8, 1, 64);
  EXPECT_EQ(*FindTunable({&slice, &depth}, "depth", "agent_x"), &depth);
  const absl::Status status = FindTunable({&slice, &depth}, "width", "agent_x").status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage);
  EXPECT_EQ(status.message(), "there is no tunable 'width'");
  EXPECT_EQ(HintOf(status), "agent_x has slice, depth");
  EXPECT_EQ(HintOf(FindTunable({}, "slice", "agent_x").status()), "agent_x has none");
}

}  // namespace
}  // namespace ghost
