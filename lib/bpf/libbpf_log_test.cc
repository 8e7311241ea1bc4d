#include "lib/bpf/libbpf_log.h"

#include <cstdarg>
#include <string>

#include "gtest/gtest.h"

namespace ghost {
namespace {

void Print(libbpf_print_fn_t print, enum libbpf_print_level level, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(level, format, arguments);
  va_end(arguments);
}

int Nothing(enum libbpf_print_level, const char*, va_list) { return 0; }

// The verifier's reason is the last line of a log that may have thousands.
TEST(LibbpfLogTest, KeepsAllOfALongLog) {
  const LibbpfLog log;
  const libbpf_print_fn_t collect = libbpf_set_print(Nothing);
  const std::string steps(100'000, 's');
  Print(collect, LIBBPF_WARN, "libbpf: %s\n%s", steps.c_str(), "R1 invalid mem access\n");
  Print(collect, LIBBPF_DEBUG, "a detail\n");
  Print(collect, LIBBPF_INFO, "an end\n");
  EXPECT_EQ(log.text(), "libbpf: " + steps + "\nR1 invalid mem access\nan end\n");
}

TEST(LibbpfLogTest, HearsLibbpfAndEndsWithTheObject) {
  const libbpf_print_fn_t before = libbpf_set_print(Nothing);
  {
    const LibbpfLog log;
    EXPECT_EQ(bpf_object__open_mem("no object", 9, nullptr), nullptr);
    EXPECT_NE(log.text(), "");
  }
  EXPECT_EQ(libbpf_set_print(before), Nothing);
}

}  // namespace
}  // namespace ghost
