#include "util/ctl/options.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ghost::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Parsed {
  bool json = false;
  std::string cpus = "default";
  std::string stats;
  std::vector<std::string> names;
  Options options;

  absl::Status Parse(const std::vector<std::string>& args, Options::Placement placement) {
    options.AddFlag("json", &json).AddString("cpus", &cpus).AddList("name", &names);
    options.AddOptionalString("stats", "text", &stats);
    return options.Parse(args, placement);
  }
};

TEST(OptionsTest, TakesValuesInBothForms) {
  Parsed parsed;
  ASSERT_TRUE(parsed.Parse({"--cpus", "0-1", "--json", "--name=a", "--name", "b"}, Options::kAnywhere).ok());
  EXPECT_TRUE(parsed.json);
  EXPECT_EQ(parsed.cpus, "0-1");
  EXPECT_THAT(parsed.names, ElementsAre("a", "b"));
  EXPECT_THAT(parsed.options.operands(), IsEmpty());
}

TEST(OptionsTest, KeepsDefaults) {
  Parsed parsed;
  ASSERT_TRUE(parsed.Parse({}, Options::kAnywhere).ok());
  EXPECT_FALSE(parsed.json);
  EXPECT_EQ(parsed.cpus, "default");
}

TEST(OptionsTest, AnEmptyValueIsAValue) {
  Parsed parsed;
  ASSERT_TRUE(parsed.Parse({"--cpus", ""}, Options::kAnywhere).ok());
  EXPECT_EQ(parsed.cpus, "");
}

TEST(OptionsTest, OptionalValueNeedsAnEqualsSign) {
  Parsed bare;
  ASSERT_TRUE(bare.Parse({"--stats", "json"}, Options::kAnywhere).ok());
  EXPECT_EQ(bare.stats, "text");
  EXPECT_THAT(bare.options.operands(), ElementsAre("json"));
  Parsed given;
  ASSERT_TRUE(given.Parse({"--stats=json"}, Options::kAnywhere).ok());
  EXPECT_EQ(given.stats, "json");
}

TEST(OptionsTest, WhatFollowsTheFirstOperandBelongsToTheCommand) {
  Parsed parsed;
  ASSERT_TRUE(parsed.Parse({"--json", "ls", "--cpus", "x"}, Options::kBeforeOperands).ok());
  EXPECT_EQ(parsed.cpus, "default");
  EXPECT_THAT(parsed.options.operands(), ElementsAre("ls", "--cpus", "x"));
}

TEST(OptionsTest, DoubleDashEndsOptions) {
  Parsed parsed;
  ASSERT_TRUE(parsed.Parse({"1", "--", "--json", "--"}, Options::kAnywhere).ok());
  EXPECT_FALSE(parsed.json);
  EXPECT_THAT(parsed.options.operands(), ElementsAre("1", "--json", "--"));
}

TEST(OptionsTest, OptionsMayFollowOperands) {
  Parsed parsed;
  ASSERT_TRUE(parsed.Parse({"12", "--json", "13"}, Options::kAnywhere).ok());
  EXPECT_TRUE(parsed.json);
  EXPECT_THAT(parsed.options.operands(), ElementsAre("12", "13"));
}

TEST(OptionsTest, HelpIsTheCommandsOwnOnlyBeforeItsOperands) {
  Parsed early, late;
  EXPECT_TRUE(IsHelpWanted(early.Parse({"--cpus", "0", "--help", "ls"}, Options::kBeforeOperands)));
  EXPECT_TRUE(late.Parse({"ls", "--help"}, Options::kBeforeOperands).ok());
}

TEST(OptionsTest, SaysWhatIsWrong) {
  Parsed unknown, missing, unwanted;
  EXPECT_THAT(std::string(unknown.Parse({"--jsn"}, Options::kAnywhere).message()), HasSubstr("unknown option --jsn"));
  EXPECT_THAT(std::string(missing.Parse({"--cpus"}, Options::kAnywhere).message()), HasSubstr("--cpus needs a value"));
  EXPECT_THAT(std::string(unwanted.Parse({"--json=1"}, Options::kAnywhere).message()), HasSubstr("takes no value"));
}

TEST(ParseNumberTest, ChecksRangeAndText) {
  int64_t number = 0;
  EXPECT_TRUE(ParseNumber("12", "a pid", 1, 100, &number).ok());
  EXPECT_EQ(number, 12);
  for (const char* text : {"0", "101", "", "x", "1x", "99999999999999999999"}) {
    absl::Status status = ParseNumber(text, "a pid", 1, 100, &number);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(number, 12);
  }
}

}  // namespace
}  // namespace ghost::ctl
