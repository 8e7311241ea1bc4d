#include "util/ctl/cgroups.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// As systemd mounts both versions beside each other; what else stands in such a file; and a blank in a name.
constexpr char kHybrid[] =
    R"(21 26 0:20 / /sys rw,nosuid - sysfs sysfs rw
30 21 0:25 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:26 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory
32 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct
33 30 0:28 / /sys/fs/cgroup/systemd rw shared:12 - cgroup cgroup rw,xattr,release_agent=/lib/systemd/x,name=systemd
34 30 0:29 / /sys/fs/cgroup/my\040own rw - cgroup2 cgroup2 rw,nsdelegate
35 26 0:30 / /home rw - ext4 /dev/cgroup2 rw
broken line - cgroup
)";

TEST(ParseCgroupMountsTest, VersionTwoGoesFirstThenSystemdThenCpu) {
  const std::vector<CgroupMount> mounts = ParseCgroupMounts(kHybrid);
  std::vector<std::string> shown;
  for (const CgroupMount& mount : mounts) shown.push_back(absl::StrCat(mount.hierarchy, " at ", mount.directory));
  EXPECT_THAT(shown, ElementsAre(" at /sys/fs/cgroup/my own", "name=systemd at /sys/fs/cgroup/systemd",
                                 "cpu,cpuacct at /sys/fs/cgroup/cpu,cpuacct", "memory at /sys/fs/cgroup/memory"));
}

TEST(ParseCgroupMountsTest, NoneAtAll) {
  EXPECT_THAT(ParseCgroupMounts(""), IsEmpty());
  EXPECT_THAT(ParseCgroupMounts("x\n - \n - cgroup2\n"), IsEmpty());
}

// Directories that look like cgroups.
class CgroupsTest : public ::testing::Test {
 protected:
  CgroupsTest() : root_(absl::StrCat(testing::TempDir(), "/cgroups_test.", getpid())) {}
  ~CgroupsTest() override { fs::remove_all(root_); }

  void Make(const std::string& directory, const std::string& procs) {
    fs::create_directories(root_ + "/" + directory);
    std::ofstream(root_ + "/" + directory + "/cgroup.procs") << procs;
  }
  std::string Path(const std::string& directory) const { return root_ + "/" + directory; }
  // v2 at "two", v1 at "cpu".
  std::vector<CgroupMount> Mounts() const { return {{Path("two"), ""}, {Path("cpu"), "cpu"}}; }

  const std::string root_;
};

TEST_F(CgroupsTest, FindsByDirectoryAndByName) {
  Make("two", "1\n");
  Make("two/both", "");
  Make("cpu/both", "");
  Make("cpu/jobs/one", "");
  fs::create_directories(Path("two/not_yet"));
  const struct {
    std::string path;
    std::string found;  // "": it isn't
  } kCases[] = {
      {Path("cpu/both"), Path("cpu/both")},
      {"both", Path("two/both")},           // the first hierarchy that has it
      {"jobs/one", Path("cpu/jobs/one")},   // whichever it is
      {"/jobs/one", Path("cpu/jobs/one")},  // as /proc/PID/cgroup writes it
      {"two/both", ""},
      {"not_yet", ""},
      {"", ""},
      {"no/such/cgroup", ""},
      {"/tmp", ""},
  };
  for (const auto& c : kCases) {
    absl::StatusOr<std::string> found = FindCgroup(c.path, Mounts());
    if (!c.found.empty()) {
      ASSERT_TRUE(found.ok()) << c.path << ": " << found.status();
      EXPECT_EQ(*found, c.found);
    } else {
      EXPECT_EQ(found.status().code(), absl::StatusCode::kNotFound) << c.path;
      EXPECT_NE(HintOf(found.status()), "");
    }
  }
}

TEST_F(CgroupsTest, FindsUnits) {
  Make("two/system.slice/nginx.service", "");
  Make("two/system.slice/system-getty.slice/getty@tty1.service", "");
  Make("two/user.slice", "");
  Make("cpu/init.scope", "");
  EXPECT_EQ(*FindUnit("nginx", Mounts()), Path("two/system.slice/nginx.service"));
  EXPECT_EQ(*FindUnit("nginx.service", Mounts()), Path("two/system.slice/nginx.service"));
  EXPECT_EQ(*FindUnit("getty@tty1", Mounts()), Path("two/system.slice/system-getty.slice/getty@tty1.service"));
  EXPECT_EQ(*FindUnit("user.slice", Mounts()), Path("two/user.slice"));
  EXPECT_EQ(*FindUnit("init.scope", Mounts()), Path("cpu/init.scope"));
  for (const char* none : {"user", "getty", "nginx.slice", ""}) {
    const absl::Status status = FindUnit(none, Mounts()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << none;
    EXPECT_NE(HintOf(status), "");
  }
}

TEST_F(CgroupsTest, MembersOfAllBelow) {
  Make("two/job", "1\n2\n");
  Make("two/job/inner", "");
  Make("two/job/inner/most", "33\nx\n");
  Make("two/other", "4\n");
  absl::StatusOr<CgroupMembers> members = MembersOf(Path("two/job"));
  ASSERT_TRUE(members.ok()) << members.status();
  EXPECT_THAT(members->processes, UnorderedElementsAre(1, 2, 33));
  EXPECT_THAT(members->threads, IsEmpty());
  EXPECT_THAT(CgroupsBelow(Path("two/job")),
              UnorderedElementsAre(Path("two/job"), Path("two/job/inner"), Path("two/job/inner/most")));
}

TEST_F(CgroupsTest, OneThatIsGone) {
  const absl::Status status = MembersOf(Path("two/gone")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("two/gone is gone"));
}

// A real one of version 2, where this machine has it.
TEST(ThreadedCgroupTest, HasThreads) {
  std::string directory;
  for (const CgroupMount& mount : CgroupMounts()) {
    if (mount.hierarchy.empty()) directory = absl::StrCat(mount.directory, "/ghost_cgroups_test.", getpid());
  }
  std::error_code error;
  if (directory.empty() || !fs::create_directories(directory + "/threaded", error)) {
    GTEST_SKIP() << "no cgroup of version 2 can be made here";
  }
  std::ofstream(directory + "/threaded/cgroup.type") << "threaded" << std::flush;
  absl::StatusOr<CgroupMembers> members = MembersOf(directory + "/threaded");
  absl::StatusOr<CgroupMembers> domain = MembersOf(directory);
  EXPECT_TRUE(members.ok()) << members.status();
  EXPECT_TRUE(domain.ok()) << domain.status();
  EXPECT_EQ(rmdir((directory + "/threaded").c_str()), 0);
  EXPECT_EQ(rmdir(directory.c_str()), 0);
}

}  // namespace
}  // namespace ghost::ctl
