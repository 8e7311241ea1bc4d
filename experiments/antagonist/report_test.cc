#include "experiments/antagonist/report.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

AntagonistReport TwoWorkers() {
  return {.scheduler = "cfs",
          .work_share = 0.5,
          .duration_ns = 2'000'000'000,
          .run_duration_ns = {1'000'000'000, 500'000'000}};
}

TEST(AntagonistReport, Shares) {
  const AntagonistReport report = TwoWorkers();
  EXPECT_EQ(report.TotalNs(), 1'500'000'000);
  EXPECT_DOUBLE_EQ(report.ShareOf(report.run_duration_ns[0]), 0.5);
  EXPECT_DOUBLE_EQ(report.TotalShare(), 0.375);
  EXPECT_EQ(AntagonistReport{}.TotalShare(), 0);
  EXPECT_EQ(AntagonistReport{.run_duration_ns = {5}}.TotalShare(), 0);
}

TEST(AntagonistReport, Pretty) {
  EXPECT_EQ(TwoWorkers().Pretty(),
            "Worker  Run Duration (ns)  Work Share\n"
            "-------------------------------------\n"
            "0              1000000000      0.5000\n"
            "1               500000000      0.2500\n"
            "Total          1500000000      0.3750\n");
}

TEST(AntagonistReport, Csv) {
  EXPECT_EQ(TwoWorkers().Csv(),
            "worker,run_duration_ns,work_share\n0,1000000000,0.500000\n1,500000000,0.250000\n"
            "total,1500000000,0.375000\n");
}

TEST(AntagonistReport, Json) {
  EXPECT_EQ(TwoWorkers().Json(),
            "{\"program\":\"antagonist\",\"scheduler\":\"cfs\",\"duration_s\":2.0,\"work_share\":0.5,\"workers\":["
            "{\"worker\":0,\"run_duration_ns\":1000000000,\"share\":0.5},"
            "{\"worker\":1,\"run_duration_ns\":500000000,\"share\":0.25}],"
            "\"total\":{\"run_duration_ns\":1500000000,\"share\":0.375}}\n");
}

}  // namespace
}  // namespace ghost
