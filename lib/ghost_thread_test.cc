#include "lib/ghost_thread.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A directory with an enclave's files, as plain files: what is written to them stays.
class GhostThreadTest : public ::testing::Test {
 protected:
  GhostThreadTest() : root_(std::filesystem::path(::testing::TempDir()) / "ghostfs") {
    unsetenv("GHOST_ENCLAVE");
    std::filesystem::remove_all(root_);
    MakeEnclave("enclave_1", true, 0);
  }
  ~GhostThreadTest() override {
    unsetenv("GHOST_ENCLAVE");
    std::filesystem::remove_all(root_);
  }

  void MakeEnclave(const std::string& name, bool active, int tasks) {
    std::filesystem::create_directories(root_ / name);
    std::ofstream(root_ / name / "status")
        << "version 91\nactive " << (active ? "yes" : "no") << "\nnr_tasks " << tasks << "\n";
    std::ofstream(root_ / name / "tasks");
  }
  std::string enclave(const std::string& name = "enclave_1") const { return (root_ / name).string(); }

  const std::filesystem::path root_;
};

TEST_F(GhostThreadTest, GhostThreadsAreInTheEnclaveBeforeTheyRun) {
  std::string seen;
  pid_t tid = 0;
  auto thread = GhostThread::Start(GhostThread::Scheduler::kGhost, enclave(), [&] {
    tid = static_cast<pid_t>(syscall(SYS_gettid));
    seen = *ReadFile(enclave() + "/tasks");
  });
  ASSERT_TRUE(thread.ok()) << thread.status();
  EXPECT_TRUE((*thread)->Joinable());
  (*thread)->Join();
  EXPECT_FALSE((*thread)->Joinable());
  EXPECT_EQ((*thread)->tid(), tid);
  EXPECT_NE(tid, getpid());
  EXPECT_EQ(seen, absl::StrCat(tid));
}

TEST_F(GhostThreadTest, CfsThreadsAreNot) {
  std::atomic<bool> ran = false;
  auto thread = GhostThread::Start(GhostThread::Scheduler::kCfs, "/nowhere", [&] { ran = true; });
  ASSERT_TRUE(thread.ok()) << thread.status();
  thread->reset();  // joins
  EXPECT_TRUE(ran);
  EXPECT_EQ(*ReadFile(enclave() + "/tasks"), "");
}

TEST_F(GhostThreadTest, AThreadThatCannotEnterDoesNotRun) {
  std::atomic<bool> ran = false;
  auto thread = GhostThread::Start(GhostThread::Scheduler::kGhost, enclave("enclave_9"), [&] { ran = true; });
  EXPECT_EQ(thread.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(thread.status().message()), HasSubstr("enclave_9"));
  EXPECT_FALSE(ran);
}

TEST_F(GhostThreadTest, LeavingWhereThereIsNothingToLeave) {
  EXPECT_TRUE(LeaveGhost(0).ok());
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  EXPECT_EQ(LeaveGhost(1 << 22).code(), absl::StatusCode::kNotFound);
}

TEST_F(GhostThreadTest, ReadsTasksAndStatus) {
  std::ofstream(root_ / "enclave_1/tasks") << "12\n345\n";
  MakeEnclave("enclave_2", false, 1234);
  EXPECT_THAT(*ListTasks(enclave()), ElementsAre(12, 345));
  EXPECT_EQ(*NumTasks(enclave("enclave_2")), 1234);
  EXPECT_FALSE(ListTasks("/nowhere").ok());
  std::ofstream(root_ / "enclave_2/status") << "nonsense\n";
  EXPECT_EQ(NumTasks(enclave("enclave_2")).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(GhostThreadTest, ReadsCpus) {
  std::ofstream(root_ / "enclave_1/cpulist") << "0-2,5\n";
  EXPECT_EQ(*EnclaveCpus(enclave()), (CpuSet{0, 1, 2, 5}));
  EXPECT_FALSE(EnclaveCpus("/nowhere").ok());
  std::ofstream(root_ / "enclave_1/cpulist") << "nonsense\n";
  EXPECT_EQ(EnclaveCpus(enclave()).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(GhostThreadTest, TheEnclaveThatIsGiven) {
  EXPECT_EQ(*FindEnclave(enclave()), enclave());
  EXPECT_EQ(*FindEnclave(enclave() + "/"), enclave());
  setenv("GHOST_ENCLAVE", enclave().c_str(), 1);
  EXPECT_EQ(*FindEnclave(), enclave());
  MakeEnclave("enclave_2", true, 0);
  EXPECT_EQ(*FindEnclave(enclave("enclave_2")), enclave("enclave_2")) << "the argument comes first";
}

TEST_F(GhostThreadTest, WhatIsNoEnclave) {
  for (const std::string& path : {std::string("/nowhere/enclave_1"), std::string("/proc/self"), root_.string()}) {
    absl::StatusOr<std::string> found = FindEnclave(path);
    EXPECT_THAT(std::string(found.status().message()), HasSubstr(absl::StrCat(path, " is not an enclave")));
    EXPECT_EQ(ExitCodeOf(found.status()), ExitCode::kUsage);
    EXPECT_FALSE(HintOf(found.status()).empty());
  }
  setenv("GHOST_ENCLAVE", "/nowhere", 1);
  EXPECT_THAT(std::string(FindEnclave().status().message()), HasSubstr("(from $GHOST_ENCLAVE)"));
}

TEST_F(GhostThreadTest, NoKernel) {
  absl::StatusOr<std::string> found = FindEnclave("", root_.string());
  EXPECT_EQ(ExitCodeOf(found.status()), ExitCode::kNoKernel) << found.status();
}

}  // namespace
}  // namespace ghost
