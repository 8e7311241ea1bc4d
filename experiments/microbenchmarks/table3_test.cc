#include "experiments/microbenchmarks/table3.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace ghost {
namespace {

Table3 Sample() {
  Table3 table;
  table.where = "a test";
  table.group = 3;
  Latencies latencies;
  for (int i = 0; i < 100; ++i) latencies.Add(50);
  table.Set(Table3Row::kSyscall, latencies);
  table.SetMissing(Table3Row::kCfsSwitch, "there is no CFS");
  table.notes.push_back("it is so");
  return table;
}

TEST(Table3, PaperIsTheTablesOwn) {
  EXPECT_EQ(Table3::PaperNs(Table3Row::kDeliveryLocal), 725);
  EXPECT_EQ(Table3::PaperNs(Table3Row::kGroupEndToEnd), 5688);
  EXPECT_EQ(Table3::PaperNs(Table3Row::kCfsSwitch), 599);
}

TEST(Table3, AGroupSaysHowManyItHad) {
  EXPECT_EQ(Sample().Operation(Table3Row::kGroupAgent), "group remote schedule (3 txns): agent");
  EXPECT_EQ(Sample().Operation(Table3Row::kRemoteAgent), "remote schedule (1 txn): agent");
}

TEST(Table3, Pretty) {
  const std::string text = Sample().Pretty();
  EXPECT_NE(text.find("Table 3 of the ghOSt paper, and a test\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n10 system call "), std::string::npos) << text;
  EXPECT_NE(text.find("\nn/a: there is no CFS\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nnote: it is so\n"), std::string::npos) << text;
}

TEST(Table3, Csv) {
  const std::string text = Sample().Csv();
  EXPECT_EQ(text.find("row,operation,paper_ns,p50_ns,p99_ns,rounds\n1,message delivery to local agent,725,,,\n"), 0u)
      << text;
  EXPECT_NE(text.find("\n10,system call,72,50,50,100\n"), std::string::npos) << text;
}

TEST(Table3, Json) {
  const nlohmann::json json = nlohmann::json::parse(Sample().Json());
  ASSERT_EQ(json["rows"].size(), static_cast<size_t>(kTable3Rows));
  EXPECT_EQ(json["rows"][9]["measured"]["p50_ns"], 50);
  EXPECT_TRUE(json["rows"][11]["measured"].is_null());
  EXPECT_EQ(json["rows"][11]["why"], "there is no CFS");
  EXPECT_EQ(json["group"], 3);
}

TEST(Table3, NoUndisturbedRoundIsNoFigure) {
  Table3 table;
  table.Set(Table3Row::kLocalSchedule, Latencies());
  EXPECT_FALSE(table.figure(Table3Row::kLocalSchedule).has_value());
}

}  // namespace
}  // namespace ghost
