// Golden schedules: each case of golden_cases.txt gives the text of its file in expected/, to the byte.
//
// README.md says how to add one, and how to write the files anew after a change that is meant to change schedules.
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "tests/schedules/golden_cases.h"

namespace ghost::sim {
namespace {

constexpr char kDirectory[] = "tests/schedules/";

std::string Read(const std::string& name) {
  absl::StatusOr<std::string> text = ReadFile(kDirectory + name);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

std::vector<GoldenCase> Cases() {
  absl::StatusOr<std::vector<GoldenCase>> cases = ParseGoldenCases(Read("golden_cases.txt"));
  EXPECT_TRUE(cases.ok()) << cases.status();
  if (!cases.ok()) return {};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // Ten thousand tasks on 256 CPUs take minutes there.
  std::erase_if(*cases, [](const GoldenCase& golden) { return golden.summary; });
#endif
  return *std::move(cases);
}

class GoldenTest : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenTest, IsAsExpected) {
  const GoldenCase& golden = GetParam();
  const absl::StatusOr<std::string> schedule = RunGoldenCase(golden, Read("workloads/" + golden.workload + ".txt"));
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  const std::string expected = "expected/" + golden.Name() + ".txt";
  // The source tree, when a person wants the files written anew.
  if (const char* update = std::getenv("UPDATE_SCHEDULES")) {
    std::ofstream(std::string(update) + "/" + kDirectory + expected) << *schedule;
    GTEST_SKIP() << "wrote " << expected;
  }
  EXPECT_EQ(*schedule, Read(expected)) << "in " << expected << "; tests/schedules/README.md says what to do";
}

std::string NameOf(const testing::TestParamInfo<GoldenCase>& info) {
  std::string name = info.param.Name();
  for (char& c : name) c = c == '.' || c == '-' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenTest, testing::ValuesIn(Cases()), NameOf);

TEST(GoldenCasesTest, ErrorsSayWhichLine) {
  EXPECT_FALSE(ParseGoldenCases("convoy fifo_per_cpu 1 1 zero").ok());
  EXPECT_FALSE(ParseGoldenCases("convoy fifo_per_cpu 1 1 free schedule").ok());
  EXPECT_FALSE(ParseGoldenCases("convoy fifo_per_cpu 1 1 zero schedule slice").ok());
  EXPECT_EQ(ParseGoldenCases("# nothing\n\n")->size(), 0u);
}

}  // namespace
}  // namespace ghost::sim
