#include "kernel/usermode/linux/guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/usermode/linux/fuse_mount.h"
#include "kernel/usermode/linux/proc.h"
#include "kernel/usermode/linux/region_store.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/time.h"

namespace ghost::usermode {
namespace {

constexpr int kThreads = 8;

CpuSet MaskOf(Tid tid) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  sched_getaffinity(tid, sizeof(mask), &mask);
  return CpuSet::FromCpuSetT(mask);
}

void Pin(Tid tid, int cpu) {
  const cpu_set_t mask = CpuSet{cpu}.ToCpuSetT();
  sched_setaffinity(tid, sizeof(mask), &mask);
}

SavedTask Saved(Tid tid) {
  return {.tid = tid, .start_time = ReadThreadStat(tid).value().start_time, .affinity = MaskOf(tid)};
}

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
  void Put(int number) { EXPECT_EQ(write(write_end.get(), &number, sizeof(number)), ssize_t{sizeof(number)}); }
  int Take() {
    int number = -1;
    EXPECT_EQ(read(read_end.get(), &number, sizeof(number)), ssize_t{sizeof(number)});
    return number;
  }
  ScopedFd read_end, write_end;
};

// A "client" process with threads, and a "ghostd" process that pins them and dies; this process watches.
class GuardianTest : public testing::Test {
 protected:
  void SetUp() override {
    mask_ = MaskOf(0);
    if (mask_.size() < 2) GTEST_SKIP() << "with one CPU, a pin cannot be told from no pin";
    auto client = ChildProcess::Fork([this] {
      guardian_alive_.write_end.reset();
      std::vector<std::thread> threads;
      for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([this] {
          from_client_.Put(static_cast<int>(syscall(SYS_gettid)));
          for (;;) pause();
        });
      }
      for (;;) pause();
      return 0;
    });
    ASSERT_TRUE(client.ok());
    client_ = std::make_unique<ChildProcess>(*std::move(client));
    for (int i = 0; i < kThreads; ++i) threads_.push_back(from_client_.Take());
  }

  // Starts a "ghostd" that runs `act` with a guardian and then waits to be killed. Returns its guardian's pid.
  pid_t StartGhostd(absl::FunctionRef<void(Guardian&)> act) {
    auto ghostd = ChildProcess::Fork([&] {
      // The pipe's end that only the guardian keeps: this test sees the guardian's end as its closing.
      auto guardian = Guardian::Start({.max_tasks = 64, .keep_fds = {guardian_alive_.write_end.get()}});
      if (!guardian.ok()) return 1;
      guardian_alive_.write_end.reset();
      act(**guardian);
      from_ghostd_.Put((*guardian)->pid());
      for (;;) pause();
      return 0;
    });
    EXPECT_TRUE(ghostd.ok());
    ghostd_ = std::make_unique<ChildProcess>(*std::move(ghostd));
    guardian_alive_.write_end.reset();
    return from_ghostd_.Take();
  }

  // Kills ghostd and waits until its guardian has gone, too. Returns how long that took.
  absl::Duration KillGhostd() {
    const Time killed = Time::Now();
    EXPECT_TRUE(SendSignal(ghostd_->pidfd(), SIGKILL).ok());
    WaitForGuardian();
    return Time::Now() - killed;
  }
  void WaitForGuardian() {
    pollfd end = {guardian_alive_.read_end.get(), POLLIN, 0};
    EXPECT_EQ(poll(&end, 1, 20'000), 1) << "the guardian does not end";
  }
  // As ghostd does it.
  void SaveAndPin(Guardian& guardian, Tid tid) {
    EXPECT_TRUE(guardian.Save(Saved(tid)));
    Pin(tid, mask_.First());
  }

  CpuSet mask_;
  Pipe from_client_, from_ghostd_, guardian_alive_;
  std::unique_ptr<ChildProcess> client_, ghostd_;
  std::vector<Tid> threads_;
};

TEST_F(GuardianTest, KillNineGivesEveryThreadItsOwnMaskBack) {
  CpuSet last = {mask_.Last()};
  Pin(threads_[0], mask_.Last());  // its own choice, and so to be kept
  StartGhostd([&](Guardian& guardian) {
    for (Tid tid : threads_) SaveAndPin(guardian, tid);
  });
  for (Tid tid : threads_) ASSERT_EQ(MaskOf(tid), CpuSet{mask_.First()});
  EXPECT_LT(KillGhostd(), absl::Milliseconds(200));
  EXPECT_EQ(MaskOf(threads_[0]), last);
  for (size_t i = 1; i < threads_.size(); ++i) EXPECT_EQ(MaskOf(threads_[i]), mask_);
}

TEST_F(GuardianTest, SurvivesTheSignalsThatEndAProgram) {
  const pid_t guardian = StartGhostd([&](Guardian& guardian) { SaveAndPin(guardian, threads_[0]); });
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ASSERT_EQ(kill(guardian, signal), 0);
  KillGhostd();
  EXPECT_EQ(MaskOf(threads_[0]), mask_);
}

TEST_F(GuardianTest, TheForgottenAndTheReusedStayAsTheyAre) {
  StartGhostd([&](Guardian& guardian) {
    for (int i : {0, 1, 2}) {
      SavedTask task = Saved(threads_[i]);
      task.affinity = {mask_.Last()};
      if (i == 1) task.start_time -= 1;  // as if the tid had been another thread's
      guardian.Save(task);
    }
    guardian.Forget(threads_[0]);
    guardian.Forget(threads_[0]);
  });
  KillGhostd();
  EXPECT_EQ(MaskOf(threads_[0]), mask_);
  EXPECT_EQ(MaskOf(threads_[1]), mask_);
  EXPECT_EQ(MaskOf(threads_[2]), CpuSet{mask_.Last()});
}

TEST_F(GuardianTest, SavingAgainReplaces) {
  StartGhostd([&](Guardian& guardian) {
    SaveAndPin(guardian, threads_[0]);
    SavedTask changed = Saved(threads_[0]);
    changed.affinity = {mask_.Last()};  // the thread has asked for this meanwhile
    guardian.Save(changed);
  });
  KillGhostd();
  EXPECT_EQ(MaskOf(threads_[0]), CpuSet{mask_.Last()});
}

TEST_F(GuardianTest, AFullTableSaysSoAndReusesSlots) {
  bool first = false, second = false, third = false;
  auto guardian = Guardian::Start({.max_tasks = 1, .keep_fds = {}});
  ASSERT_TRUE(guardian.ok());
  first = (*guardian)->Save(Saved(threads_[0]));
  second = (*guardian)->Save(Saved(threads_[1]));
  (*guardian)->Forget(threads_[0]);
  third = (*guardian)->Save(Saved(threads_[1]));
  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  EXPECT_TRUE(third);
}

TEST_F(GuardianTest, ThreadsBornWhileGhostdDied) {
  // A process of its own with one saved thread, and one that ghostd never heard of.
  Pipe pipe;
  auto young = ChildProcess::Fork([&] {
    guardian_alive_.write_end.reset();
    pipe.Put(0);
    char byte;
    if (read(from_client_.read_end.get(), &byte, 1) != 1) return 1;
    std::thread newborn([&] {
      pipe.Put(static_cast<int>(syscall(SYS_gettid)));
      for (;;) pause();
    });
    for (;;) pause();
    return 0;
  });
  ASSERT_TRUE(young.ok());
  pipe.Take();
  StartGhostd([&](Guardian& guardian) { SaveAndPin(guardian, young->pid()); });
  ASSERT_EQ(write(from_client_.write_end.get(), "x", 1), 1);
  const Tid newborn = pipe.Take();
  ASSERT_EQ(MaskOf(newborn), CpuSet{mask_.First()});
  KillGhostd();
  EXPECT_EQ(MaskOf(young->pid()), mask_);
  EXPECT_EQ(MaskOf(newborn), mask_);
}

TEST_F(GuardianTest, NicePolicyAndStopAreUndoneWhereGhostdDidThem) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to raise priorities";
  StartGhostd([&](Guardian& guardian) {
    SavedTask task = Saved(threads_[0]);
    task.restore_nice = task.restore_policy = true;
    task.nice = 3;
    task.policy = SCHED_BATCH;
    guardian.Save(task);
    const sched_param fifo = {.sched_priority = 1};
    sched_setscheduler(threads_[0], SCHED_FIFO, &fifo);
    SavedTask stopped = Saved(client_->pid());
    stopped.send_cont = true;
    guardian.Save(stopped);
    kill(client_->pid(), SIGSTOP);
  });
  int status;
  ASSERT_EQ(waitpid(client_->pid(), &status, WUNTRACED), client_->pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  KillGhostd();
  ASSERT_EQ(waitpid(client_->pid(), &status, WCONTINUED), client_->pid());
  EXPECT_TRUE(WIFCONTINUED(status));
  EXPECT_EQ(sched_getscheduler(threads_[0]), SCHED_BATCH);
  EXPECT_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(threads_[0])), 3);
}

TEST_F(GuardianTest, ACleanEndLeavesNoGuardian) {
  pid_t pid;
  {
    auto guardian = Guardian::Start({.max_tasks = 8, .keep_fds = {guardian_alive_.write_end.get()}});
    ASSERT_TRUE(guardian.ok());
    pid = (*guardian)->pid();
    ASSERT_EQ(kill(pid, 0), 0);
    (*guardian)->Save(Saved(threads_[0]));
    (*guardian)->Forget(threads_[0]);
    Pin(threads_[0], mask_.First());
  }
  EXPECT_EQ(kill(pid, 0), -1);
  guardian_alive_.write_end.reset();
  WaitForGuardian();
  EXPECT_EQ(MaskOf(threads_[0]), CpuSet{mask_.First()});
}

TEST_F(GuardianTest, TheMountAndTheMemoryGo) {
  if (geteuid() != 0 || access("/dev/fuse", F_OK) != 0) GTEST_SKIP() << "needs root and /dev/fuse";
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(mount("tmpfs", "/mnt", "tmpfs", 0, nullptr), 0);
  const std::string path = "/mnt/ghost";
  Pipe memory;
  StartGhostd([&](Guardian& guardian) {
    auto store = RegionStore::Create();
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE((*store)->Allocate("a", 4096).has_value());
    guardian.SetSharedMemory((*store)->directory());
    guardian.SetMount(path, /*remove_mount_directory=*/true);
    auto mount = FuseMount::Create(path);
    ASSERT_TRUE(mount.ok()) << mount.status();
    memory.Put(static_cast<int>((*store)->directory().size()));
    ASSERT_GT(write(memory.write_end.get(), (*store)->directory().data(), (*store)->directory().size()), 0);
    // Both must outlive `act`: as when ghostd is killed at work.
    new FuseMount(*std::move(mount));
    (*store).release();
  });
  std::string memory_directory(static_cast<size_t>(memory.Take()), '\0');
  ASSERT_GT(read(memory.read_end.get(), memory_directory.data(), memory_directory.size()), 0);
  ASSERT_EQ(access(memory_directory.c_str(), F_OK), 0);
  KillGhostd();
  EXPECT_NE(access(memory_directory.c_str(), F_OK), 0);
  EXPECT_FALSE(IsDeadMount(path));
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  EXPECT_EQ(umount("/mnt"), 0);
}

}  // namespace
}  // namespace ghost::usermode
