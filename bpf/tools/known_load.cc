// A load of which is known what it does, for the tests of the scheduling tools and for measuring what they cost. One
// process; its threads are pinned to one CPU and real-time unless told otherwise, so that nobody else decides.
//
//     known_load lockstep CPU ROUNDS MS      a thread: computes MS ms, sleeps as long, and so on
//     known_load chain CPU ROUNDS MS         a thread wakes another, computes MS ms, sleeps; the other can't run before
//     known_load ghost_chain CPU ROUNDS MS   the same at ordinary priority, for a scheduler that does not preempt
//     known_load nice CPU MS                 two ordinary threads with nice values 0 and 5 compute for MS ms
//     known_load pingpong CPU ROUNDS         two threads wake each other; what a switch costs
//
// It says `ready PID TID…`, waits for a line on its standard input, does its work, and prints what it did as JSON: of
// each thread what the kernel has counted meanwhile. Then it waits for the end of its input.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kWakerPriority = 31;
constexpr int kSleeperPriority = 30;
constexpr int64_t kMsNs = 1'000'000;

int64_t Now(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// The thread's own clock is a system call: asked all the time under ghostd's syscall gate, most of the time would pass
// in stops, a part of which the kernel counts as nobody's.
void Compute(int64_t ns) {
  constexpr int64_t kAskNs = 100'000;
  const int64_t end = Now(CLOCK_THREAD_CPUTIME_ID) + ns;
  for (int64_t left = ns; left > 0; left = end - Now(CLOCK_THREAD_CPUTIME_ID)) {
    for (const int64_t until = Now(CLOCK_MONOTONIC) + std::min(left, kAskNs); Now(CLOCK_MONOTONIC) < until;) continue;
  }
}

void Sleep(int64_t ns) {
  const timespec time = {.tv_sec = 0, .tv_nsec = static_cast<long>(ns)};
  nanosleep(&time, nullptr);
}

// What the kernel has counted of the calling thread.
struct Tally {
  int64_t run_ns = 0;
  int64_t wait_ns = 0;  // runnable, without a CPU
  int64_t blocks = 0;
  int64_t preemptions = 0;

  static Tally Read() {
    Tally tally;
    std::ifstream("/proc/thread-self/schedstat") >> tally.run_ns >> tally.wait_ns;
    tally.run_ns = Now(CLOCK_THREAD_CPUTIME_ID);
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    tally.blocks = usage.ru_nvcsw;
    tally.preemptions = usage.ru_nivcsw;
    return tally;
  }
};

struct Worker {
  int cpu = 0;
  int priority = 0;  // 0: ordinary
  int nice = 0;
  std::function<void()> work;
  std::atomic<int> tid = 0;
  Tally before, after;
  int64_t began_ns = 0, ended_ns = 0;
};

int g_start[2];  // a byte for each worker starts it

void Run(Worker* worker) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(worker->cpu, &cpus);
  if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) perror("sched_setaffinity");
  const sched_param priority = {.sched_priority = worker->priority};
  if (worker->priority > 0 && sched_setscheduler(0, SCHED_FIFO, &priority) != 0) perror("sched_setscheduler");
  const int tid = static_cast<int>(syscall(SYS_gettid));
  if (worker->nice != 0 && setpriority(PRIO_PROCESS, tid, worker->nice) != 0) perror("setpriority");
  worker->tid = tid;
  char byte;
  if (read(g_start[0], &byte, 1) != 1) exit(1);
  worker->before = Tally::Read();
  worker->began_ns = Now(CLOCK_MONOTONIC);
  worker->work();
  worker->ended_ns = Now(CLOCK_MONOTONIC);
  worker->after = Tally::Read();
}

void Print(const std::vector<Worker>& workers) {
  std::cout << "{\"threads\": [";
  for (const Worker& worker : workers) {
    std::cout << (&worker == &workers[0] ? "" : ", ") << "{\"tid\": " << worker.tid << ", \"nice\": " << worker.nice
              << ", \"run_ns\": " << worker.after.run_ns - worker.before.run_ns
              << ", \"wait_ns\": " << worker.after.wait_ns - worker.before.wait_ns
              << ", \"blocks\": " << worker.after.blocks - worker.before.blocks
              << ", \"preemptions\": " << worker.after.preemptions - worker.before.preemptions
              << ", \"elapsed_ns\": " << worker.ended_ns - worker.began_ns << "}";
  }
  std::cout << "]}" << std::endl;
}

struct Pipe {
  int fds[2];
  Pipe() {
    if (pipe2(fds, O_CLOEXEC) != 0) exit(1);
  }
  void Give() {
    if (write(fds[1], "x", 1) != 1) exit(1);
  }
  void Take() {
    char byte;
    if (read(fds[0], &byte, 1) != 1) exit(1);
  }
};

// What `kind` is made of; false: there is no such kind.
bool Make(const std::string& kind, int cpu, int rounds, int64_t ns, std::vector<Worker>* workers) {
  static Pipe forth, back;
  const auto times = [rounds](auto step) {
    return [=] {
      for (int round = 0; round < rounds; ++round) step();
    };
  };
  *workers = std::vector<Worker>(kind == "lockstep" ? 1 : 2);
  Worker& first = workers->front();
  Worker& second = workers->back();
  for (Worker& worker : *workers) worker.cpu = cpu;
  first.priority = kind == "ghost_chain" || kind == "nice" ? 0 : kWakerPriority;
  if (kind == "lockstep") {
    first.work = times([ns] {
      Compute(ns);
      Sleep(ns);
    });
    return true;
  }
  second.priority = first.priority == 0 ? 0 : kSleeperPriority;
  if (kind == "chain" || kind == "ghost_chain") {
    first.work = times([ns] {
      forth.Give();
      Compute(ns);
      Sleep(ns);
    });
    second.work = times([] { forth.Take(); });
  } else if (kind == "nice") {
    second.nice = 5;
    const auto until = [ns] {
      for (const int64_t end = Now(CLOCK_MONOTONIC) + ns; Now(CLOCK_MONOTONIC) < end;) continue;
    };
    first.work = second.work = until;
  } else if (kind == "pingpong") {
    first.priority = second.priority = kSleeperPriority;
    first.work = times([] {
      forth.Give();
      back.Take();
    });
    second.work = times([] {
      forth.Take();
      back.Give();
    });
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "";
  const bool has_rounds = kind != "nice";
  if (argc < 4) return 2;
  const int rounds = has_rounds ? atoi(argv[3]) : 1;
  const int64_t ns = (argc > 4 ? atoi(argv[4]) : atoi(argv[3])) * kMsNs;
  std::vector<Worker> workers;
  if (pipe2(g_start, O_CLOEXEC) != 0 || !Make(kind, atoi(argv[2]), rounds, ns, &workers)) return 2;
  std::vector<std::thread> threads;
  for (Worker& worker : workers) threads.emplace_back(Run, &worker);
  for (Worker& worker : workers) {
    while (worker.tid == 0) Sleep(kMsNs);
  }
  std::cout << "ready " << getpid();
  for (const Worker& worker : workers) std::cout << " " << worker.tid;
  std::cout << std::endl;
  std::string line;
  std::getline(std::cin, line);
  if (write(g_start[1], "xx", workers.size()) < 0) return 1;
  for (std::thread& thread : threads) thread.join();
  Print(workers);
  while (std::getline(std::cin, line)) continue;
}
