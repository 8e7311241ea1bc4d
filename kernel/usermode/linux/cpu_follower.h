// Keeps ghostd on the CPU of the agent that it works for.
//
// A request's hand-over on one CPU takes 10 us, one between two CPUs 40 (a VM, both ends real-time). Left alone, Linux
// makes every hand-over one between two CPUs: it wakes a real-time thread where it last ran, unless a pinned real-time
// thread, as an agent is, runs there. So ghostd pins itself to the agent's CPU, on which it may always preempt the
// agent.
//
// Only for a ghostd of real-time priority: an ordinary one would wait behind a spinning agent. What it is not: it does
// not place agents or tasks. Loop thread only.
#ifndef GHOST_KERNEL_USERMODE_LINUX_CPU_FOLLOWER_H_
#define GHOST_KERNEL_USERMODE_LINUX_CPU_FOLLOWER_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/core/driver.h"

namespace ghost::usermode {

class CpuFollower {
 public:
  // So many requests in a row from another CPU than ours make us follow: agents of several CPUs that take turns do not
  // drag ghostd to and fro.
  static constexpr int kStreak = 8;

  // `tid` has made a request. A table look-up, except for a new thread, and now and then.
  void OnRequest(Tid tid);

  // Where this thread is pinned by now; -1: nowhere.
  int cpu() const { return cpu_; }

 private:
  struct Requester {
    int cpu = -1;      // its only one, or -1
    int requests = 0;  // since we asked
  };

  int cpu_ = -1;
  int candidate_ = -1;
  int streak_ = 0;
  absl::flat_hash_map<Tid, Requester> requesters_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_CPU_FOLLOWER_H_
