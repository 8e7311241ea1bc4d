#include "lib/cli.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

ABSL_FLAG(std::string, test_text, "", "A text.");
ABSL_FLAG(int, test_number, 7, "A number.");
ABSL_FLAG(bool, test_switch, true, "A switch.");
ABSL_FLAG(absl::Duration, test_slice, absl::Milliseconds(3), "A duration.");
ABSL_FLAG(bool, ghost_version, false, "As every program with the framework has it.");

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class CliTest : public ::testing::Test {
 protected:
  // Parses the words and keeps what was printed.
  CommandLine Parse(std::vector<std::string> words) {
    words.insert(words.begin(), "/somewhere/tester");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    CommandLine line = ParseCommandLine(program_, static_cast<int>(words.size()), argv.data());
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return line;
  }

  absl::FlagSaver flags_;
  ProgramInfo program_ = {.name = "tester", .summary = "tests", .examples = {"tester --test_number 3  # three"}};
  std::string out_, err_;
};

TEST_F(CliTest, NothingGiven) {
  EXPECT_EQ(Parse({}).exit_code, std::nullopt);
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 7);
  EXPECT_THAT(out_ + err_, IsEmpty());
}

TEST_F(CliTest, EveryWayToGiveAValue) {
  EXPECT_EQ(Parse({"--test_text=a=b", "--test_number", "-3", "-test_slice=1us", "--notest_switch"}).exit_code,
            std::nullopt);
  EXPECT_EQ(absl::GetFlag(FLAGS_test_text), "a=b");
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), -3);
  EXPECT_EQ(absl::GetFlag(FLAGS_test_slice), absl::Microseconds(1));
  EXPECT_FALSE(absl::GetFlag(FLAGS_test_switch));
  EXPECT_EQ(Parse({"--test_switch", "--test_text="}).exit_code, std::nullopt);
  EXPECT_TRUE(absl::GetFlag(FLAGS_test_switch));
  EXPECT_EQ(absl::GetFlag(FLAGS_test_text), "");
}

TEST_F(CliTest, Arguments) {
  EXPECT_EQ(Parse({"run"}).exit_code, 2);
  EXPECT_EQ(err_, "tester: unexpected argument \"run\"\nhint: 'tester --help' lists the flags\n");
  program_.arguments = "COMMAND…";
  EXPECT_THAT(Parse({"run", "--test_number", "4", "-", "--", "--no_flag", "x"}).arguments,
              ElementsAre("run", "-", "--no_flag", "x"));
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 4);
}

TEST_F(CliTest, Errors) {
  const struct {
    std::vector<std::string> words;
    const char* line;
  } cases[] = {
      {{"--bogus"}, "tester: unknown flag --bogus\n"},
      {{"-x"}, "tester: unknown flag --x\n"},
      {{"--bogus=3"}, "tester: unknown flag --bogus\n"},
      {{"--notest_number"}, "tester: unknown flag --notest_number\n"},
      {{"--test_number"}, "tester: flag --test_number needs a value\n"},
      {{"--notest_switch=true"}, "tester: flag --notest_switch takes no value\n"},
      {{"--test_number=three"}, "tester: bad value \"three\" for flag --test_number"},
      {{"--test_switch=perhaps"}, "tester: bad value \"perhaps\" for flag --test_switch"},
      {{"--test_slice=1"}, "tester: bad value \"1\" for flag --test_slice"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Parse(c.words).exit_code, 2) << c.words[0];
    EXPECT_THAT(err_, StartsWith(c.line));
    EXPECT_THAT(err_, HasSubstr("\nhint: 'tester --help' lists the flags\n"));
    EXPECT_THAT(out_, IsEmpty());
  }
}

TEST_F(CliTest, HelpWinsOverErrors) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--help"}, {"-h"}, {"--help", "--bogus"}, {"something", "--help"}}) {
    EXPECT_EQ(Parse(words).exit_code, 0);
    EXPECT_THAT(out_, HasSubstr("tester: tests\n\nusage: tester [flags]\n"));
    EXPECT_THAT(out_, HasSubstr("--test_number=…\n      A number. (default: 7)\n"));
    EXPECT_THAT(out_, HasSubstr("examples:\n  tester --test_number 3  # three\n"));
    EXPECT_THAT(out_, Not(HasSubstr("flagfile")));
    EXPECT_THAT(err_, IsEmpty());
  }
}

TEST_F(CliTest, Versions) {
  EXPECT_EQ(Parse({"--version"}).exit_code, 0);
  EXPECT_THAT(out_, StartsWith("tester "));
  EXPECT_THAT(out_, HasSubstr("69 to 91"));
  EXPECT_EQ(Parse({"--ghost_version"}).exit_code, 0);
  EXPECT_EQ(err_, "91\n");
}

TEST_F(CliTest, AbslsOwnFlagsStillWork) {
  EXPECT_EQ(Parse({"--undefok=bogus", "--bogus=1"}).exit_code, std::nullopt) << err_;
  const std::string file = ::testing::TempDir() + "/flags";
  FILE* out = fopen(file.c_str(), "w");
  ASSERT_NE(out, nullptr);
  fputs("--test_number=12\n", out);
  fclose(out);
  EXPECT_EQ(Parse({"--flagfile=" + file}).exit_code, std::nullopt) << err_;
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 12);
}

}  // namespace
}  // namespace ghost
