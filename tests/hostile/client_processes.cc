// Clients that make processes and threads in odd ways, and change what a process is.
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>

#include "tests/hostile/client.h"

namespace ghost::hostile {
namespace {

void Lap() {
  NapUs(20);
  sched_yield();
  Spin(2000);
}

// clone(2) as fork(2) does it, with other flags: the child runs `body` on a copy of this stack.
pid_t CloneRaw(unsigned long flags, const std::function<void()>& body) {
  const long pid = syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr);
  Expect(pid >= 0, "clone");
  if (pid == 0) {
    body();
    _exit(0);
  }
  return static_cast<pid_t>(pid);
}

void Bomb(int depth) {
  if (depth == 0) return;
  pid_t children[2];
  for (pid_t& child : children) child = Fork([depth] { Bomb(depth - 1); });
  for (pid_t child : children) ExpectWell(child, "a child of the bomb");
}

void ForkBomb(const Scene&) { Bomb(9); }

void ThreadStorm(const Scene&) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 64; ++i) threads.emplace_back([] {});
    for (std::thread& thread : threads) thread.join();
  }
}

// In a function of its own: what lives across a vfork may be clobbered.
[[gnu::noinline]] pid_t VforkOnce(bool exec) {
  const pid_t child = vfork();
  if (child == 0) {
    if (exec) execl("/bin/true", "true", nullptr);
    _exit(0);
  }
  return child;
}

void Vfork(const Scene&) {
  for (int i = 0; i < 200; ++i) {
    const pid_t child = VforkOnce(i % 4 == 0);
    Expect(child > 0, "vfork");
    ExpectWell(child, "a vforked child");
  }
}

// Killed while it waits for its child to exec.
void KillVforkParent(const Scene&) {
  for (int i = 0; i < 20; ++i) {
    const pid_t parent = Fork([] {
      if (vfork() == 0) {
        usleep(20'000);
        _exit(0);
      }
    });
    NapUs(1000);
    kill(parent, SIGKILL);
    const int status = WaitFor(parent);
    Expect(WIFSIGNALED(status) || WIFEXITED(status), "the parent of a vfork");
  }
}

// The child is born as nobody's tracee, on the CPU that its parent happened to be pinned to. It must not stay so.
void CloneUntraced(const Scene& scene) {
  for (int i = 0; i < 30; ++i) {
    const pid_t child = CloneRaw(CLONE_UNTRACED | SIGCHLD, [&scene] {
      for (int lap = 0; lap < 20; ++lap) Lap();
      Await([&scene] { return IsInside(scene, getpid()); }, "the untraced child does not inherit its parent's enclave");
    });
    ExpectWell(child, "an untraced child");
  }
}

// … nor if all of it happens in its first moments.
void CloneUntracedShort(const Scene&) {
  for (int i = 0; i < 200; ++i) {
    const pid_t child = CloneRaw(CLONE_UNTRACED | SIGCHLD, [] {});
    ExpectWell(child, "an untraced child");
  }
}

// Children of one's own parent: brothers, so to say.
void CloneParent(const Scene&) {
  const pid_t middle = Fork([] {
    const pid_t expected = getppid();
    for (int i = 0; i < 20; ++i) {
      CloneRaw(CLONE_PARENT | SIGCHLD, [expected] {
        Lap();
        Expect(getppid() == expected, "not the parent's parent");
      });
    }
  });
  ExpectWell(middle, "who has made them");
  for (int i = 0; i < 20; ++i) {
    int status = 0;
    Expect(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0, "one of them");
  }
}

struct Shared {
  std::atomic<int> value{0};
};
int AddOne(void* shared) {
  static_cast<Shared*>(shared)->value.fetch_add(1);
  return 0;
}

// Processes that share their memory, as threads do, and are none.
void CloneVm(const Scene&) {
  constexpr size_t kStack = 64 * 1024;
  auto stack = std::make_unique<char[]>(kStack);
  Shared shared;
  for (int i = 0; i < 100; ++i) {
    const pid_t child = clone(AddOne, stack.get() + kStack, CLONE_VM | CLONE_FILES | SIGCHLD, &shared);
    Expect(child > 0, "clone(CLONE_VM)");
    ExpectWell(child, "a child in the same memory");
    Expect(shared.value == i + 1, "the child's store is not there");
  }
}

// A child whose end is told with no signal, and one with another signal than SIGCHLD.
void CloneSignals(const Scene&) {
  signal(SIGUSR1, SIG_IGN);
  for (int exit_signal : {0, SIGUSR1}) {
    for (int i = 0; i < 20; ++i) {
      const pid_t child = CloneRaw(static_cast<unsigned long>(exit_signal), [] { Lap(); });
      int status = 0;
      Expect(waitpid(child, &status, __WALL) == child && WIFEXITED(status), "a child with another exit signal");
    }
  }
}

// By a thread that is not the leader, among others that are running, blocked, gated.
void ExecNonLeader(const Scene&) {
  for (int round = 0; round < 30; ++round) {
    const pid_t child = Fork([] {
      for (int i = 0; i < 6; ++i) {
        std::thread([] {
          for (;;) Lap();
        }).detach();
      }
      std::thread([] {
        NapUs(300);
        execl("/bin/true", "true", nullptr);
      }).join();
      _exit(1);
    });
    ExpectWell(child, "who execs from a thread");
  }
}

void ExecSetuid(const Scene&) {
  const std::string program = "/tmp/hostile_setuid." + std::to_string(getpid());
  ExpectWell(Fork([&program] { execl("/bin/cp", "cp", "/usr/bin/id", program.c_str(), nullptr); }), "cp");
  Expect(chmod(program.c_str(), 04755) == 0, "chmod");
  int ends[2];
  Expect(pipe(ends) == 0, "pipe");
  const pid_t child = Fork([&] {
    dup2(ends[1], 1);
    Expect(setgid(65534) == 0 && setuid(65534) == 0, "become nobody");
    execl(program.c_str(), "id", "-u", nullptr);
    _exit(1);
  });
  close(ends[1]);
  char text[16] = {};
  const ssize_t size = read(ends[0], text, sizeof(text) - 1);
  ExpectWell(child, "the setuid program");
  unlink(program.c_str());
  Expect(size > 0 && text == std::string("0\n"), "a setuid program runs without its rights");
}

// What only affects how others may look at it.
void Undumpable(const Scene&) {
  ExpectWell(Fork([] {
               Expect(setgid(65534) == 0 && setuid(65534) == 0, "become nobody");
               Expect(prctl(PR_SET_DUMPABLE, 0) == 0, "PR_SET_DUMPABLE");
               for (int i = 0; i < 100; ++i) Lap();
               ExpectWell(Fork([] { Lap(); }), "its child");
               std::thread([] { Lap(); }).join();
             }),
             "who is not dumpable");
}

void Namespaces(const Scene&) {
  for (int flags : {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWCGROUP, CLONE_NEWUSER,
                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS}) {
    ExpectWell(Fork([flags] {
                 Expect(unshare(flags) == 0, "unshare");
                 for (int i = 0; i < 20; ++i) Lap();
                 // With a new pid namespace it is the init of that.
                 ExpectWell(Fork([] {
                              for (int i = 0; i < 20; ++i) Lap();
                              ExpectWell(Fork([] { Lap(); }), "the grandchild");
                              std::thread([] { Lap(); }).join();
                            }),
                            "the child in the namespace");
               }),
               "who lives in namespaces of its own");
  }
}

// The end of a pid namespace's init takes everybody in it along.
void PidNamespaceEnds(const Scene&) {
  for (int round = 0; round < 10; ++round) {
    const pid_t init = CloneRaw(CLONE_NEWPID | SIGCHLD, [] {
      for (int i = 0; i < 6; ++i) {
        Fork([] {
          for (;;) Lap();
        });
      }
      NapUs(1000);
    });
    ExpectWell(init, "the init");
  }
}

void Chroot(const Scene&) {
  ExpectWell(Fork([] {
               Expect(chroot("/sys") == 0 && chdir("/") == 0, "chroot");
               for (int i = 0; i < 50; ++i) Lap();
               std::thread([] { Lap(); }).join();
             }),
             "who sees nothing but /sys");
}

void InstallFilter(const sock_filter* code, unsigned short length) {
  const sock_fprog filter = {.len = length, .filter = const_cast<sock_filter*>(code)};
  Expect(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "NO_NEW_PRIVS");
  Expect(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "seccomp");
}

// Filters that refuse what has to do with scheduling, that ask a tracer who does not answer, that kill.
void Seccomp(const Scene&) {
  for (uint32_t action : {SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_TRACE, SECCOMP_RET_KILL_PROCESS}) {
    const pid_t child = Fork([action] {
      const sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 1, 0),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, action)};
      InstallFilter(code, 4);
      for (int i = 0; i < 50; ++i) Lap();
    });
    const int status = WaitFor(child);
    const bool kills = action == SECCOMP_RET_KILL_PROCESS;
    Expect(kills ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS : status == 0, "who is under a filter");
  }
}

void Daemonize(const Scene&) {
  int ends[2];
  Expect(pipe(ends) == 0, "pipe");
  ExpectWell(Fork([&ends] {
               Fork([&ends] {
                 Expect(setsid() > 0, "setsid");
                 Fork([&ends] {
                   for (int i = 0; i < 50; ++i) Lap();
                   Expect(write(ends[1], "x", 1) == 1, "write");
                 });
               });
             }),
             "who leaves its family");
  close(ends[1]);
  char byte = 0;
  Expect(read(ends[0], &byte, 1) == 1, "no word of the daemon");
}

void CloseAll(const Scene&) {
  ExpectWell(Fork([] {
               syscall(SYS_close_range, 0, ~0u, 0);
               for (int i = 0; i < 50; ++i) Lap();
             }),
             "who has no descriptors");
}

}  // namespace

const std::vector<ClientAttack> kProcessAttacks = {
    {"fork_bomb", "1022 processes at once", ForkBomb},
    {"thread_storm", "threads that end at once", ThreadStorm},
    {"vfork", "vfork with exec and without", Vfork},
    {"kill_vfork_parent", "the waiting parent of a vfork is killed", KillVforkParent},
    {"clone_untraced", "a child that no tracer gets", CloneUntraced},
    {"clone_untraced_short", "… and that ends at once", CloneUntracedShort},
    {"clone_parent", "children of one's own parent", CloneParent},
    {"clone_vm", "processes in the same memory", CloneVm},
    {"clone_signals", "children with other exit signals", CloneSignals},
    {"exec_non_leader", "exec by another thread than the leader", ExecNonLeader},
    {"exec_setuid", "a setuid program", ExecSetuid},
    {"undumpable", "a process that is not dumpable", Undumpable},
    {"namespaces", "namespaces of every kind", Namespaces},
    {"pid_namespace_ends", "a pid namespace whose init ends", PidNamespaceEnds},
    {"chroot", "a process that sees no files", Chroot},
    {"seccomp", "filters of system calls", Seccomp},
    {"daemonize", "a process that leaves its session and parents", Daemonize},
    {"close_all", "a process without descriptors", CloseAll},
};

}  // namespace ghost::hostile
