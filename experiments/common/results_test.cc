#include "experiments/common/results.h"

#include "experiments/common/table.h"
#include "gtest/gtest.h"

namespace ghost {
namespace {

// 1000 requests of 1..1000 us: the percentiles are the upper ends of buckets that are 1/128 wide.
Latencies Thousand() {
  Latencies latencies;
  for (int us = 1; us <= 1000; ++us) latencies.Add(us * 1000);
  return latencies;
}

std::string Print(const Latencies& latencies, bool ns, bool csv) {
  Table table(StageColumns(ns));
  table.AddRow(StageRow({.name = "Ingress Queue Time", .latencies = &latencies}, /*seconds=*/2, ns));
  table.AddRow(StageRow({.name = "Total", .latencies = &latencies}, 2, ns));
  return csv ? table.ToCsv() : table.ToPretty();
}

TEST(ResultsTest, Pretty) {
  EXPECT_EQ("\n" + Print(Thousand(), /*ns=*/false, /*csv=*/false), R"(
Stage               Total Requests  Throughput (req/s)  Min (us)  50% (us)  99% (us)  99.5% (us)  99.9% (us)  Max (us)
----------------------------------------------------------------------------------------------------------------------
Ingress Queue Time            1000                 500     1.000   501.759   991.231     995.327     999.423  1000.000
Total                         1000                 500     1.000   501.759   991.231     995.327     999.423  1000.000
)");
}

TEST(ResultsTest, PrettyNs) {
  const std::string text = Print(Thousand(), /*ns=*/true, /*csv=*/false);
  EXPECT_NE(text.find("Min (ns)"), std::string::npos) << text;
  EXPECT_NE(text.find("1000    501759    991231      995327      999423   1000000\n"), std::string::npos) << text;
}

TEST(ResultsTest, Csv) {
  EXPECT_EQ(Print(Thousand(), /*ns=*/false, /*csv=*/true),
            "Stage,Total Requests,Throughput (req/s),Min (us),50% (us),99% (us),99.5% (us),99.9% (us),Max (us)\n"
            "Ingress Queue Time,1000,500,1.000,501.759,991.231,995.327,999.423,1000.000\n"
            "Total,1000,500,1.000,501.759,991.231,995.327,999.423,1000.000\n");
}

TEST(ResultsTest, NothingMeasured) {
  EXPECT_EQ(Print(Latencies(), /*ns=*/true, /*csv=*/true),
            "Stage,Total Requests,Throughput (req/s),Min (ns),50% (ns),99% (ns),99.5% (ns),99.9% (ns),Max (ns)\n"
            "Ingress Queue Time,0,0,0,0,0,0,0,0\n"
            "Total,0,0,0,0,0,0,0,0\n");
  EXPECT_EQ(StageJson(Latencies(), 0).dump(),
            R"({"total":0,"throughput":0.0,"min_ns":0,"mean_ns":0,"p50_ns":0,"p99_ns":0,"p99_5_ns":0,"p99_9_ns":0,)"
            R"("max_ns":0})");
}

TEST(ResultsTest, Json) {
  EXPECT_EQ(StageJson(Thousand(), 3).dump(),
            R"({"total":1000,"throughput":333.3,"min_ns":1000,"mean_ns":500500,"p50_ns":501759,"p99_ns":991231,)"
            R"("p99_5_ns":995327,"p99_9_ns":999423,"max_ns":1000000})");
}

}  // namespace
}  // namespace ghost
