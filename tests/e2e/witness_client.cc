// A client of 16 threads, one kind of work each, that all ask all the time whether they run unscheduled.
//
//     ghostctl run --agent …/preempting_agent -- witness_client --checks=50000000
//         every thread makes its share of the checks; exit status 0 if no violation was seen, 1 otherwise
//     witness_client --checks=0
//         runs until its standard input ends, and obeys its lines:
//             report                  prints the totals
//             await checks N          … once that many checks were made
//             await violations N      … once that many violations were seen
//
// It must be under ghost already when it starts (ghostctl run does that); $GHOSTFS says where.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/witness.h"

namespace ghost::e2e {
namespace {

constexpr int kThreads = 16;
constexpr int kChecksPerLap = 500;
// Of the work whose laps take long: a thread, two processes.
constexpr int kChecksPerLongLap = 2500;
// The file descriptor of the tallies, for what is exec'ed.
constexpr int kTallyFd = 100;

struct Shared {
  std::string enclave;
  const StatusWords* words = nullptr;
  Tally* tallies = nullptr;
  uint64_t checks_per_thread = 0;  // 0: until stop
  std::atomic<bool> stop{false};
};

// One thread's surroundings.
class Worker {
 public:
  Worker(Shared* shared, int index)
      : shared_(shared), tally_(&shared->tallies[index]), witness_(*shared->words, tally_) {}

  // True while there is more to do; counts a lap.
  bool Next(int checks_per_lap = kChecksPerLap) {
    witness_.Lap();
    witness_.Compute(checks_per_lap);
    if (shared_->checks_per_thread == 0) return !shared_->stop.load(std::memory_order_relaxed);
    return tally_->checks.load(std::memory_order_relaxed) < shared_->checks_per_thread;
  }
  Witness& witness() { return witness_; }
  Tally* tally() { return tally_; }
  Shared* shared() { return shared_; }

 private:
  Shared* const shared_;
  Tally* const tally_;
  Witness witness_;
};

void Compute(Worker& worker) {
  while (worker.Next()) continue;
}

std::mutex contended;

void Mutex(Worker& worker) {
  while (worker.Next()) {
    std::lock_guard<std::mutex> lock(contended);
    worker.witness().Compute(50);
  }
}

// Two threads hand a word to and fro. A partner that has finished its share leaves: so nobody waits for ever.
struct alignas(64) Turn {
  std::atomic<int> word{0};
  std::atomic<bool> left{false};
};
Turn futex_turn;

void Futex(Worker& worker, int side) {
  while (worker.Next()) {
    const timespec timeout = {.tv_sec = 0, .tv_nsec = 5'000'000};
    while (futex_turn.word.load() != side && !futex_turn.left.load()) {
      syscall(SYS_futex, &futex_turn.word, FUTEX_WAIT_PRIVATE, 1 - side, &timeout, nullptr, 0);
      worker.witness().Check();
    }
    futex_turn.word.store(1 - side);
    syscall(SYS_futex, &futex_turn.word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    worker.witness().Check();
  }
  futex_turn.left.store(true);
  syscall(SYS_futex, &futex_turn.word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void Sleep(Worker& worker) {
  while (worker.Next()) {
    const timespec nap = {.tv_sec = 0, .tv_nsec = 50'000};
    nanosleep(&nap, nullptr);
    worker.witness().Check();
  }
}

void Yield(Worker& worker) {
  while (worker.Next()) {
    sched_yield();
    worker.witness().Check();
  }
}

// Two pipes between two threads; closing tells the other.
int pipe_to[2][2];

void Pipe(Worker& worker, int side) {
  char byte = 'x';
  while (worker.Next()) {
    if (side == 1 && read(pipe_to[1][0], &byte, 1) != 1) break;
    worker.witness().Check();
    if (write(pipe_to[1 - side][1], &byte, 1) != 1) break;
    worker.witness().Check();
    if (side == 0 && read(pipe_to[0][0], &byte, 1) != 1) break;
    worker.witness().Check();
  }
  // The partner may be short of its share: alone it goes on with what is left.
  close(pipe_to[1 - side][1]);
  close(pipe_to[side][0]);
  Compute(worker);
}

void PageFaults(Worker& worker) {
  constexpr size_t kSize = 64 * 4096;
  auto* memory =
      static_cast<volatile char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  while (worker.Next()) {
    madvise(const_cast<char*>(memory), kSize, MADV_DONTNEED);
    worker.witness().Check();
    for (size_t i = 0; i < kSize; i += 4096) {
      memory[i] = 1;
      worker.witness().Check();
    }
  }
}

void Exit(Worker& worker) {
  while (worker.Next(kChecksPerLongLap)) {
    std::thread([&worker] {
      // Its own first instructions are the point: the status word is looked up as early as can be.
      Witness witness(*worker.shared()->words, worker.tally());
      witness.Compute(kChecksPerLongLap);
    }).join();
    worker.witness().Check();
  }
}

// In a new process: some checks, then the same again as a fresh image.
[[noreturn]] void BeChild(Shared* shared, Tally* tally, bool exec) {
  {
    const StatusWords words(shared->enclave);
    Witness witness(words, tally);
    witness.Compute(kChecksPerLongLap);
  }
  if (!exec) _exit(0);
  const std::string index = std::to_string(tally - shared->tallies);
  execl("/proc/self/exe", "witness_client", "--child", index.c_str(), shared->enclave.c_str(), nullptr);
  _exit(127);
}

void ForkExec(Worker& worker) {
  while (worker.Next(kChecksPerLongLap)) {
    const pid_t child = fork();
    if (child == 0) BeChild(worker.shared(), worker.tally(), /*exec=*/true);
    worker.witness().Check();
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    worker.witness().Check();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      fprintf(stderr, "witness_client: a child ended with wait status %#x\n", status);
      _exit(1);
    }
  }
}

// The sixteen.
std::vector<std::function<void(Worker&)>> Workloads() {
  return {Compute,
          Compute,
          Compute,
          Mutex,
          Mutex,
          [](Worker& w) { Futex(w, 0); },
          [](Worker& w) { Futex(w, 1); },
          Sleep,
          Sleep,
          Yield,
          Yield,
          [](Worker& w) { Pipe(w, 0); },
          [](Worker& w) { Pipe(w, 1); },
          PageFaults,
          Exit,
          ForkExec};
}

constexpr const char* kNames[kThreads] = {"compute", "compute",     "compute", "mutex",        "mutex", "futex",
                                          "futex",   "sleep",       "sleep",   "yield",        "yield", "pipe",
                                          "pipe",    "page faults", "exit",    "fork and exec"};

Tally* MapTallies(int fd) {
  void* data = mmap(nullptr, kThreads * sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return data == MAP_FAILED ? nullptr : static_cast<Tally*>(data);
}

Tally* MakeTallies() {
  const int fd = memfd_create("witness", 0);
  if (fd < 0 || ftruncate(fd, kThreads * sizeof(Tally)) != 0 || dup2(fd, kTallyFd) < 0) return nullptr;
  close(fd);
  return MapTallies(kTallyFd);
}

// The enclave whose tasks list this thread.
std::string FindEnclave() {
  const char* ghostfs = getenv("GHOSTFS");
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(ghostfs == nullptr ? "/sys/fs/ghost" : ghostfs, error)) {
    std::ifstream tasks(entry.path() / "tasks");
    for (pid_t tid; tasks >> tid;) {
      if (tid == gettid()) return entry.path().string();
    }
  }
  return "";
}

struct Totals {
  uint64_t checks = 0;
  uint64_t violations = 0;
  uint64_t lookups = 0;
  uint64_t fewest_laps = UINT64_MAX;
};

Totals Sum(const Tally* tallies) {
  Totals totals;
  for (int i = 0; i < kThreads; ++i) {
    totals.checks += tallies[i].checks.load();
    totals.violations += tallies[i].violations.load();
    totals.lookups += tallies[i].lookups.load();
    totals.fewest_laps = std::min(totals.fewest_laps, tallies[i].laps.load());
  }
  return totals;
}

void Report(const Tally* tallies) {
  const Totals totals = Sum(tallies);
  printf("checks %lu violations %lu threads_and_processes %lu fewest_laps %lu\n", totals.checks, totals.violations,
         totals.lookups, totals.fewest_laps);
  fflush(stdout);
}

// Which kinds of work saw violations, for whoever has to find out why.
void ReportViolations(const Tally* tallies) {
  for (int i = 0; i < kThreads; ++i) {
    const uint64_t violations = tallies[i].violations.load();
    if (violations == 0) continue;
    fprintf(stderr, "witness_client: %lu violations in %lu checks of thread %d, %s\n", violations,
            tallies[i].checks.load(), i, kNames[i]);
  }
}

// Obeys lines until the input ends.
void Obey(Shared* shared) {
  for (std::string line; std::getline(std::cin, line);) {
    unsigned long wanted = 0;
    const bool checks = sscanf(line.c_str(), "await checks %lu", &wanted) == 1;
    if (checks || sscanf(line.c_str(), "await violations %lu", &wanted) == 1) {
      const timespec pause = {.tv_sec = 0, .tv_nsec = 1'000'000};
      for (;;) {
        const Totals totals = Sum(shared->tallies);
        if ((checks ? totals.checks : totals.violations) >= wanted) break;
        nanosleep(&pause, nullptr);
      }
    }
    Report(shared->tallies);
  }
  shared->stop.store(true);
}

int Run(uint64_t checks) {
  Shared shared;
  shared.enclave = FindEnclave();
  if (shared.enclave.empty()) {
    fprintf(stderr, "witness_client: not in an enclave\nhint: ghostctl run -- witness_client\n");
    return 2;
  }
  const StatusWords words(shared.enclave);
  shared.words = &words;
  shared.tallies = MakeTallies();
  if (shared.tallies == nullptr || pipe2(pipe_to[0], O_CLOEXEC) != 0 || pipe2(pipe_to[1], O_CLOEXEC) != 0) return 1;
  signal(SIGPIPE, SIG_IGN);
  shared.checks_per_thread = (checks + kThreads - 1) / kThreads;

  std::vector<std::thread> threads;
  int index = 0;
  for (const std::function<void(Worker&)>& workload : Workloads()) {
    threads.emplace_back([&shared, workload, i = index++] {
      Worker worker(&shared, i);
      workload(worker);
    });
  }
  if (checks == 0) Obey(&shared);
  for (std::thread& thread : threads) thread.join();
  Report(shared.tallies);
  if (checks != 0) ReportViolations(shared.tallies);
  return Sum(shared.tallies).violations == 0 ? 0 : 1;
}

int RunExecedChild(int index, const char* enclave) {
  Tally* tallies = MapTallies(kTallyFd);
  if (tallies == nullptr || index < 0 || index >= kThreads) return 1;
  const StatusWords words(enclave);
  Witness witness(words, &tallies[index]);
  witness.Compute(kChecksPerLongLap);
  return 0;
}

}  // namespace
}  // namespace ghost::e2e

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "--child") == 0) return ghost::e2e::RunExecedChild(atoi(argv[2]), argv[3]);
  unsigned long checks = 0;
  if (argc != 2 || sscanf(argv[1], "--checks=%lu", &checks) != 1) {
    fprintf(stderr, "usage: witness_client --checks=N\n");
    return 2;
  }
  return ghost::e2e::Run(checks);
}
