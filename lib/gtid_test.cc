#include "lib/gtid.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "gtest/gtest.h"

namespace ghost {
namespace {

constexpr int64_t MakeId(int64_t tid, int64_t seqnum) { return tid << 41 | seqnum; }

TEST(Gtid, Parts) {
  ASSERT_EQ(Gtid::SeqnumBits(), 41);
  EXPECT_EQ(Gtid(MakeId(1234, 77)).tid(), 1234);
  EXPECT_EQ(Gtid(MakeId(4194303, (int64_t{1} << 41) - 1)).tid(), 4194303);
  EXPECT_TRUE(Gtid(MakeId(1, 1)).is_task());
  for (Gtid special : {Gtid::Null(), Gtid::Agent(), Gtid::Idle()}) {
    EXPECT_FALSE(special.is_task());
    EXPECT_EQ(special.tid(), 0);
  }
  EXPECT_EQ(Gtid(), Gtid::Null());
}

TEST(Gtid, Describe) {
  EXPECT_EQ(Gtid::Null().Describe(), "<null>");
  EXPECT_EQ(Gtid::Agent().Describe(), "<agent>");
  EXPECT_EQ(Gtid::Idle().Describe(), "<idle>");
  EXPECT_EQ(Gtid(-3).Describe(), "<invalid -3>");
  std::ostringstream out;
  out << Gtid(MakeId(2, 5));
  EXPECT_EQ(out.str(), "2/4398046511109");
}

TEST(Gtid, OrderAndHash) {
  EXPECT_LT(Gtid(1), Gtid(2));
  absl::flat_hash_set<Gtid> set = {Gtid(7), Gtid(8), Gtid(7)};
  EXPECT_EQ(set.size(), 2u);
  EXPECT_TRUE(set.contains(Gtid(8)));
}

TEST(Gtid, FromProcfs) {
  const std::filesystem::path procfs = std::filesystem::path(::testing::TempDir()) / "proc";
  std::filesystem::create_directories(procfs / "12/ghost");
  std::filesystem::create_directories(procfs / "13/ghost");
  std::ofstream(procfs / "12/ghost/gtid") << MakeId(12, 3) << "\n";
  std::ofstream(procfs / "13/ghost/gtid") << "garbage\n";
  absl::StatusOr<Gtid> gtid = Gtid::FromTid(12, procfs.string());
  ASSERT_TRUE(gtid.ok()) << gtid.status();
  EXPECT_EQ(*gtid, Gtid(MakeId(12, 3)));
  EXPECT_EQ(Gtid::FromTid(13, procfs.string()).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Gtid::FromTid(14, procfs.string()).status().code(), absl::StatusCode::kNotFound);
  std::filesystem::remove_all(procfs);
}

TEST(Gtid, CurrentWhereTheKernelKnowsIt) {
  absl::StatusOr<Gtid> gtid = Gtid::Current();
  if (!gtid.ok()) {
    EXPECT_EQ(gtid.status().code(), absl::StatusCode::kNotFound);
    GTEST_SKIP() << "not a ghost kernel";
  }
  EXPECT_EQ(gtid->tid(), gettid());
}

}  // namespace
}  // namespace ghost
