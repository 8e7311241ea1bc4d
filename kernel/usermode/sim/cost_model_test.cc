#include "kernel/usermode/sim/cost_model.h"

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

// Table 3 of the paper, within 1 %; the figures that its rows are made of stand in the header.
TEST(CostModelTest, TheDefaultsAddUpToThePapersTable) {
  const CostModel c;
  EXPECT_EQ(c.wakeup_ns + c.context_switch_ns + c.message_ns, 725);
  EXPECT_EQ(c.message_ns, 265);
  EXPECT_EQ(c.syscall_ns + c.commit_ns + c.context_switch_ns, 888);
  EXPECT_EQ(c.syscall_ns + c.commit_ns + c.ipi_send_ns, 668);
  EXPECT_EQ(c.ipi_receive_ns + c.context_switch_ns, 1064);
  EXPECT_EQ(c.idle_receive_ns, c.ipi_receive_ns);
  EXPECT_EQ(668 + c.ipi_travel_ns + 1064, 1772);
  EXPECT_NEAR(static_cast<double>(1064 + 9 * c.receive_next_ns), 1821, 2);
  EXPECT_EQ(c.cfs_switch_ns, 599);
  EXPECT_NEAR(static_cast<double>(c.syscall_ns + c.commit_ns + c.ipi_send_ns + 9 * c.commit_next_ns), 3964, 40);
}

TEST(CostModelTest, Set) {
  CostModel c;
  EXPECT_TRUE(c.Set("message=1").ok());
  EXPECT_EQ(c.message_ns, 1);
  for (const char* bad :
       {"", "=", "message", "message=", "message=-1", "message=x", "message=2000000000", "messag=1"}) {
    const absl::Status status = c.Set(bad);
    EXPECT_FALSE(status.ok()) << bad;
    EXPECT_NE(HintOf(status), "") << bad;
  }
  EXPECT_EQ(c.message_ns, 1);
}

TEST(CostModelTest, WholeModels) {
  CostModel c;
  ASSERT_TRUE(c.Set("shinjuku").ok());
  EXPECT_EQ(c.syscall_ns + c.commit_ns + c.commit_next_ns, 0);
  // From end to end 1993 cycles at 2.2 GHz; the parts are rounded down.
  EXPECT_NEAR(static_cast<double>(c.ipi_send_ns + c.ipi_travel_ns + c.ipi_receive_ns), 1993 / 2.2, 3);
  ASSERT_TRUE(c.Set("zero").ok());
  for (const CostName& cost : kCosts) EXPECT_EQ(c.*cost.member, 0) << cost.name;
  ASSERT_TRUE(c.Set("paper").ok());
  for (const CostName& cost : kCosts) EXPECT_EQ(c.*cost.member, CostModel().*cost.member) << cost.name;
}

TEST(CostModelTest, Zero) {
  const CostModel c = CostModel::Zero();
  for (const CostName& cost : kCosts) EXPECT_EQ(c.*cost.member, 0) << cost.name;
}

}  // namespace
}  // namespace ghost::sim
