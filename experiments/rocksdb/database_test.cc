#include "experiments/rocksdb/database.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr Database::Options kSmall = {.entries = 1000, .cache_bytes = 8 << 20};

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() {
    directory_ = testing::TempDir() + "database.XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
  }
  ~DatabaseTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  Database OpenSmall() { return *Database::Open(Path("db"), kSmall); }

  std::string directory_;
  std::string value_;
};

TEST_F(DatabaseTest, Get) {
  const Database database = OpenSmall();
  for (uint32_t key : {0u, 1u, 500u, 999u}) {
    ASSERT_TRUE(database.Get(key, &value_)) << key;
    EXPECT_EQ(value_, Database::ValueOf(key));
  }
  EXPECT_EQ(Database::ValueOf(17), "value of entry 0000000017");
}

TEST_F(DatabaseTest, GetNoEntry) {
  const Database database = OpenSmall();
  for (uint32_t key : {1000u, 4'000'000'000u}) EXPECT_FALSE(database.Get(key, &value_));
}

TEST_F(DatabaseTest, Range) {
  const Database database = OpenSmall();
  value_ = "from before";
  ASSERT_TRUE(database.Range(997, 3, &value_));
  EXPECT_EQ(value_, Database::ValueOf(997) + Database::ValueOf(998) + Database::ValueOf(999));
  ASSERT_TRUE(database.Range(0, 1000, &value_));
  EXPECT_EQ(value_.size(), 1000 * Database::ValueOf(0).size());
}

TEST_F(DatabaseTest, RangeSizeOne) {
  const Database database = OpenSmall();
  ASSERT_TRUE(database.Range(5, 1, &value_));
  EXPECT_EQ(value_, Database::ValueOf(5));
}

TEST_F(DatabaseTest, RangeNoStartOrEndEntry) {
  const Database database = OpenSmall();
  EXPECT_FALSE(database.Range(1000, 1, &value_));
  EXPECT_FALSE(database.Range(998, 3, &value_));
}

TEST_F(DatabaseTest, AnEarlierRunsIsFound) {
  { OpenSmall(); }
  const auto file_time = [&] { return std::filesystem::last_write_time(Path("db/IDENTITY")); };
  const auto before = file_time();
  const Database database = OpenSmall();
  EXPECT_EQ(file_time(), before);
  EXPECT_TRUE(database.Get(999, &value_));
}

TEST_F(DatabaseTest, AnotherOnesIsRefused) {
  { OpenSmall(); }
  for (uint32_t entries : {999u, 1001u}) {
    const absl::Status status = Database::Open(Path("db"), {.entries = entries}).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage) << status;
    EXPECT_NE(HintOf(status), "");
  }
}

TEST_F(DatabaseTest, PathsThatWontDo) {
  std::ofstream(Path("file")) << "text";
  mkdir(Path("full").c_str(), 0777);
  std::ofstream(Path("full/file")) << "text";
  for (const char* name : {"none/db", "file", "file/db", "full"}) {
    const absl::Status status = Database::Open(Path(name), kSmall).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage) << status;
    EXPECT_NE(status.message().find(Path(name)), std::string::npos) << status;
    EXPECT_NE(HintOf(status).find("--rocksdb_db_path"), std::string::npos) << HintOf(status);
  }
  EXPECT_EQ(std::filesystem::file_size(Path("full/file")), 4u);  // nothing of it was touched
}

TEST_F(DatabaseTest, ADirectoryThatCannotBeWrittenTo) {
  if (geteuid() == 0) {
    const absl::Status status = Database::Open("/proc/db", kSmall).status();
    EXPECT_FALSE(status.ok());
    EXPECT_NE(HintOf(status), "") << status;
    return;
  }
  mkdir(Path("locked").c_str(), 0555);
  for (const char* name : {"locked", "locked/db"}) {
    const absl::Status status = Database::Open(Path(name), kSmall).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kPermission) << status;
    EXPECT_NE(HintOf(status), "");
  }
}

}  // namespace
}  // namespace ghost
