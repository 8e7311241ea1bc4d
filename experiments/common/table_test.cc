#include "experiments/common/table.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(TableTest, PrettyIsAligned) {
  Table table({"Worker", "Run (ns)", "Share"});
  table.AddRow({"0", "1234567890123", "0.9"});
  table.AddRow({"a long name", "1", "1.00000"});
  EXPECT_EQ(table.ToPretty(),
            "Worker            Run (ns)    Share\n"
            "-----------------------------------\n"
            "0            1234567890123      0.9\n"
            "a long name              1  1.00000\n");
}

TEST(TableTest, AnEmptyTableIsItsHeader) {
  const Table table({"Worker", "Share"});
  EXPECT_EQ(table.ToPretty(), "Worker  Share\n-------------\n");
  EXPECT_EQ(table.ToCsv(), "Worker,Share\n");
}

TEST(TableTest, NoLineEndsWithBlanks) {
  Table table({"Worker", "Note"});
  table.AddRow({"0", ""});
  EXPECT_EQ(table.ToPretty(), "Worker  Note\n------------\n0\n");
}

TEST(TableTest, CsvQuotesWhatWouldBreakIt) {
  Table table({"name", "value"});
  table.AddRow({"plain", "1"});
  table.AddRow({"a,b", "say \"x\""});
  EXPECT_EQ(table.ToCsv(), "name,value\nplain,1\n\"a,b\",\"say \"\"x\"\"\"\n");
}

}  // namespace
}  // namespace ghost
