#include "kernel/usermode/core/identity.h"

#include <gtest/gtest.h>

namespace ghost::usermode {
namespace {

TEST(IdentityTest, GtidIsPidAndSequence) {
  IdentityTable table(10);
  EXPECT_EQ(table.Get(90, 0)->gtid, (int64_t{90} << 41) + 1);
  EXPECT_EQ(table.Get(91, 0)->gtid, (int64_t{91} << 41) + 2);
  EXPECT_EQ(TidBitsOf(table.Get(4194303, 0)->gtid), 4194303);
  EXPECT_GT(table.Get(4194303, 0)->gtid, 0);
}

TEST(IdentityTest, SameThreadSameGtid) {
  IdentityTable table(10);
  Identity* identity = table.Get(90, 5);
  table.AddUser(identity);
  table.DropUser(identity);
  EXPECT_EQ(table.Get(90, 5), identity);
  EXPECT_EQ(table.FindGtid(identity->gtid), identity);
}

TEST(IdentityTest, ReusedTidIsAnotherThread) {
  IdentityTable table(10);
  const int64_t gtid = table.Get(90, 5)->gtid;
  EXPECT_NE(table.Get(90, 6)->gtid, gtid);
  EXPECT_EQ(table.FindGtid(gtid), nullptr);
  EXPECT_EQ(table.size(), 1u);
}

TEST(IdentityTest, ForgetsTheOldestIdleOne) {
  IdentityTable table(2);
  Identity* used = table.Get(1, 0);
  table.AddUser(used);
  const int64_t oldest = table.Get(2, 0)->gtid;
  const int64_t middle = table.Get(3, 0)->gtid;
  table.Get(4, 0);
  EXPECT_EQ(table.FindGtid(oldest), nullptr);
  EXPECT_NE(table.FindGtid(middle), nullptr);
  EXPECT_EQ(table.FindTid(1), used);
  table.DropUser(used);
  EXPECT_EQ(table.size(), 2u);
}

TEST(IdentityTest, AnEndedThreadLivesOnWithItsUsers) {
  IdentityTable table(10);
  Identity* identity = table.Get(90, 0);
  const int64_t gtid = identity->gtid;
  table.AddUser(identity);
  table.Exited(identity);
  EXPECT_EQ(table.FindTid(90), nullptr);
  EXPECT_EQ(table.FindGtid(gtid), identity);
  EXPECT_NE(table.Get(90, 0)->gtid, gtid);
  table.DropUser(identity);
  EXPECT_EQ(table.FindGtid(gtid), nullptr);
  EXPECT_NE(table.FindTid(90), nullptr);
}

TEST(IdentityTest, ExecTakesTheLeadersTid) {
  IdentityTable table(10);
  Identity* leader = table.Get(90, 0);
  Identity* thread = table.Get(91, 0);
  table.AddUser(leader);
  table.AddUser(thread);
  const int64_t leader_gtid = leader->gtid;
  table.ChangeTid(thread, 90);
  EXPECT_EQ(table.FindTid(90), thread);
  EXPECT_EQ(table.FindTid(91), nullptr);
  table.Exited(leader);  // reported late
  EXPECT_EQ(table.FindTid(90), thread);
  table.DropUser(leader);
  EXPECT_EQ(table.FindGtid(leader_gtid), nullptr);
  EXPECT_EQ(TidBitsOf(thread->gtid), 91) << "the gtid keeps the old pid bits";
}

}  // namespace
}  // namespace ghost::usermode
