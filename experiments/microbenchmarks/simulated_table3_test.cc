// The simulation's costs are the paper's Table 3, so what comes of running the table's rows on it must be near the
// table: a check of RoundTrips and of the simulation against each other.
#include "experiments/microbenchmarks/simulated_table3.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

class SimulatedTable3 : public testing::Test {
 protected:
  SimulatedTable3() : table_(*SimulateTable3(/*rounds=*/200)) {}
  uint64_t P50(Table3Row row) const { return table_.figure(row).value_or(Table3::Figure()).p50_ns; }

  const Table3 table_;
};

TEST_F(SimulatedTable3, IsThePapersWithinThreePercent) {
  for (Table3Row row :
       {Table3Row::kDeliveryLocal, Table3Row::kLocalSchedule, Table3Row::kRemoteAgent, Table3Row::kRemoteEndToEnd,
        Table3Row::kGroupAgent, Table3Row::kSyscall, Table3Row::kCfsSwitch}) {
    EXPECT_NEAR(static_cast<double>(P50(row)), Table3::PaperNs(row), 0.03 * Table3::PaperNs(row))
        << table_.Operation(row);
  }
}

TEST_F(SimulatedTable3, AMessageToAPollingAgentTakesALookMore) {
  // Of cost poll: the agent is found between two looks.
  EXPECT_EQ(P50(Table3Row::kDeliveryGlobal), 265u + 50u);
}

TEST_F(SimulatedTable3, ATargetsTimeHasTheInterruptsWayInIt) {
  EXPECT_EQ(P50(Table3Row::kRemoteTarget), 1064u + 40u);  // cost ipi_travel
}

// The simulation's ordinary threads are CFS's.
TEST_F(SimulatedTable3, OneContextSwitchHasOnePrice) {
  EXPECT_EQ(P50(Table3Row::kCfsSwitch), P50(Table3Row::kPthreadSwitch));
}

TEST_F(SimulatedTable3, AGroupTakesLessThanItsMembersOneByOne) {
  EXPECT_EQ(table_.group, Table3::kPaperGroup);
  EXPECT_LT(P50(Table3Row::kGroupEndToEnd), 10 * P50(Table3Row::kRemoteEndToEnd));
  EXPECT_GT(P50(Table3Row::kGroupEndToEnd), P50(Table3Row::kRemoteEndToEnd));
}

TEST_F(SimulatedTable3, IsTheSameEachTime) { EXPECT_EQ(SimulateTable3(200)->Csv(), table_.Csv()); }

}  // namespace
}  // namespace ghost
