#include "kernel/usermode/linux/request_caller.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/process.h"

namespace ghost::usermode {
namespace {

// What the other process shows; it has the same addresses as we do, and other contents.
char shown[64] = "ours";

// A child that has prepared itself and waits to be killed.
class RequestCallerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto store = RegionStore::Create();
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    region_ = store_->Allocate("queue", 4096).value();
  }

  // `prepare` runs in the child and returns a number to be handed to the test.
  int Start(absl::FunctionRef<int()> prepare) {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    auto child = ChildProcess::Fork([&] {
      const int number = prepare();
      if (write(fds[1], &number, sizeof(number)) != sizeof(number)) return 1;
      for (;;) pause();
    });
    EXPECT_TRUE(child.ok());
    child_ = std::make_unique<ChildProcess>(*std::move(child));
    int number = -1;
    EXPECT_EQ(read(fds[0], &number, sizeof(number)), static_cast<ssize_t>(sizeof(number)));
    close(fds[0]);
    close(fds[1]);
    return number;
  }
  RequestCaller Caller() { return RequestCaller(child_->pid(), 12, 34, store_.get()); }

  std::unique_ptr<RegionStore> store_;
  Region region_;
  std::unique_ptr<ChildProcess> child_;
};

TEST_F(RequestCallerTest, SaysWhatTheRequestSays) {
  Start([] { return 0; });
  EXPECT_EQ(Caller().tid(), child_->pid());
  EXPECT_EQ(Caller().uid(), 12u);
  EXPECT_EQ(Caller().gid(), 34u);
}

TEST_F(RequestCallerTest, AThreadsProcess) {
  std::thread([&] {
    const auto tid = static_cast<Tid>(syscall(SYS_gettid));
    EXPECT_NE(tid, getpid());
    EXPECT_EQ(RequestCaller(tid, 0, 0, store_.get()).tgid(), getpid());
  }).join();
}

TEST_F(RequestCallerTest, ReadsAndWritesItsMemory) {
  Start([] {
    strcpy(shown, "theirs");
    return 0;
  });
  char text[7];
  RequestCaller caller = Caller();
  const auto address = reinterpret_cast<uint64_t>(&shown);
  EXPECT_TRUE(caller.ReadMemory(address, std::as_writable_bytes(std::span(text))));
  EXPECT_STREQ(text, "theirs");
  EXPECT_STREQ(shown, "ours");
  const char change[] = "changed";
  EXPECT_TRUE(caller.WriteMemory(address, std::as_bytes(std::span(change))));
  EXPECT_TRUE(caller.ReadMemory(address, std::as_writable_bytes(std::span(text, 7))));
  EXPECT_EQ(memcmp(text, "changed", 7), 0);
  // Not mapped at all; mapped in its first half only.
  EXPECT_FALSE(caller.ReadMemory(8, std::as_writable_bytes(std::span(text))));
  EXPECT_FALSE(caller.WriteMemory(8, std::as_bytes(std::span(text))));
}

TEST_F(RequestCallerTest, HalfMappedMemoryIsAFault) {
  // Mapped here and, by fork, there.
  auto* page = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_EQ(munmap(page + 4096, 4096), 0);
  Start([] { return 0; });
  char text[16];
  EXPECT_FALSE(Caller().ReadMemory(reinterpret_cast<uint64_t>(page) + 4090, std::as_writable_bytes(std::span(text))));
  munmap(page, 4096);
}

TEST_F(RequestCallerTest, ThePinnedCpu) {
  Start([] {
    cpu_set_t mask;
    sched_getaffinity(0, sizeof(mask), &mask);
    CPU_ZERO(&mask);
    CPU_SET(0, &mask);
    return sched_setaffinity(0, sizeof(mask), &mask);
  });
  EXPECT_EQ(Caller().Cpu(), 0);
  cpu_set_t mask;
  sched_getaffinity(0, sizeof(mask), &mask);
  if (CPU_COUNT(&mask) == 1) GTEST_SKIP() << "this process may use one CPU only";
  EXPECT_EQ(RequestCaller(getpid(), 0, 0, store_.get()).Cpu(), -1);
}

TEST_F(RequestCallerTest, WhatADescriptorIs) {
  const std::string path = store_->Path(region_.id);
  const int fd = Start([&path] { return open(path.c_str(), O_RDWR | O_CLOEXEC); });
  EXPECT_EQ(Caller().RegionOfFd(fd), region_.id);
  EXPECT_EQ(Caller().RegionOfFd(0), 0u);
  EXPECT_EQ(Caller().RegionOfFd(-1), std::nullopt);
  EXPECT_EQ(Caller().RegionOfFd(999), std::nullopt);
  store_->Free(region_.id);
  EXPECT_EQ(Caller().RegionOfFd(fd), 0u);
}

TEST_F(RequestCallerTest, SetsItsTimer) {
  const int timer = Start([] { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); });
  itimerspec value = {}, old = {};
  value.it_value.tv_sec = 1000;
  EXPECT_EQ(Caller().TimerfdSettime(timer, 0, value, &old), 0);
  EXPECT_EQ(old.it_value.tv_sec, 0);
  EXPECT_EQ(Caller().TimerfdSettime(timer, 0, value, &old), 0);
  EXPECT_GE(old.it_value.tv_sec, 900);
  EXPECT_EQ(Caller().TimerfdSettime(999, 0, value, &old), -EBADF);
  EXPECT_EQ(Caller().TimerfdSettime(0, 0, value, &old), -EINVAL);
  value.it_value.tv_nsec = -1;
  EXPECT_EQ(Caller().TimerfdSettime(timer, 0, value, &old), -EINVAL);
}

TEST_F(RequestCallerTest, TheRightToSchedule) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to have the right and to give it up";
  Start([] { return 0; });
  EXPECT_TRUE(Caller().HasCapSysNice());
  Start([] { return setuid(65534); });
  EXPECT_FALSE(Caller().HasCapSysNice());
  // All capabilities, but of a user namespace of its own: they don't count here.
  ASSERT_EQ(Start([] { return unshare(CLONE_NEWUSER); }), 0);
  EXPECT_FALSE(Caller().HasCapSysNice());
}

TEST_F(RequestCallerTest, AnUnprivilegedGhostdsOwnUserNeedsNoRight) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  Start([] { return setuid(65534); });
  const Tid tid = child_->pid();
  EXPECT_TRUE(RequestCaller(tid, 65534, 65534, store_.get(), 65534).HasCapSysNice());
  EXPECT_FALSE(RequestCaller(tid, 65533, 65534, store_.get(), 65534).HasCapSysNice());
  EXPECT_EQ(RequestCaller::UnprivilegedOwner(), -1);  // root has it
  EXPECT_EQ(Start([] { return setuid(65534) == 0 ? static_cast<int>(RequestCaller::UnprivilegedOwner()) : -2; }),
            65534);
}

TEST_F(RequestCallerTest, NothingIsKnownOfTheGoneAndOfOtherPidNamespaces) {
  Start([] { return 0; });
  const Tid gone = child_->pid();
  child_.reset();
  for (Tid tid : {gone, 0}) {
    RequestCaller caller(tid, 0, 0, store_.get());
    char byte;
    itimerspec value = {};
    EXPECT_EQ(caller.tgid(), 0);
    EXPECT_FALSE(caller.HasCapSysNice());
    EXPECT_EQ(caller.Cpu(), -1);
    EXPECT_FALSE(caller.ReadMemory(reinterpret_cast<uint64_t>(&byte), std::as_writable_bytes(std::span(&byte, 1))));
    EXPECT_FALSE(caller.WriteMemory(reinterpret_cast<uint64_t>(&byte), std::as_bytes(std::span(&byte, 1))));
    EXPECT_EQ(caller.RegionOfFd(0), std::nullopt);
    EXPECT_EQ(caller.TimerfdSettime(0, 0, value, &value), -EBADF);
  }
}

}  // namespace
}  // namespace ghost::usermode
