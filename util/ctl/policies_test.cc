#include "util/ctl/policies.h"

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"

namespace ghost::ctl {
namespace {

TEST(PoliciesTest, EachIsFoundByEachOfItsNames) {
  for (const PolicyName& policy : Policies()) {
    EXPECT_EQ(FindPolicy(policy.name), &policy);
    EXPECT_EQ(FindPolicy(policy.agent), &policy);
    if (*policy.alias != '\0') {
      EXPECT_EQ(FindPolicy(policy.alias), &policy);
    }
    EXPECT_TRUE(absl::StrContains(DescribePolicies(), absl::StrCat("  ", policy.name, " ")));
  }
  for (const char* none : {"", "fifo", "agent_", "CFS", "edf "}) EXPECT_EQ(FindPolicy(none), nullptr) << none;
}

TEST(PoliciesTest, NoNameIsUsedTwice) {
  std::set<std::string> names;
  for (const PolicyName& policy : Policies()) {
    for (const char* name : {policy.name, policy.alias, policy.agent}) {
      EXPECT_TRUE(*name == '\0' || names.insert(name).second) << name;
    }
  }
}

// Every agent that the root's BUILD file has a program of is in the table, and no other.
TEST(PoliciesTest, TheTableIsComplete) {
  absl::StatusOr<std::string> build = ReadFile("BUILD");
  ASSERT_TRUE(build.ok()) << build.status();
  size_t agents = 0;
  for (size_t at = 0; (at = build->find("\"//schedulers/", at)) != std::string::npos; ++at) ++agents;
  EXPECT_EQ(Policies().size(), agents);
  for (const PolicyName& policy : Policies()) {
    EXPECT_TRUE(absl::StrContains(*build, absl::StrCat("\"", policy.agent, "\": \"//schedulers/"))) << policy.agent;
  }
}

}  // namespace
}  // namespace ghost::ctl
