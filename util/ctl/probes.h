// What this machine can do: one probe per thing that ghostd, or a ghost kernel, needs of it.
//
// Each probe really tries what it reports on (loads a BPF program, seizes a child with ptrace, mounts in a namespace of
// its own), in a forked child where that could change the caller. They leave nothing behind and may run as any user.
// Call them from a single-threaded program: they fork.
#ifndef GHOST_UTIL_CTL_PROBES_H_
#define GHOST_UTIL_CTL_PROBES_H_

#include <string>
#include <vector>

namespace ghost::ctl {

enum class Verdict {
  kOk,
  kFix,   // something that is needed is missing; `hint` says what to do
  kInfo,  // good to know; nothing fails because of it
};

struct Finding {
  std::string name;  // of the requirement, a word or two
  Verdict verdict = Verdict::kInfo;
  std::string text;  // what was found
  std::string hint;  // with kFix, sometimes with kInfo
};

Finding ProbeKernel();        // release, and whether it is a ghost kernel
Finding ProbeFuse();          // /dev/fuse can be opened
Finding ProbeMount();         // mount(2) works, or fusermount3 is there
Finding ProbeBpf();           // bpf(2) loads a tracing program
Finding ProbeBtf();           // /sys/kernel/btf/vmlinux
Finding ProbePtrace();        // a process that is no descendant can be seized
Finding ProbeRealTime();      // SCHED_FIFO may be used
Finding ProbeRtThrottling();  // how much of a CPU a spinning real-time thread may have
Finding ProbeSharedMemory();  // tmpfs at /dev/shm, with room
Finding ProbeCpus();          // CPUs online
Finding ProbeLockedMemory();  // RLIMIT_MEMLOCK

// Of this process.
bool HasCapSysNice();
// True if this process is root, and not only in a user namespace that an ordinary user has made.
bool IsRealRoot();

// True if the running kernel has the ghost scheduling class (it knows the file system type "ghost").
bool IsGhostKernel();

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_PROBES_H_
