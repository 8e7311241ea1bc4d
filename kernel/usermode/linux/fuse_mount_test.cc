#include "kernel/usermode/linux/fuse_mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/status.h"

namespace ghost::usermode {
namespace {

using testing::HasSubstr;

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool IsMounted(const std::string& path) {
  auto mounts = ReadFile("/proc/self/mountinfo");
  return mounts.ok() && mounts->find(" " + path + " ") != std::string::npos;
}

// In a mount namespace of this test's own.
class FuseMountTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to have a mount namespace";
    if (!Exists("/dev/fuse")) GTEST_SKIP() << "no /dev/fuse";
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("tmpfs", directory_.c_str(), "tmpfs", 0, "mode=755"), 0);
    mounted_ = true;
  }
  void TearDown() override {
    if (!mounted_) return;
    umount2("/dev/fuse", MNT_DETACH);         // where a test has covered it
    umount2(directory_.c_str(), MNT_DETACH);  // and with it all that is mounted below
  }

  // Mounts in a process that then dies.
  void LeaveDeadMount() {
    auto child = ChildProcess::Fork([this] { return FuseMount::Create(path_).ok() ? raise(SIGKILL) : 1; });
    ASSERT_TRUE(child.ok());
    ASSERT_EQ(child->Wait().signal, SIGKILL);
    ASSERT_TRUE(IsDeadMount(path_));
  }

  bool mounted_ = false;
  const std::string directory_ = "/mnt";
  const std::string path_ = directory_ + "/ghost";
};

TEST_F(FuseMountTest, MountsAndLeavesNothing) {
  {
    auto mount = FuseMount::Create(path_);
    ASSERT_TRUE(mount.ok()) << mount.status();
    EXPECT_TRUE(IsMounted(path_));
    EXPECT_TRUE(mount->TakeDevice().valid());
  }
  EXPECT_FALSE(IsMounted(path_));
  EXPECT_FALSE(Exists(path_));
}

TEST_F(FuseMountTest, KeepsADirectoryThatItDidNotMake) {
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  ASSERT_TRUE(FuseMount::Create(path_).ok());
  EXPECT_FALSE(IsMounted(path_));
  EXPECT_TRUE(Exists(path_));
}

TEST_F(FuseMountTest, ADeadServersMountGivesWay) {
  LeaveDeadMount();
  auto mount = FuseMount::Create(path_);
  ASSERT_TRUE(mount.ok()) << mount.status();
  mount->Unmount();
  EXPECT_FALSE(IsMounted(path_));
}

TEST_F(FuseMountTest, DetachTakesOneMountAway) {
  LeaveDeadMount();
  EXPECT_TRUE(DetachMount(path_));
  EXPECT_FALSE(IsDeadMount(path_));
  EXPECT_FALSE(DetachMount(path_));
}

TEST_F(FuseMountTest, WhatIsInTheWayStays) {
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  const std::string file = path_ + "/precious";
  ASSERT_GE(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0);
  auto full = FuseMount::Create(path_);
  EXPECT_THAT(full.status().message(), HasSubstr("not an empty directory"));
  EXPECT_EQ(ExitCodeOf(full.status()), ExitCode::kBusy);
  unlink(file.c_str());

  ASSERT_EQ(mount("tmpfs", path_.c_str(), "tmpfs", 0, nullptr), 0);
  auto busy = FuseMount::Create(path_);
  EXPECT_THAT(busy.status().message(), HasSubstr("another file system is mounted there"));
  EXPECT_EQ(ExitCodeOf(busy.status()), ExitCode::kBusy);
  EXPECT_TRUE(IsMounted(path_));
}

TEST_F(FuseMountTest, BlanksInThePath) {
  const std::string path = directory_ + "/a ghost\\";
  auto made = FuseMount::Create(path);
  ASSERT_TRUE(made.ok()) << made.status();
  made->Unmount();
  EXPECT_FALSE(Exists(path));
  // The kernel's list of mounts shows it escaped.
  ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
  ASSERT_EQ(mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_THAT(FuseMount::Create(path).status().message(), HasSubstr("another file system is mounted there"));
}

TEST_F(FuseMountTest, NoParentDirectory) {
  auto mount = FuseMount::Create(directory_ + "/no/ghost");
  EXPECT_EQ(ErrnoOf(mount.status()), ENOENT);
}

TEST_F(FuseMountTest, NoDevice) {
  ASSERT_EQ(mount("/dev/null", "/dev/fuse", nullptr, MS_BIND, nullptr), 0);
  auto made = FuseMount::Create(path_);
  EXPECT_THAT(made.status().message(), HasSubstr("/dev/fuse"));
  EXPECT_THAT(HintOf(made.status()), HasSubstr("modprobe fuse"));
  EXPECT_FALSE(Exists(path_));
}

TEST_F(FuseMountTest, OrdinaryUsersMountThroughFusermount) {
  struct stat fusermount;
  if (stat("/usr/bin/fusermount3", &fusermount) != 0 || (fusermount.st_mode & S_ISUID) == 0) {
    GTEST_SKIP() << "no setuid fusermount3";
  }
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  // A device that everyone may open, as distributions have it.
  const std::string device = directory_ + "/fuse";
  ASSERT_EQ(mknod(device.c_str(), S_IFCHR, makedev(10, 229)), 0);
  ASSERT_EQ(chmod(device.c_str(), 0666), 0);
  ASSERT_EQ(mount(device.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr), 0);
  auto child = ChildProcess::Fork([this] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 1;
    auto mount = FuseMount::Create(path_);
    if (!mount.ok()) return Report("test", mount.status());
    if (!IsMounted(path_) || !mount->TakeDevice().valid()) return 20;
    mount->Unmount();
    return IsMounted(path_) ? 21 : 0;
  });
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->Wait().ToString(), "exit code 0");
}

TEST_F(FuseMountTest, OrdinaryUsersErrorIsOneLineWithAHint) {
  // Not theirs: fusermount3 refuses, or is not there.
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  auto child = ChildProcess::Fork([this] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 1;
    auto mount = FuseMount::Create(path_);
    return !mount.ok() && ExitCodeOf(mount.status()) == ExitCode::kPermission && !HintOf(mount.status()).empty() ? 0
                                                                                                                 : 2;
  });
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->Wait().ToString(), "exit code 0");
}

TEST(CanonicalMountPath, ResolvesTheParentOnly) {
  char cwd[4096];
  ASSERT_NE(getcwd(cwd, sizeof(cwd)), nullptr);
  EXPECT_EQ(*CanonicalMountPath("/proc/../dev/ghost///"), "/dev/ghost");
  EXPECT_EQ(*CanonicalMountPath("/ghost"), "/ghost");
  EXPECT_EQ(*CanonicalMountPath("ghost"), std::string(cwd) + "/ghost");
  for (const char* bad : {"", "/", ".", "/dev/..", "/nonexistent/ghost"}) {
    EXPECT_FALSE(CanonicalMountPath(bad).ok()) << bad;
  }
}

TEST(MountLock, ALivingOwnerIsNamed) {
  const std::string path = testing::TempDir() + "/lock_living";
  auto lock = MountLock::Acquire(path);
  ASSERT_TRUE(lock.ok()) << lock.status();
  auto second = MountLock::Acquire(path);
  EXPECT_EQ(second.status().message(), path + " is already served by pid " + std::to_string(getpid()));
  EXPECT_EQ(ExitCodeOf(second.status()), ExitCode::kBusy);
  EXPECT_TRUE(MountLock::Acquire(path + "2").ok());
  { auto freed = *std::move(lock); }
  EXPECT_TRUE(MountLock::Acquire(path).ok());
}

TEST(MountLock, LongPathsAreTold) {
  const std::string path(300, 'x');
  auto a = MountLock::Acquire("/" + path + "/a");
  ASSERT_TRUE(a.ok());
  EXPECT_TRUE(MountLock::Acquire("/" + path + "/b").ok());
  EXPECT_FALSE(MountLock::Acquire("/" + path + "/a").ok());
}

// The owner is dead, and its guardian still at work: whoever wants to be next waits for the guardian's end.
TEST(MountLock, WaitsForADeadOwnersGuardian) {
  const std::string path = testing::TempDir() + "/lock_guarded";
  int to_test[2], to_guardian[2];
  ASSERT_EQ(pipe2(to_test, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(to_guardian, O_CLOEXEC), 0);
  auto owner = ChildProcess::Fork([&] {
    auto lock = MountLock::Acquire(path);
    close(to_guardian[1]);
    if (fork() == 0) {
      char byte;
      _exit(write(to_test[1], "x", 1) == 1 && read(to_guardian[0], &byte, 1) >= 0 ? 0 : 1);
    }
    return lock.ok() ? raise(SIGKILL) : 1;
  });
  ASSERT_TRUE(owner.ok());
  ASSERT_EQ(owner->Wait().signal, SIGKILL);
  char byte;
  ASSERT_EQ(read(to_test[0], &byte, 1), 1);
  std::atomic<bool> acquired = false;
  std::thread waiter([&] {
    auto lock = MountLock::Acquire(path);
    EXPECT_TRUE(lock.ok()) << lock.status();
    acquired = true;
  });
  EXPECT_FALSE(acquired);
  close(to_guardian[1]);
  waiter.join();
  EXPECT_TRUE(acquired);
}

}  // namespace
}  // namespace ghost::usermode
