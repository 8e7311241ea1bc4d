#include "experiments/common/print_format.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(PrintFormatTest, EachFormatHasItsWord) {
  for (PrintFormat format : {PrintFormat::kPretty, PrintFormat::kCsv, PrintFormat::kJson}) {
    PrintFormat parsed = format == PrintFormat::kCsv ? PrintFormat::kPretty : PrintFormat::kCsv;
    std::string error;
    EXPECT_TRUE(AbslParseFlag(AbslUnparseFlag(format), &parsed, &error)) << error;
    EXPECT_EQ(parsed, format);
  }
}

TEST(PrintFormatTest, AnyOtherWordIsAnErrorThatNamesThem) {
  for (const char* text : {"", "Pretty", "xml", "csv "}) {
    PrintFormat format = PrintFormat::kJson;
    std::string error;
    EXPECT_FALSE(AbslParseFlag(text, &format, &error)) << text;
    EXPECT_EQ(error, "it is pretty, csv or json");
    EXPECT_EQ(format, PrintFormat::kJson);
  }
}

TEST(PrintFormatTest, ReadyGoesWherePeopleReadOrWhereResultsDoNot) {
  for (PrintFormat format : {PrintFormat::kPretty, PrintFormat::kCsv, PrintFormat::kJson}) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    SayReady("antagonist", format);
    const bool pretty = format == PrintFormat::kPretty;
    EXPECT_EQ(testing::internal::GetCapturedStdout(), pretty ? "antagonist: ready\n" : "");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), pretty ? "" : "antagonist: ready\n");
  }
}

}  // namespace
}  // namespace ghost
