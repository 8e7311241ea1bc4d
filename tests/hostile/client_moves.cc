// Clients that are moved into an enclave, out of it, and between scheduling policies, at bad moments. Some of these run
// outside and write to `tasks` themselves.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/hostile/client.h"

namespace ghost::hostile {
namespace {

void Lap() {
  NapUs(20);
  sched_yield();
  Spin(2000);
}

bool Accepted(int result) { return result == 0; }
// What a thread that is going, or gone, or moved already, may give.
bool Refused(int result) { return result == -ESRCH || result == -EPERM; }

// Threads that end while their tids are being written.
void ExitWhileMoved(const Scene& scene) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<pid_t> tid{0};
    std::thread thread([&tid, round] {
      tid = gettid();
      Spin(100 * (round % 40));
    });
    while (tid == 0) sched_yield();
    const int result = Enter(scene, tid);
    Expect(Accepted(result) || Refused(result), "a thread that ends while it is moved");
    thread.join();
  }
}

void KillWhileMoved(const Scene& scene) {
  for (int round = 0; round < 100; ++round) {
    const pid_t child = Fork([] {
      for (;;) Lap();
    });
    std::thread killer([child, round] {
      Spin(500 * (round % 20));
      kill(child, SIGKILL);
    });
    const int result = Enter(scene, child);
    Expect(Accepted(result) || Refused(result), "a process that is killed while it is moved");
    killer.join();
    const int status = WaitFor(child);
    Expect(WIFSIGNALED(status), "a process that was killed while it was moved");
  }
}

void ExecWhileMoved(const Scene& scene) {
  for (int round = 0; round < 100; ++round) {
    const pid_t child = Fork([round] {
      Spin(500 * (round % 20));
      execl("/bin/true", "true", nullptr);
    });
    const int result = Enter(scene, child);
    Expect(Accepted(result) || Refused(result), "a process that execs while it is moved");
    ExpectWell(child, "a process that execs while it is moved");
  }
}

// Moved while stopped; it must stay so until it is continued.
void MoveStopped(const Scene& scene) {
  for (int round = 0; round < 10; ++round) {
    const pid_t child = Fork([] {
      raise(SIGSTOP);
      for (int i = 0; i < 20; ++i) Lap();
    });
    int status = 0;
    Expect(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "it does not stop");
    Expect(Accepted(Enter(scene, child)), "a stopped process is refused");
    Await([child] { return StateOf(child) == 't' || StateOf(child) == 'T'; }, "a stopped process runs");
    kill(child, SIGCONT);
    ExpectWell(child, "who was moved while stopped");
  }
}

// A parent in vfork can not be stopped (it is in state D, or as good as).
void MoveVforkParent(const Scene& scene) {
  for (int round = 0; round < 10; ++round) {
    const pid_t parent = Fork([] {
      const pid_t child = vfork();
      if (child == 0) {
        usleep(5000);
        _exit(0);
      }
      ExpectWell(child, "the vforked child");
      for (int i = 0; i < 20; ++i) Lap();
    });
    NapUs(1000);
    const int result = Enter(scene, parent);
    Expect(Accepted(result), "the parent of a vfork is refused");
    ExpectWell(parent, "the parent of a vfork");
  }
}

// Only the leader is in ghost, and ends before the other thread, which is not.
void LeaderEndsFirst(const Scene& scene) {
  for (int round = 0; round < 5; ++round) {
    const pid_t child = Fork([&scene] {
      std::thread([] {
        NapUs(30'000);
        _exit(0);
      }).detach();
      Expect(Accepted(Enter(scene, gettid())), "the leader enters");
      syscall(SYS_exit, 0);
    });
    ExpectWell(child, "a process whose leader ended first");
  }
}

// The other way round: nobody else ends the process.
void LeaderEndsFirstQuietly(const Scene& scene) {
  for (int round = 0; round < 5; ++round) {
    const pid_t child = Fork([&scene] {
      std::thread([] {
        NapUs(30'000);
        syscall(SYS_exit, 0);
      }).detach();
      Expect(Accepted(Enter(scene, gettid())), "the leader enters");
      syscall(SYS_exit, 0);
    });
    ExpectWell(child, "a process whose threads end one by one");
  }
}

// Real-time, back, idle, deadline: each of them leaves ghost.
void ChangePolicy(const Scene& scene) {
  for (int policy : {SCHED_FIFO, SCHED_RR, SCHED_IDLE, SCHED_BATCH}) {
    const pid_t child = Fork([&scene, policy] {
      Expect(Accepted(Enter(scene, gettid())) || IsInside(scene, gettid()), "enter");
      const sched_param param = {.sched_priority = policy == SCHED_FIFO || policy == SCHED_RR ? 1 : 0};
      const sched_param none = {};
      Expect(sched_setscheduler(0, policy, &param) == 0, "sched_setscheduler");
      for (int i = 0; i < 5; ++i) Lap();
      Expect(!IsInside(scene, gettid()), "it is still in the enclave");
      Expect(sched_setscheduler(0, SCHED_OTHER, &none) == 0, "back to SCHED_OTHER");
      for (int i = 0; i < 5; ++i) Lap();
      Expect(IsUnpinned(0), "it stays pinned");
      Expect(Accepted(Enter(scene, gettid())), "in again");
      for (int i = 0; i < 5; ++i) Lap();
    });
    ExpectWell(child, "who changes its policy");
  }
}

void SetAffinity(pid_t tid, int cpu) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (int i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); ++i) {
    if (cpu < 0 || cpu == i) CPU_SET(i, &mask);
  }
  sched_setaffinity(tid, sizeof(mask), &mask);
}

// Threads that change their own affinity all the time.
void AffinityStorm(const Scene&) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int lap = 0; lap < 2000; ++lap) SetAffinity(0, (lap + i) % 3 - 1);
      SetAffinity(0, -1);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// From outside: others' affinities and priorities, as fast as can be. The kernel must find the time for others.
void OutsideStorm(const Scene& scene) {
  const pid_t child = Fork([] {
    for (;;) Lap();
  });
  Expect(Accepted(Enter(scene, child)), "enter");
  std::atomic<bool> stop{false};
  std::vector<std::thread> storm;
  for (int i = 0; i < 2; ++i) {
    storm.emplace_back([&stop, child] {
      while (!stop) {
        SetAffinity(child, -1);
        setpriority(PRIO_PROCESS, static_cast<id_t>(child), 0);
      }
    });
  }
  // Asked again and again, while the storm goes on.
  long slowest_us = 0;
  for (int i = 0; i < 200; ++i) {
    timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    Expect(IsInside(scene, child), "it is not in the enclave any more");
    clock_gettime(CLOCK_MONOTONIC, &end);
    slowest_us = std::max(slowest_us, (end.tv_sec - begin.tv_sec) * 1'000'000 + (end.tv_nsec - begin.tv_nsec) / 1000);
  }
  fprintf(stderr, "slowest answer: %ld us\n", slowest_us);
  Expect(slowest_us < 2'000'000, "the kernel has no time to answer");
  stop = true;
  for (std::thread& thread : storm) thread.join();
  kill(child, SIGKILL);
  WaitFor(child);
}

// Above ghostd and its agents, on one CPU, for two seconds. It looks at the clock itself: on its CPU nobody else could
// end it.
void RealtimeSpinner(const Scene&) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  SetAffinity(0, 0);
  const sched_param param = {.sched_priority = 70};
  Expect(sched_setscheduler(0, SCHED_FIFO, &param) == 0, "SCHED_FIFO");
  timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - begin.tv_sec < 3);
}

// The tasks file, read while tasks come and go.
void ReadersAndForks(const Scene& scene) {
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) IsInside(scene, 1);
  });
  for (int i = 0; i < 100; ++i) {
    ExpectWell(Fork([&scene] { Expect(Accepted(Enter(scene, getpid())), "enter"); }), "a process that enters and ends");
  }
  stop = true;
  reader.join();
}

}  // namespace

const std::vector<ClientAttack> kMoveAttacks = {
    {"exit_while_moved", "outside: threads end while they are moved in", ExitWhileMoved},
    {"kill_while_moved", "outside: processes are killed while they are moved in", KillWhileMoved},
    {"exec_while_moved", "outside: processes exec while they are moved in", ExecWhileMoved},
    {"move_stopped", "outside: stopped processes are moved in", MoveStopped},
    {"move_vfork_parent", "outside: parents in vfork are moved in", MoveVforkParent},
    {"leader_ends_first", "outside: only the leader is moved in, and ends", LeaderEndsFirst},
    {"leader_ends_quietly", "outside: … and the rest, too, thread by thread", LeaderEndsFirstQuietly},
    {"change_policy", "outside: in, to another policy, back, in again", ChangePolicy},
    {"affinity_storm", "changes its affinity all the time", AffinityStorm},
    {"outside_storm", "outside: changes another's affinity all the time", OutsideStorm},
    {"realtime_spinner", "outside: spins above ghostd's priority, on one CPU", RealtimeSpinner},
    {"readers_and_forks", "outside: reads `tasks` while tasks come and go", ReadersAndForks},
};

}  // namespace ghost::hostile
