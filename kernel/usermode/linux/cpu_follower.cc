#include "kernel/usermode/linux/cpu_follower.h"

#include <sched.h>

#include "lib/base/cpu_set.h"

namespace ghost::usermode {
namespace {

constexpr int kAskAgain = 1024;          // requests after which a thread's mask is read anew
constexpr size_t kMaxRequesters = 4096;  // more than any machine's agents

int PinnedCpu(Tid tid) {
  cpu_set_t mask;
  if (sched_getaffinity(tid, sizeof(mask), &mask) != 0) return -1;
  const CpuSet cpus = CpuSet::FromCpuSetT(mask);
  return cpus.size() == 1 ? cpus.First() : -1;
}

}  // namespace

void CpuFollower::OnRequest(Tid tid) {
  if (tid <= 0) return;
  auto it = requesters_.find(tid);
  if (it == requesters_.end()) {
    if (requesters_.size() >= kMaxRequesters) requesters_.clear();  // mostly of threads long gone
    it = requesters_.try_emplace(tid).first;
    it->second.cpu = PinnedCpu(tid);
  } else if (++it->second.requests >= kAskAgain) {
    it->second = {.cpu = PinnedCpu(tid)};
  }
  const int cpu = it->second.cpu;
  if (cpu < 0) return;  // an ordinary program's request says nothing
  if (cpu == cpu_) {
    streak_ = 0;
    return;
  }
  streak_ = cpu == candidate_ ? streak_ + 1 : 1;
  candidate_ = cpu;
  if (streak_ < kStreak) return;
  const cpu_set_t mask = CpuSet{cpu}.ToCpuSetT();
  sched_setaffinity(0, sizeof(mask), &mask);  // refused, by a cpuset say: then we stay, and don't ask again
  cpu_ = cpu;
  streak_ = 0;
}

}  // namespace ghost::usermode
