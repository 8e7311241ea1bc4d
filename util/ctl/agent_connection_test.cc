#include "util/ctl/agent_connection.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ghost::ctl {
namespace {

TEST(TakeEnclaveTest, TellsEnclavesFromNames) {
  const struct {
    const char* first;
    bool is_enclave;
  } kCases[] = {{"2", true},           {"enclave_2", true},       {"/run/ghost/enclave_2", true},
                {"./enclave_2", true}, {"slice", false},          {"slice=50us", false},
                {"", false},           {"path=/x/y", false},      {"7=8", false},
                {"2nd", false},        {"min_granularity", false}};
  for (const auto& c : kCases) {
    std::vector<std::string> operands = {c.first, "next"};
    EXPECT_EQ(TakeEnclave(&operands), c.is_enclave ? c.first : "") << c.first;
    EXPECT_EQ(operands.size(), c.is_enclave ? 1u : 2u) << c.first;
  }
  std::vector<std::string> none;
  EXPECT_EQ(TakeEnclave(&none), "");
}

}  // namespace
}  // namespace ghost::ctl
