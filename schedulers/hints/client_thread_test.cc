#include "schedulers/hints/client_thread.h"

#include <sched.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "schedulers/hints/hints_test_base.h"

namespace ghost {
namespace {

constexpr char kProc[] = "/proc";

TEST(ClientThreadTest, ThreadsOfOneProcess) {
  const absl::StatusOr<ClientThread> main = FindClientThread(GtidOf(getpid()), kProc);
  ASSERT_TRUE(main.ok()) << main.status();
  EXPECT_EQ(main->tid, getpid());
  EXPECT_EQ(main->own_tid, getpid());
  EXPECT_EQ(main->process.pid, getpid());
  EXPECT_GT(main->process.start, 0u);
  std::thread([&] {
    const absl::StatusOr<ClientThread> other = FindClientThread(GtidOf(OwnTid()), kProc);
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(other->tid, OwnTid());
    EXPECT_EQ(other->process, main->process);
    EXPECT_TRUE(IsOf(OwnTid(), main->process, kProc));
  }).join();
}

TEST(ClientThreadTest, WhatIsNoThread) {
  for (const int64_t gtid : {int64_t{0}, int64_t{-1}, int64_t{-2}, INT64_MIN, int64_t{5}, INT64_MAX}) {
    EXPECT_FALSE(FindClientThread(gtid, kProc).ok()) << gtid;
  }
  TestClient client([](const TestClient::Line&) {});
  EXPECT_TRUE(client.End().ok());
  EXPECT_TRUE(absl::IsNotFound(FindClientThread(GtidOf(client.pid()), kProc).status()));
}

TEST(ClientThreadTest, InAPidNamespaceOfItsOwn) {
  TestClient client([](const TestClient::Line& line) {
    if (unshare(CLONE_NEWPID) != 0) {
      line.Say('n');
      return;
    }
    const pid_t inner = fork();
    if (inner == 0) {
      line.Hear();
      _exit(0);
    }
    line.Say('y');
    (void)!write(line.out.get(), &inner, sizeof(inner));
    waitpid(inner, nullptr, 0);
  });
  if (client.line().Hear() != 'y') GTEST_SKIP() << "no right to make a pid namespace";
  pid_t inner = 0;
  ASSERT_EQ(read(client.line().in.get(), &inner, sizeof(inner)), static_cast<ssize_t>(sizeof(inner)));
  const absl::StatusOr<ClientThread> thread = FindClientThread(GtidOf(inner), kProc);
  ASSERT_TRUE(thread.ok()) << thread.status();
  EXPECT_EQ(thread->tid, inner);
  EXPECT_EQ(thread->own_tid, 1);
  EXPECT_TRUE(client.End().ok());
}

// A procfs as it may be: names with parentheses and newlines, a kernel of the ghost kind.
class FakeProcfsTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = std::filesystem::path(procfs_) / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string Stat(const std::string& name, int start) {
    std::string text = absl::StrCat("77 (", name, ") S");
    for (int field = 4; field < 22; ++field) absl::StrAppend(&text, " ", field);
    return absl::StrCat(text, " ", start, " 23 24\n");
  }

  const std::string procfs_ = absl::StrCat(testing::TempDir(), "/procfs");
};

TEST_F(FakeProcfsTest, AProgramMayHaveAnyName) {
  Write("77/status", "Name:\tx) R\nTgid:\t77\nNSpid:\t77\t5\t3\nSeccomp:\t0\n");
  Write("77/stat", Stat("x) R 1 2", 4711));
  const absl::StatusOr<ClientThread> thread = FindClientThread(GtidOf(77), procfs_);
  ASSERT_TRUE(thread.ok()) << thread.status();
  EXPECT_EQ(thread->own_tid, 3);
  EXPECT_EQ(thread->process.start, 4711u);
}

TEST_F(FakeProcfsTest, AGhostKernelSaysWhetherItIsAnother) {
  Write("77/status", "Tgid:\t77\n");
  Write("77/stat", Stat("x", 1));
  Write("77/ghost/gtid", absl::StrCat(GtidOf(77, 4), "\n"));
  EXPECT_TRUE(FindClientThread(GtidOf(77, 4), procfs_).ok());
  EXPECT_TRUE(absl::IsNotFound(FindClientThread(GtidOf(77, 3), procfs_).status()));
}

TEST_F(FakeProcfsTest, FilesThatSayNothing) {
  Write("77/status", "Tgid:\tx\n");
  Write("77/stat", Stat("x", 1));
  EXPECT_FALSE(FindClientThread(GtidOf(77), procfs_).ok());
  Write("77/status", "Tgid:\t77\n");
  for (const char* stat :
       {"", "77 (x) S 1 2 3", "77 x", "77 (x) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 x"}) {
    Write("77/stat", stat);
    EXPECT_FALSE(FindClientThread(GtidOf(77), procfs_).ok()) << stat;
  }
}

}  // namespace
}  // namespace ghost
