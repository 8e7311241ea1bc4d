// The ioctls and their errno. Most cases are a recording of a real ABI-69 kernel: 4 CPUs, CPUs 0-1 in the enclave.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/timerfd.h>

#include <cstring>

#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/core/dialect.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kQueue = 5;       // the enclave's queue q1
constexpr int kOtherQueue = 6;  // a queue of enclave 2
constexpr int kNoQueue = 0;     // another file
constexpr int kTimerfd = 8;
constexpr int kClosed = 99;

class IoctlTest : public ::testing::Test {
 protected:
  IoctlTest() : caller_(50, 50) {
    harness_.MakeEnclave(1, "0-1", 69);
    harness_.Write("ctl", "create 2 69");
    queue_.emplace(&harness_, 1, &caller_, kQueue);
    TestQueue(&harness_, 2, &caller_, kOtherQueue);
    caller_.fds[kNoQueue] = 0;
    caller_.fds[kTimerfd] = 0;
    caller_.cpu = 2;
    cfs_gtid_ = harness_.GtidOf(50);
  }

  template <typename Argument>
  int64_t Do(unsigned long command, Argument argument) {
    return harness_.Ioctl(1, command, &argument, caller_);
  }
  int64_t CreateQueue(int elems, int node, int flags) {
    return Do(GHOST_IOC_CREATE_QUEUE, ghost_ioc_create_queue{elems, node, flags, 0, 0});
  }
  int64_t SetDefault(int fd) { return Do(GHOST_IOC_SET_DEFAULT_QUEUE, ghost_ioc_set_default_queue{fd}); }
  int64_t Associate(int fd, uint32_t type, int64_t gtid, uint32_t barrier, int flags) {
    return Do(GHOST_IOC_ASSOC_QUEUE,
              ghost_ioc_assoc_queue{fd, 0, {type, 0, static_cast<uint64_t>(gtid)}, barrier, flags});
  }
  int64_t Wakeup(int fd, int ninfo, int cpu, int prio, int flags) {
    ghost_agent_wakeup wakeups[2] = {{cpu, prio}, {cpu, prio}};
    return Do(GHOST_IOC_CONFIG_QUEUE_WAKEUP,
              ghost_ioc_config_queue_wakeup{fd, 0, reinterpret_cast<uint64_t>(wakeups), ninfo, flags});
  }
  int64_t GetInfo(uint32_t type, int64_t arg) {
    return Do(GHOST_IOC_SW_GET_INFO, ghost_ioc_sw_get_info{{type, 0, static_cast<uint64_t>(arg)}, {}});
  }
  int64_t FreeWord(uint32_t id, uint32_t index) { return Do(GHOST_IOC_SW_FREE, ghost_sw_info{id, index}); }
  int64_t CpuTime(int64_t gtid) { return Do(GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{gtid, 0}); }
  int64_t Run(int64_t gtid, uint32_t barrier, int cpu, int flags) {
    return Do(GHOST_IOC_RUN, ghost_ioc_run{gtid, barrier, 0, cpu, flags});
  }
  int64_t Settime(int fd, int cpu, int flags, int timer_flags = 0, itimerspec value = {{0, 0}, {0, 5'000'000}}) {
    return Do(GHOST_IOC_TIMERFD_SETTIME,
              ghost_ioc_timerfd_settime{fd, timer_flags, reinterpret_cast<uint64_t>(&value), 0, {cpu, flags, 7, 99}});
  }

  Harness harness_;
  FakeCaller caller_;
  std::optional<TestQueue> queue_;
  int64_t cfs_gtid_ = 0;
};

TEST_F(IoctlTest, WhichFileAndHow) {
  EXPECT_EQ(Do(GHOST_IOC_NULL, 0), 0);
  EXPECT_EQ(Do(_IO('g', 99), 0), -ENOTTY);
  EXPECT_EQ(Do(_IO('h', 0), 0), -ENOTTY);
  const auto read_only = static_cast<uint64_t>(harness_.Open("enclave_1/ctl", O_RDONLY));
  EXPECT_EQ(harness_.core.Ioctl(read_only, GHOST_IOC_NULL, {}, caller_, 1).result, -EACCES);
  const auto tasks = static_cast<uint64_t>(harness_.Open("enclave_1/tasks", O_RDWR));
  EXPECT_EQ(harness_.core.Ioctl(tasks, GHOST_IOC_NULL, {}, caller_, 1).result, -ENOTTY);
  EXPECT_EQ(harness_.core.Ioctl(4711, GHOST_IOC_NULL, {}, caller_, 1).result, -EBADF);
}

TEST_F(IoctlTest, ShortArguments) {
  for (unsigned long command :
       {GHOST_IOC_SW_GET_INFO, GHOST_IOC_SW_FREE, GHOST_IOC_CREATE_QUEUE, GHOST_IOC_ASSOC_QUEUE,
        GHOST_IOC_SET_DEFAULT_QUEUE, GHOST_IOC_CONFIG_QUEUE_WAKEUP, GHOST_IOC_GET_CPU_TIME, GHOST_IOC_COMMIT_TXN,
        GHOST_IOC_SYNC_GROUP_TXN, GHOST_IOC_TIMERFD_SETTIME, GHOST_IOC_RUN, GHOSTD_IOC_TASK_AFFINITY}) {
    std::byte byte[1] = {};
    EXPECT_EQ(harness_.IoctlBytes(1, command, std::span(byte).first(0), caller_, 1, nullptr), -EFAULT) << command;
  }
}

TEST_F(IoctlTest, CreateQueue) {
  EXPECT_EQ(CreateQueue(0, 0, 0), -EINVAL);
  EXPECT_EQ(CreateQueue(3, 0, 0), -EINVAL);
  EXPECT_EQ(CreateQueue(-4, 0, 0), -EINVAL);
  EXPECT_EQ(CreateQueue(131072, 0, 0), -EINVAL);
  EXPECT_EQ(CreateQueue(64, 1, 0), -EINVAL);
  EXPECT_EQ(CreateQueue(64, -1, 0), -EINVAL);
  EXPECT_EQ(CreateQueue(64, 0, 1), -EINVAL);
  EXPECT_EQ(CreateQueue(65536, 0, 0), 3);
  EXPECT_EQ(CreateQueue(64, 0, 0), 4);
  EXPECT_GT(harness_.Node("enclave_1/queue_4"), 0);
  harness_.driver.regions_left = 0;
  EXPECT_EQ(CreateQueue(64, 0, 0), -ENOMEM);
}

TEST_F(IoctlTest, SetDefaultQueue) {
  EXPECT_EQ(SetDefault(kNoQueue), -EBADF);
  EXPECT_EQ(SetDefault(77), -EBADF);
  EXPECT_EQ(SetDefault(kOtherQueue), -EINVAL);
  EXPECT_EQ(SetDefault(kQueue), 0);
}

TEST_F(IoctlTest, AssociateErrors) {
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, cfs_gtid_, 0, 0), -ENOENT);
  EXPECT_EQ(Associate(kQueue, GHOST_AGENT, 0, 0, 0), -EINVAL);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, cfs_gtid_, 0, 1), -EINVAL);
  EXPECT_EQ(Associate(kNoQueue, GHOST_TASK, cfs_gtid_, 0, 0), -EBADF);
  EXPECT_EQ(Associate(kClosed, GHOST_TASK, cfs_gtid_, 0, 0), -EBADF);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, -1, 0, 0), -ENOENT);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, 0, 0, 0), -ENOENT);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, cfs_gtid_ + 1, 0, 0), -ENOENT);
}

TEST_F(IoctlTest, AssociateResults) {
  ASSERT_EQ(SetDefault(kQueue), 0);
  harness_.Write("enclave_1/tasks", "100");
  const int64_t gtid = harness_.GtidOf(100);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, gtid, 0, 0), GHOST_ASSOC_SF_ALREADY | GHOST_ASSOC_SF_BRAND_NEW);
  harness_.core.OnTaskGated(gtid);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, gtid, 1, 0), GHOST_ASSOC_SF_ALREADY);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, gtid, 0, 0), -ESTALE);
  EXPECT_EQ(Associate(kOtherQueue, GHOST_TASK, gtid, 1, 0), 0) << "of another enclave: not checked";
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, gtid, 1, 0), 0);
  // A task that was in ghost before, and whose old word has not been freed.
  harness_.core.OnTaskDeparted(gtid);
  ASSERT_EQ(harness_.Enter(1, 100), gtid);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, gtid, 1, 0), GHOST_ASSOC_SF_ALREADY | GHOST_ASSOC_SF_BRAND_NEW);
}

TEST_F(IoctlTest, AssociateAnAgent) {
  TestAgent agent(&harness_, 1, 0, 7, 69);
  agent.caller.fds = caller_.fds;
  ghost_ioc_assoc_queue assoc = {kQueue, 0, {GHOST_TASK, 0, 0}, 1, 0};
  EXPECT_EQ(harness_.Ioctl(1, GHOST_IOC_ASSOC_QUEUE, &assoc, agent.caller), 0) << "0: the caller itself";
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, harness_.GtidOf(7), 1, 0), GHOST_ASSOC_SF_ALREADY);
  EXPECT_EQ(Associate(kQueue, GHOST_TASK, harness_.GtidOf(7), 2, 0), -ESTALE);
}

TEST_F(IoctlTest, ConfigQueueWakeup) {
  EXPECT_EQ(Wakeup(kQueue, 3, 0, 0, 0), -EINVAL);
  EXPECT_EQ(Wakeup(kQueue, -1, 0, 0, 0), -EINVAL);
  EXPECT_EQ(Wakeup(kQueue, 1, 0, 1, 0), -EINVAL);
  EXPECT_EQ(Wakeup(kQueue, 1, 99, 0, 0), -EINVAL);
  EXPECT_EQ(Wakeup(kQueue, 1, -1, 0, 0), -EINVAL);
  EXPECT_EQ(Wakeup(kQueue, 1, 0, 0, 1), -EINVAL);
  EXPECT_EQ(Wakeup(kNoQueue, 1, 0, 0, 0), -EBADF);
  EXPECT_EQ(Wakeup(kClosed, 1, 0, 0, 0), -EBADF);
  EXPECT_EQ(Wakeup(kQueue, 0, 0, 0, 0), 0);
  EXPECT_EQ(Wakeup(kQueue, 1, 3, 0, 0), 0) << "a CPU outside the enclave: not checked";
  EXPECT_EQ(Do(GHOST_IOC_CONFIG_QUEUE_WAKEUP, ghost_ioc_config_queue_wakeup{kQueue, 0, FakeCaller::kBadAddress, 1, 0}),
            -EFAULT);
}

TEST_F(IoctlTest, StatusWordInfoAndFree) {
  EXPECT_EQ(GetInfo(GHOST_AGENT, 0), -EINVAL);
  EXPECT_EQ(GetInfo(GHOST_AGENT, 2), -ENODEV);
  EXPECT_EQ(GetInfo(GHOST_AGENT, -1), -EINVAL);
  EXPECT_EQ(GetInfo(GHOST_AGENT, 4), -EINVAL);
  EXPECT_EQ(GetInfo(GHOST_TASK, cfs_gtid_), -ENOENT);
  EXPECT_EQ(GetInfo(GHOST_TASK, 12345), -ENOENT);
  EXPECT_EQ(GetInfo(7, 0), -EINVAL);
  EXPECT_EQ(FreeWord(9, 0), -ENOENT);
  EXPECT_EQ(FreeWord(0, 70000), -ENOENT);
  EXPECT_EQ(FreeWord(0, 0), -EINVAL);
  TestAgent agent(&harness_, 1, 0, 7, 69);
  EXPECT_EQ(GetInfo(GHOST_AGENT, 0), 0);
  ghost_ioc_sw_get_info own = {.request = {.type = GHOST_TASK, .pad = 0, .arg = 0}, .response = {.id = 9, .index = 9}};
  EXPECT_EQ(harness_.Ioctl(1, GHOST_IOC_SW_GET_INFO, &own, agent.caller), 0) << "gtid 0 is the caller";
  EXPECT_EQ(own.response.index, 0u);
  EXPECT_EQ(FreeWord(0, 0), -EINVAL) << "in use";
  harness_.Write("enclave_2/ctl", "create sw_region 0 0");
  const int64_t elsewhere = harness_.Enter(2, 100);
  EXPECT_EQ(GetInfo(GHOST_TASK, elsewhere), -ENOENT) << "in another enclave's region";
}

TEST_F(IoctlTest, CpuTime) {
  EXPECT_EQ(CpuTime(cfs_gtid_), 0);
  EXPECT_EQ(CpuTime(0), 0);
  EXPECT_EQ(CpuTime(-1), -ESRCH);
  EXPECT_EQ(CpuTime(77), -ESRCH);
  const int64_t gtid = harness_.Enter(1, 100);
  harness_.driver.runtime_ns[gtid] = 4711;
  ghost_ioc_get_cpu_time get = {gtid, 0};
  EXPECT_EQ(harness_.Ioctl(1, GHOST_IOC_GET_CPU_TIME, &get, caller_), 0);
  EXPECT_EQ(get.runtime, 4711u);
  harness_.driver.ended = {50};
  EXPECT_EQ(CpuTime(cfs_gtid_), -ESRCH);
}

TEST_F(IoctlTest, TimerfdErrors) {
  EXPECT_EQ(Settime(kTimerfd, 0, 1), -EINVAL) << "no agent";
  EXPECT_EQ(Settime(kTimerfd, 0, 2), -EINVAL);
  EXPECT_EQ(Settime(kTimerfd, 99, 1), -EINVAL);
  EXPECT_EQ(Settime(kTimerfd, 99, 0), 0);
  EXPECT_EQ(Settime(kClosed, 0, 0), -EBADF);
  caller_.timerfd_error = -EINVAL;
  EXPECT_EQ(Settime(kNoQueue, 0, 0), -EINVAL);
  TestAgent agent(&harness_, 1, 0, 7, 69);
  EXPECT_EQ(Settime(kTimerfd, 0, 1), -EINVAL) << "an agent of another process";
  EXPECT_EQ(
      Do(GHOST_IOC_TIMERFD_SETTIME, ghost_ioc_timerfd_settime{kTimerfd, 0, FakeCaller::kBadAddress, 0, {0, 0, 0, 0}}),
      -EFAULT);
}

TEST_F(IoctlTest, TimerfdExpiry) {
  TestAgent agent(&harness_, 1, 0, 7, 69, /*tgid=*/50);
  agent.Yield();
  ASSERT_EQ(agent.Yield(), 0);
  ASSERT_EQ(Settime(kTimerfd, 0, 1, 0, {{0, 1'000'000}, {0, 5'000'000}}), 0);
  ASSERT_EQ(harness_.driver.timers.size(), 1u);
  auto [id, when] = *harness_.driver.timers.begin();
  EXPECT_EQ(when, harness_.driver.now_ns + 5'000'000);
  harness_.driver.now_ns = when + 2'500'000;  // two intervals late
  harness_.core.OnTimer(id);
  EXPECT_FALSE(agent.parked());
  EXPECT_THAT(agent.Drain(), ElementsAre("CPU_TIMER_EXPIRED 0 seq=2 type=7 cookie=99"));
  EXPECT_EQ(harness_.driver.timers[id], when + 3'000'000);
  // Its owner is gone: the last one.
  harness_.core.OnAgentExited(7);
  harness_.driver.ended = {50};
  harness_.driver.timers.clear();
  harness_.core.OnTimer(id);
  EXPECT_THAT(harness_.driver.timers, IsEmpty());
}

TEST_F(IoctlTest, TimerfdOnceAndOff) {
  TestAgent agent(&harness_, 1, 0, 7, 69, /*tgid=*/50);
  // Absolute, once.
  ASSERT_EQ(Settime(kTimerfd, 0, 1, TFD_TIMER_ABSTIME, {{0, 0}, {1, 0}}), 0);
  ASSERT_EQ(harness_.driver.timers.size(), 1u);
  const auto [id, when] = *harness_.driver.timers.begin();
  EXPECT_EQ(when, 1'000'000'000);
  harness_.driver.timers.clear();
  harness_.core.OnTimer(id);
  EXPECT_THAT(agent.Drain(), ElementsAre("CPU_TIMER_EXPIRED 0 seq=2 type=7 cookie=99"));
  EXPECT_THAT(harness_.driver.timers, IsEmpty());
  // The ghost half off, and disarmed altogether.
  ASSERT_EQ(Settime(kTimerfd, 0, 1), 0);
  ASSERT_EQ(Settime(kTimerfd, 0, 0), 0);
  EXPECT_THAT(harness_.driver.timers, IsEmpty());
  ASSERT_EQ(Settime(kTimerfd, 0, 1), 0);
  ASSERT_EQ(Settime(kTimerfd, 0, 1, 0, {}), 0);
  EXPECT_THAT(harness_.driver.timers, IsEmpty());
}

TEST_F(IoctlTest, RunWithoutAgents) {
  EXPECT_EQ(Run(0, 0, 2, 0), -EINVAL);
  EXPECT_EQ(Run(-1, 0, 0, 0), -EINVAL);
  caller_.cap_sys_nice = false;
  EXPECT_EQ(Run(-1, 0, 0, 0), -EPERM);
}

TEST_F(IoctlTest, RunAsAnAgent) {
  TestAgent agent(&harness_, 1, 0, 7, 69);
  auto run = [&](int64_t gtid, uint32_t barrier, int cpu, int flags) {
    ghost_ioc_run argument = {gtid, barrier, 0, cpu, flags};
    return harness_.Ioctl(1, GHOST_IOC_RUN, &argument, agent.caller);
  };
  EXPECT_EQ(run(0, 99, 0, 0), -ESTALE);
  EXPECT_EQ(run(0, 1, 1, 0), -EINVAL) << "another CPU";
  EXPECT_EQ(run(-1, 0, 1, 0), -EINVAL) << "no agent";
  EXPECT_EQ(run(-1, 0, 0, RTLA_ON_IDLE), -EINVAL);
  EXPECT_EQ(run(5, 0, 0, 0), -EINVAL);
  EXPECT_EQ(run(0, 1, 0, RTLA_ON_YIELD), -EINVAL);
  EXPECT_EQ(run(0, 1, 99, 0), -EINVAL);
  const uint32_t barrier = agent.barrier();
  EXPECT_EQ(run(-1, 0, 0, 0), 0) << "a ping of itself";
  EXPECT_EQ(agent.barrier(), barrier + 2);
  EXPECT_EQ(Run(-1, 0, 0, 0), -EINVAL) << "of another process";
}

TEST_F(IoctlTest, CommitArguments) {
  auto commit = [&](uint64_t address, uint32_t size, int flags) {
    return Do(GHOST_IOC_COMMIT_TXN, ghost_ioc_commit_txn{address, size, flags});
  };
  std::byte mask[4096] = {};
  std::memset(mask, 0xff, sizeof(mask));
  const auto address = reinterpret_cast<uint64_t>(mask);
  EXPECT_EQ(commit(FakeCaller::kBadAddress, 8, 0), -EFAULT);
  EXPECT_EQ(commit(FakeCaller::kBadAddress, 8, 1), -EINVAL);
  EXPECT_EQ(commit(address, 1, 0), 0);
  EXPECT_EQ(commit(address, 0, 0), 0);
  EXPECT_EQ(commit(address, sizeof(mask), 0), 0) << "longer than any mask: cut";
}

TEST_F(IoctlTest, BecomeAgent) {
  constexpr const char* kCtl = "enclave_1/ctl";
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &caller_), -ENODEV) << "CPU 2 is not in the enclave";
  caller_.cpu = 0;
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &caller_), -ENXIO);
  ASSERT_EQ(SetDefault(kQueue), 0);
  caller_.cap_sys_nice = false;
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &caller_), -EPERM);
  caller_.cap_sys_nice = true;
  caller_.cpu = -1;
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &caller_), -EINVAL);
  caller_.cpu = 0;
  harness_.driver.attach_agent_error = -EIO;
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &caller_), -EIO);
  harness_.driver.attach_agent_error = 0;
  EXPECT_EQ(harness_.Write("enclave_2/ctl", "become agent -1", &caller_), -ENODEV);
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &caller_), 15);
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &caller_), -EPERM) << "an agent already";
  FakeCaller second(51, 50);
  second.cpu = 0;
  EXPECT_EQ(harness_.Write(kCtl, "become agent -1", &second), -EBUSY);
  EXPECT_EQ(harness_.Write("enclave_1/cpulist", "1"), -EEXIST);
  EXPECT_EQ(GetInfo(GHOST_AGENT, 0), 0);
  EXPECT_EQ(harness_.Word(1, {0, 1})->flags & ~GHOST_SW_CPU_AVAIL, GHOST_SW_F_INUSE | GHOST_SW_F_ALLOCATED |
                                                                       GHOST_SW_TASK_ONCPU | GHOST_SW_TASK_RUNNABLE |
                                                                       GHOST_SW_TASK_IS_AGENT);
  EXPECT_EQ(harness_.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 0\n");
}

TEST_F(IoctlTest, BecomeAgentNamesItsCpuFrom74On) {
  harness_.MakeEnclave(3, "3", 91);
  TestQueue queue(&harness_, 3, &caller_, 9);
  EXPECT_EQ(harness_.Write("enclave_3/ctl", "become agent 9", &caller_), -EINVAL);
  EXPECT_EQ(harness_.Write("enclave_3/ctl", "become agent 2 9", &caller_), -ENODEV);
  EXPECT_EQ(harness_.Write("enclave_3/ctl", "become agent 4 9", &caller_), -EINVAL);
  EXPECT_EQ(harness_.Write("enclave_3/ctl", "become agent 3 -1", &caller_), -ENXIO);
  EXPECT_EQ(harness_.Write("enclave_3/ctl", "become agent 3 9", &caller_), 16);
}

TEST_F(IoctlTest, TaskAffinity) {
  auto ask = [&](int64_t gtid, uint64_t* mask) {
    ghostd_ioc_task_affinity argument = {gtid, {}};
    const int64_t result = harness_.Ioctl(1, GHOSTD_IOC_TASK_AFFINITY, &argument, caller_);
    *mask = argument.mask[0];
    return result < 0 ? result : argument.gtid;
  };
  uint64_t mask = 0;
  const int64_t gtid = harness_.Enter(1, 100);
  EXPECT_EQ(ask(gtid, &mask), gtid);
  EXPECT_EQ(mask, 5u);
  EXPECT_EQ(ask(-100, &mask), gtid);
  EXPECT_EQ(mask, 5u);
  EXPECT_EQ(ask(-50, &mask), cfs_gtid_);
  EXPECT_EQ(mask, 0u) << "not a task";
  EXPECT_EQ(ask(0, &mask), -ESRCH);
  EXPECT_EQ(ask(INT64_MIN, &mask), -ESRCH);
  EXPECT_EQ(ask(cfs_gtid_, &mask), -ESRCH);
  harness_.driver.ended = {60};
  EXPECT_EQ(ask(-60, &mask), -ESRCH);
}

}  // namespace
}  // namespace ghost::usermode
