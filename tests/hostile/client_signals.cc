// Clients and signals: those that the gate itself uses, and those that stop, continue and kill.
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/hostile/client.h"

namespace ghost::hostile {
namespace {

constexpr int kLaps = 300;

// What makes a thread pass the gate: it sleeps, yields, computes.
void Lap() {
  NapUs(20);
  sched_yield();
  Spin(2000);
}

void IgnoreUrg(const Scene&) {
  signal(SIGURG, SIG_IGN);
  for (int i = 0; i < kLaps; ++i) Lap();
}

void BlockAll(const Scene&) {
  sigset_t all, pending;
  sigfillset(&all);
  Expect(sigprocmask(SIG_BLOCK, &all, nullptr) == 0, "sigprocmask");
  for (int i = 0; i < kLaps; ++i) Lap();
  // None that ghostd uses may be left over.
  Expect(sigpending(&pending) == 0 && sigismember(&pending, SIGURG) == 0, "a SIGURG that nobody has sent is pending");
}

std::atomic<int> caught{0};
void Count(int) { ++caught; }

void RaiseUrg(const Scene&) {
  signal(SIGURG, Count);
  for (int i = 0; i < kLaps; ++i) {
    raise(SIGURG);
    Expect(caught == i + 1, "a SIGURG of its own was lost, or one came that it has not sent");
    Lap();
    Expect(caught == i + 1, "a SIGURG came that nobody has sent");
  }
}

// From another thread, while it is gated, blocked, running: signals of one number merge, but the last one comes.
void UrgStorm(const Scene&) {
  signal(SIGURG, Count);
  std::atomic<bool> stop{false};
  const pid_t target = gettid();
  std::thread sender([&stop, target] {
    while (!stop) syscall(SYS_tgkill, getpid(), target, SIGURG);
  });
  for (int i = 0; i < kLaps; ++i) Lap();
  stop = true;
  sender.join();
  const int before = caught;
  raise(SIGURG);
  Expect(before > 0 && caught > before, "SIGURG does not arrive any more");
}

void StopSelf(const Scene&) {
  const pid_t child = Fork([] {
    for (int i = 0; i < 100; ++i) {
      raise(SIGSTOP);
      Lap();
    }
  });
  int status = 0;
  for (int i = 0; i < 100; ++i) {
    Expect(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "no word of the child's stop");
    kill(child, SIGCONT);
  }
  ExpectWell(child, "the child that stops itself");
}

// A process of several threads, stopped and continued faster than anybody can follow.
void StopContStorm(const Scene&) {
  const pid_t child = Fork([] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([] {
        for (int lap = 0; lap < kLaps; ++lap) Lap();
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  for (int i = 0; i < 1000 && kill(child, 0) == 0; ++i) {
    kill(child, i % 2 == 0 ? SIGSTOP : SIGCONT);
    if (i % 16 == 0) NapUs(200);
  }
  kill(child, SIGCONT);
  ExpectWell(child, "the child that was stopped and continued");
}

void KillStopped(const Scene&) {
  for (int i = 0; i < 50; ++i) {
    const pid_t child = Fork([] { raise(SIGSTOP); });
    int status = 0;
    Expect(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "no word of the child's stop");
    kill(child, SIGKILL);
    status = WaitFor(child);
    Expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a stopped child that was killed");
  }
}

// While they run, sleep, wait at the gate.
void KillGated(const Scene&) {
  for (int round = 0; round < 20; ++round) {
    std::vector<pid_t> children;
    for (int i = 0; i < 8; ++i) {
      children.push_back(Fork([] {
        for (;;) Lap();
      }));
    }
    NapUs(500 * (round % 5));
    for (pid_t child : children) kill(child, SIGKILL);
    for (pid_t child : children) {
      const int status = WaitFor(child);
      Expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a child that was killed");
    }
  }
}

void AlarmStorm(const Scene&) {
  signal(SIGALRM, Count);
  const itimerval often = {.it_interval = {0, 500}, .it_value = {0, 500}};
  setitimer(ITIMER_REAL, &often, nullptr);
  for (int i = 0; i < kLaps; ++i) Lap();
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  Expect(caught > 0, "no SIGALRM");
}

// All threads but the one that faults are killed, and waited for, by the kernel's core dumper.
void DumpCore(const Scene&) {
  for (int i = 0; i < 5; ++i) {
    const pid_t child = Fork([] {
      const rlimit some = {1 << 20, 1 << 20};
      setrlimit(RLIMIT_CORE, &some);
      Expect(chdir("/tmp") == 0, "chdir");
      for (int thread = 0; thread < 4; ++thread) {
        std::thread([] {
          for (;;) Lap();
        }).detach();
      }
      NapUs(2000);
      raise(SIGSEGV);
    });
    const int status = WaitFor(child);
    Expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "a child that faults");
    unlink(("/tmp/core." + std::to_string(child)).c_str());
    unlink("/tmp/core");
  }
}

// One tracer only: the calls are refused, and nobody is the worse for it.
void TraceEachOther(const Scene&) {
  const pid_t child = Fork([] {
    Expect(ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 && errno == EPERM, "TRACEME by a task");
    for (int i = 0; i < kLaps; ++i) Lap();
  });
  Expect(ptrace(PTRACE_ATTACH, child, 0, 0) == -1 && errno == EPERM, "ATTACH to a task");
  Expect(ptrace(PTRACE_SEIZE, child, 0, 0) == -1 && errno == EPERM, "SEIZE of a task");
  ExpectWell(child, "the child that others want to trace");
}

}  // namespace

const std::vector<ClientAttack> kSignalAttacks = {
    {"ignore_urg", "ignores the gate's signal", IgnoreUrg},
    {"block_all", "blocks every signal", BlockAll},
    {"raise_urg", "raises the gate's signal", RaiseUrg},
    {"urg_storm", "gets the gate's signal from elsewhere all the time", UrgStorm},
    {"stop_self", "stops itself", StopSelf},
    {"stop_cont_storm", "is stopped and continued all the time", StopContStorm},
    {"kill_stopped", "is killed while stopped", KillStopped},
    {"kill_gated", "is killed in any state", KillGated},
    {"alarm_storm", "gets a timer signal every 500 us", AlarmStorm},
    {"dump_core", "dumps core", DumpCore},
    {"trace_each_other", "wants to be traced and to trace", TraceEachOther},
};

}  // namespace ghost::hostile
