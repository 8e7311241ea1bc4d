// Agents that do not keep to the protocol: what they commit, when, and whether they do anything at all.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/hostile/stage.h"

namespace ghost::hostile {
namespace {

constexpr int kTimes = 2000;

// The same task on both CPUs in one call, from a thread that is no agent, and by each agent for itself: never both.
void DoubleSchedule(Stage& stage) {
  const int first = stage.cpus().First();
  const int second = stage.cpus().Next(first);
  Require(second >= 0, "two CPUs are needed");
  int both = 0;
  for (int i = 0; i < kTimes; ++i) {
    const ghost_status_word* word = stage.NextRunnable();
    if (word == nullptr) continue;
    for (int cpu : {first, second}) stage.Open(cpu, static_cast<int64_t>(word->gtid), word->barrier);
    Require(stage.Commit(uint64_t{1} << first | uint64_t{1} << second) == 0, "COMMIT_TXN");
    both += stage.state(first) == GHOST_TXN_COMPLETE && stage.state(second) == GHOST_TXN_COMPLETE ? 1 : 0;
  }
  Require(both == 0, "one task was committed to two CPUs " + std::to_string(both) + " times");
}

// gtids that nobody has, in everything that takes one.
void ForgedGtids(Stage& stage) {
  Noise noise(2);
  for (int i = 0; i < kTimes; ++i) {
    const auto gtid = static_cast<int64_t>(i % 3 == 0 ? noise() : (noise() % 70000) << 41 | (noise() % 1000));
    const int cpu = stage.cpus().First();
    stage.Open(cpu, gtid, static_cast<uint32_t>(noise()));
    stage.Commit(uint64_t{1} << cpu);
    ghost_ioc_sw_get_info get = {.request = {.type = GHOST_TASK, .arg = static_cast<uint64_t>(gtid)}};
    Require(stage.Ioctl(GHOST_IOC_SW_GET_INFO, &get) == -ENOENT, "SW_GET_INFO of a forged gtid");
    ghost_ioc_get_cpu_time time = {.gtid = gtid};
    Require(stage.Ioctl(GHOST_IOC_GET_CPU_TIME, &time) == -ESRCH, "GET_CPU_TIME of a forged gtid");
    ghost_ioc_assoc_queue assoc = {.fd = stage.queue().fd,
                                   .src = {.type = GHOST_TASK, .arg = static_cast<uint64_t>(gtid)}};
    Require(stage.Ioctl(GHOST_IOC_ASSOC_QUEUE, &assoc) == -ENOENT, "ASSOC_QUEUE of a forged gtid");
  }
}

// gtids and barriers that were right a moment ago, over and over, from outside the agents.
void StaleBarriers(Stage& stage) {
  struct Seen {
    int64_t gtid;
    uint32_t barrier;
  };
  std::vector<Seen> seen;
  Noise noise(3);
  for (int i = 0; i < kTimes; ++i) {
    if (const ghost_status_word* word = stage.NextRunnable(); word != nullptr && seen.size() < 256) {
      seen.push_back({static_cast<int64_t>(word->gtid), word->barrier});
    }
    if (seen.empty()) continue;
    const Seen& old = seen[noise() % seen.size()];
    for (int cpu : stage.cpus()) stage.Open(cpu, old.gtid, old.barrier - static_cast<uint32_t>(noise() % 3));
    Require(stage.Commit(UINT64_MAX) == 0, "COMMIT_TXN");
  }
  stage.AwaitDecisions(100);
}

// The numbers of threads that have ended, whose tids others may have by now.
void RecycledGtids(Stage& stage) {
  std::vector<int64_t> gtids;
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) pause();
    const std::string text = std::to_string(child);
    Require(stage.enclave().WriteFile("tasks", text).ok(), "a child enters");
    auto gtid = stage.enclave().TaskGtid(child);
    Require(gtid.ok(), "its gtid");
    gtids.push_back(*gtid);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  for (int i = 0; i < kTimes; ++i) {
    const int cpu = stage.cpus().First();
    stage.Open(cpu, gtids[static_cast<size_t>(i) % gtids.size()], static_cast<uint32_t>(i % 5));
    stage.Commit(uint64_t{1} << cpu);
  }
}

// Every combination of flags, targets and CPUs.
void GarbageCommits(Stage& stage) {
  Noise noise(4);
  for (int i = 0; i < kTimes; ++i) {
    const ghost_status_word* word = stage.NextRunnable();
    for (int cpu : stage.cpus()) {
      const int64_t gtid = word != nullptr && noise() % 2 == 0 ? static_cast<int64_t>(word->gtid)
                                                               : static_cast<int64_t>(noise() % 5) - 3;
      stage.Open(cpu, gtid, word != nullptr ? word->barrier : 0, static_cast<uint8_t>(noise() % 32),
                 static_cast<uint16_t>(noise() & noise()));
    }
    const bool group = noise() % 2 == 0;
    Require(stage.Commit(noise(), group ? GHOST_IOC_SYNC_GROUP_TXN : GHOST_IOC_COMMIT_TXN) >= 0, "commit");
  }
}

void GarbageRuns(Stage& stage) {
  Noise noise(5);
  for (int i = 0; i < kTimes; ++i) {
    const int cpu = static_cast<int>(noise() % 2 == 0 ? noise() : noise() % 4);
    const auto gtid = static_cast<int64_t>(noise() % 2 == 0 ? noise() : noise() % 5 - 2);
    const int result = stage.Run(cpu, gtid, static_cast<uint32_t>(noise()), static_cast<int>(noise() % 2 * noise()));
    Require(result == 0 || result == -EINVAL || result == -ESTALE, "RUN gave " + std::to_string(result));
  }
}

// Numbers, sizes, directions and pointers that mean nothing, on every file.
void GarbageIoctls(Stage& stage) {
  Noise noise(6);
  for (const char* file : {"ctl", "tasks", "cpulist", "status", "agent_online"}) {
    const int fd = open((stage.enclave().directory() + "/" + file).c_str(), O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < kTimes / 2; ++i) {
      const unsigned long size = noise() % 4 == 0 ? noise() % 16384 : 24;
      const unsigned long number = _IOC(noise() % 4, noise() % 4 == 0 ? noise() % 256 : 'g', noise() % 16, size);
      alignas(8) static char argument[16384];
      for (char& byte : argument) byte = static_cast<char>(noise());
      void* pointers[] = {argument, nullptr, reinterpret_cast<void*>(8), reinterpret_cast<void*>(UINT64_MAX - 8)};
      // A RUN or commit by this thread parks nobody: it is no agent.
      Require(ioctl(fd, number, pointers[noise() % 4]) <= 4096, "an ioctl's result");
    }
    close(fd);
  }
}

// Pointers behind arguments: a mask and wake-ups that are not there, in part, or endless.
void BadPointers(Stage& stage) {
  char* pages = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  Require(pages != MAP_FAILED && munmap(pages + 4096, 4096) == 0, "mmap");
  const auto edge = reinterpret_cast<uint64_t>(pages) + 4096;
  for (unsigned long number : {GHOST_IOC_COMMIT_TXN, GHOST_IOC_SYNC_GROUP_TXN}) {
    for (uint64_t pointer : {uint64_t{0}, uint64_t{8}, edge - 4, edge, UINT64_MAX - 4}) {
      for (uint32_t size : {8u, 128u, 4096u, UINT32_MAX}) {
        ghost_ioc_commit_txn commit = {.mask_ptr = pointer, .mask_len = size, .flags = 0};
        Require(stage.Ioctl(number, &commit) == -EFAULT, "a commit with a bad mask");
      }
    }
    ghost_ioc_commit_txn none = {.mask_ptr = 0, .mask_len = 0, .flags = 0};
    Require(stage.Ioctl(number, &none) >= 0, "a commit with no mask");
  }
  ghost_ioc_config_queue_wakeup config = {.qfd = stage.queue().fd, .w = edge - 4, .ninfo = 2};
  Require(stage.Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, &config) == -EFAULT, "wake-ups that are not there");
  ghost_ioc_timerfd_settime settime = {.timerfd = 0, .in_tmr = edge - 4};
  Require(stage.Ioctl(GHOST_IOC_TIMERFD_SETTIME, &settime) == -EFAULT, "a time that is not there");
}

// As large as a mask may be, and larger: all CPUs that there could be.
void HugeMasks(Stage& stage) {
  std::vector<uint8_t> mask(1 << 20, 0xff);
  ghost_ioc_commit_txn commit = {
      .mask_ptr = reinterpret_cast<uint64_t>(mask.data()), .mask_len = static_cast<uint32_t>(mask.size()), .flags = 0};
  for (int i = 0; i < kTimes; ++i) {
    Require(stage.Ioctl(i % 2 == 0 ? GHOST_IOC_COMMIT_TXN : GHOST_IOC_SYNC_GROUP_TXN, &commit) >= 0, "a huge mask");
  }
}

// The queue that new tasks' messages go to is not open any more.
void DefaultQueueClosed(Stage& stage) {
  close(stage.queue().fd);
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) pause();
    Require(stage.enclave().WriteFile("tasks", std::to_string(child)).ok(), "a child enters");
    kill(child, SIGKILL);
    Require(waitpid(child, nullptr, 0) == child, "waitpid");
  }
}

// A process that is no agent, and goes on with its descriptors and mappings when the enclave is gone.
void AfterDestroy(Stage& stage) {
  int ends[2];
  Require(pipe(ends) == 0, "pipe");
  if (fork() != 0) {
    close(ends[1]);
    // Ends with this process, which the kernel kills with the enclave.
    for (;;) pause();
  }
  close(ends[0]);
  const std::string directory = stage.enclave().directory();
  const int status = open((directory + "/status").c_str(), O_RDONLY | O_CLOEXEC);
  Require(write(stage.ctl(), "destroy", 7) == 7, "destroy");
  while (access(directory.c_str(), F_OK) == 0) usleep(1000);
  char text[64];
  bool well = pread(status, text, sizeof(text), 0) == -1 && errno == ENODEV;
  for (int i = 0; i < kTimes; ++i) {
    for (int cpu : stage.cpus()) stage.Open(cpu, 1, 1);
    well = well && stage.Commit(UINT64_MAX) == -ENODEV;
    well = well && write(stage.ctl(), "destroy", 7) == -1 && errno == ENODEV;
    ghost_ioc_create_queue create = {.elems = 16};
    well = well && stage.Ioctl(GHOST_IOC_CREATE_QUEUE, &create) == -ENODEV;
  }
  printf(well ? "attacked\n" : "something else than ENODEV (last: %s)\n", strerror(errno));
  fflush(stdout);
  _exit(0);
}

// The process ends, but not its mappings: a child has them, and goes on writing.
void ForkWithMappings(Stage& stage) {
  if (fork() == 0) {
    prctl(PR_SET_NAME, "orphan");
    for (Noise noise(7); getppid() != 1 || noise() % 100'000 != 0;) {
      for (int cpu : stage.cpus()) {
        stage.txn(cpu).gtid = static_cast<int64_t>(noise());
        __atomic_store_n(&stage.txn(cpu).state, GHOST_TXN_READY, __ATOMIC_RELEASE);
      }
      stage.ring()->tail = static_cast<uint32_t>(noise());
    }
    _exit(0);
  }
  stage.AwaitDecisions(100);
}

void EndThread(int) { syscall(SYS_exit, 0); }

// An agent thread that is told to end while it waits in the kernel; its process lives on.
void AgentThreadEnds(Stage& stage) {
  signal(SIGUSR1, EndThread);
  for (int cpu : stage.cpus()) syscall(SYS_tgkill, getpid(), stage.agent_tid(cpu), SIGUSR1);
  for (int cpu : stage.cpus()) {
    ghost_ioc_sw_get_info get = {.request = {.type = GHOST_AGENT, .arg = static_cast<uint64_t>(cpu)}};
    while (stage.Ioctl(GHOST_IOC_SW_GET_INFO, &get) == 0) usleep(1000);
  }
}

// One agent latches tasks on the other's CPU, again and again, while that one ends.
void EndWithLatch(Stage& stage) {
  signal(SIGUSR1, EndThread);
  const int last = stage.cpus().Last();
  for (int i = 0; i < kTimes; ++i) {
    if (const ghost_status_word* word = stage.NextRunnable(); word != nullptr) {
      stage.Open(last, static_cast<int64_t>(word->gtid), word->barrier, COMMIT_AT_TXN_COMMIT,
                 DEFER_LATCHED_PREEMPTION_BY_AGENT | SEND_TASK_ON_CPU);
      stage.Commit(uint64_t{1} << last);
    }
    if (i == kTimes / 2) syscall(SYS_tgkill, getpid(), stage.agent_tid(last), SIGUSR1);
  }
}

void Spin(Stage& stage) { stage.Spin(); }

void Nothing(Stage&) {}

}  // namespace

const std::vector<Attack> kProtocolAttacks = {
    {"double_schedule", "one task on two CPUs", DoubleSchedule},
    {"forged_gtids", "gtids that nobody has", ForgedGtids},
    {"stale_barriers", "barriers of a while ago", StaleBarriers},
    {"recycled_gtids", "gtids of threads that have ended", RecycledGtids},
    {"garbage_commits", "all flags, targets and CPUs", GarbageCommits},
    {"garbage_runs", "RUN with any arguments", GarbageRuns},
    {"garbage_ioctls", "ioctls with any number, size and pointer", GarbageIoctls},
    {"bad_pointers", "pointers behind arguments", BadPointers},
    {"huge_masks", "masks of a megabyte", HugeMasks},
    {"default_queue_closed", "new tasks' queue is closed", DefaultQueueClosed},
    {"after_destroy", "everything once more after destroy", AfterDestroy},
    {"fork_with_mappings", "a child that has the agent's mappings", ForkWithMappings},
    {"agent_thread_ends", "agent threads end while they wait", AgentThreadEnds},
    {"end_with_latch", "an agent ends with a latched task", EndWithLatch},
    {"spin", "agents that spin and never call", Spin},
    {"never_schedule", "agents that wait and never schedule", Nothing, {.only_wait = true}},
    {"never_drain", "a queue of 16 slots, never drained", Nothing, {.queue_elems = 16, .drain = false}},
    {"one_slot", "a queue of one slot", Nothing, {.queue_elems = 1}},
};

}  // namespace ghost::hostile
