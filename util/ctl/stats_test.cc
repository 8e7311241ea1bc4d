#include "util/ctl/stats.h"

#include "gtest/gtest.h"

namespace ghost::ctl {
namespace {

using Json = nlohmann::ordered_json;

TEST(StatsToTextTest, NamesLoseTheirUnderscoresAndTimesGetAUnit) {
  EXPECT_EQ(StatsToText(Json::parse(R"({"failed_commits": 12, "up_ns": 1500000, "short_ns": 12})")),
            "failed commits           12\n"
            "up                       1.5 ms\n"
            "short                    12 ns\n");
}

TEST(StatsToTextTest, AGroupIsOneLine) {
  EXPECT_EQ(StatsToText(Json::parse(R"({"latency": {"p50_ns": 32000, "p99_ns": 2000000000}})")),
            "latency                  p50 32.0 us, p99 2.00 s\n");
}

TEST(StatsToTextTest, RowsBecomeATableAfterTheSingleValues) {
  EXPECT_EQ(StatsToText(Json::parse(R"({"cpus": [{"cpu": 0, "busy_ns": 10}, {"cpu": 1, "idle": true}], "tasks": 3})")),
            "tasks                    3\n"
            "cpus\n"
            "  cpu   busy  idle\n"
            "    0  10 ns     -\n"
            "    1      -   yes\n");
}

TEST(StatsToTextTest, GroupsOfRowsFollowTheTable) {
  EXPECT_EQ(StatsToText(Json::parse(R"({"enclaves": [{"id": 1, "messages": {"TASK_NEW": 3, "TASK_DEAD": 2}},
                                                   {"id": 12, "messages": {}}]})")),
            "enclaves\n"
            "  id 1 messages: TASK_NEW 3, TASK_DEAD 2\n");
  EXPECT_EQ(StatsToText(Json::parse(R"({"enclaves": [{"id": 1, "tasks": 2, "wait": {"p50_ns": 1}}]})")),
            "enclaves\n"
            "  id  tasks\n"
            "   1      2\n"
            "  id 1 wait: p50 1 ns\n");
}

TEST(StatsToTextTest, AnyJsonIsShown) {
  EXPECT_EQ(StatsToText(Json::object()), "");
  EXPECT_EQ(StatsToText(Json::parse(R"({"list": [1, 2], "none": null})")),
            "list                     [1,2]\n"
            "none                     -\n");
}

}  // namespace
}  // namespace ghost::ctl
