#include "kernel/usermode/core/text.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace ghost::usermode {
namespace {

TEST(ScannerTest, IsAsLaxAndAsStrictAsSscanf) {
  struct Case {
    const char* text;
    bool ok;
    uint64_t id = 0;
    uint32_t abi = 0;
    const char* rest = "";
  };
  for (const Case& c : {Case{"create 4 69", true, 4, 69}, Case{"create4 69", true, 4, 69},
                        Case{"create \t 4\t\t69", true, 4, 69}, Case{"create 3 69 junk", true, 3, 69, " junk"},
                        Case{"create 3 69x", true, 3, 69, "x"}, Case{"create 18446744073709551615 91", true, ~0ull, 91},
                        Case{" create 4 69", false}, Case{"create 0x4 69", false}, Case{"create -4 69", false},
                        Case{"create 4 -69", false}, Case{"create +4 69", false}, Case{"create 4", false},
                        Case{"create", false}, Case{"", false}, Case{"Create 4 69", false},
                        Case{"create 18446744073709551616 91", false}, Case{"create 4 4294967296", false}}) {
    SCOPED_TRACE(c.text);
    uint64_t id = 0;
    uint32_t abi = 0;
    Scanner scanner(c.text);
    EXPECT_EQ(scanner.Word("create ").Unsigned(&id).Unsigned(&abi).ok(), c.ok);
    if (!c.ok) continue;
    EXPECT_EQ(id, c.id);
    EXPECT_EQ(abi, c.abi);
    EXPECT_EQ(scanner.rest(), c.rest);
  }
  int32_t number = 0;
  EXPECT_TRUE(Scanner("  -7x").Signed(&number).ok());
  EXPECT_EQ(number, -7);
}

TEST(ParseIntegerTest, ReadsWhatKstrtoReads) {
  struct Case {
    std::string text;
    int error;
    int64_t value = 0;
  };
  for (const Case& c : {Case{"0", 0, 0},
                        Case{"1\n", 0, 1},
                        Case{"-1", 0, -1},
                        Case{"+5", 0, 5},
                        Case{"0x10", 0, 16},
                        Case{"0XfF", 0, 255},
                        Case{"010", 0, 8},
                        Case{"-0x10\n", 0, -16},
                        Case{"9223372036854775807", 0, INT64_MAX},
                        Case{"-9223372036854775808", 0, INT64_MIN},
                        Case{"9223372036854775808", -ERANGE},
                        Case{"99999999999999999999", -ERANGE},
                        Case{"", -EINVAL},
                        Case{"\n", -EINVAL},
                        Case{" 1", -EINVAL},
                        Case{"1 ", -EINVAL},
                        Case{"1\n\n", -EINVAL},
                        Case{"0x", -EINVAL},
                        Case{"08", -EINVAL},
                        Case{"-+1", -EINVAL},
                        Case{"+-1", -EINVAL},
                        Case{"--1", -EINVAL},
                        Case{"1.5", -EINVAL},
                        Case{"abc", -EINVAL},
                        Case{std::string("1\0", 2), -EINVAL}}) {
    SCOPED_TRACE(c.text);
    int64_t value = 77;
    EXPECT_EQ(ParseInteger(c.text, &value), c.error);
    EXPECT_EQ(value, c.error == 0 ? c.value : 77);
  }
  uint64_t value = 0;
  EXPECT_EQ(ParseUnsigned("18446744073709551615", &value), 0);
  EXPECT_EQ(value, ~uint64_t{0});
  EXPECT_EQ(ParseUnsigned("-1", &value), -EINVAL);
  EXPECT_EQ(ParseUnsigned("18446744073709551616", &value), -ERANGE);
}

TEST(FirstLineTest, EndsAtTheFirstNewline) {
  EXPECT_EQ(FirstLine("destroy\nx"), "destroy");
  EXPECT_EQ(FirstLine("destroy"), "destroy");
  EXPECT_EQ(FirstLine("\n"), "");
}

}  // namespace
}  // namespace ghost::usermode
