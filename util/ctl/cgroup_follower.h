// CgroupFollower: moves all processes of a cgroup, and of those below it, and goes on with every newcomer.
//
// Newcomers are processes that somebody puts into the cgroup; children of those that were moved are born in the
// enclave. No file of a cgroup tells all of that: a write to cgroup.procs and a new cgroup are heard of at once
// (inotify), a process that is born into it (clone3 with CLONE_INTO_CGROUP) at the next look; there is one each
// `interval`.
//
// One thread.
#ifndef GHOST_UTIL_CTL_CGROUP_FOLLOWER_H_
#define GHOST_UTIL_CTL_CGROUP_FOLLOWER_H_

#include <sys/types.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/file.h"
#include "util/ctl/cgroups.h"
#include "util/ctl/mover.h"

namespace ghost::ctl {

class CgroupFollower {
 public:
  // `directory` as FindCgroup has it. `leaders_only`: of each process only the first thread.
  CgroupFollower(std::string directory, bool leaders_only, Mover* mover)
      : directory_(std::move(directory)), leaders_only_(leaders_only), mover_(mover) {}

  // Until no look finds anybody new. NotFound: the cgroup is gone. Unavailable: the enclave is.
  absl::Status MoveAll();
  // Goes on with that until `stop` is readable (OK) or the cgroup is gone (NotFound) or the enclave is (Unavailable).
  absl::Status Follow(absl::Duration interval, int stop);

 private:
  // True: there was somebody new.
  absl::StatusOr<bool> Look();
  absl::StatusOr<bool> MoveNew(pid_t id, bool single_thread);
  void ForgetTheDead();
  void WatchFiles();

  const std::string directory_;
  const bool leaders_only_;
  Mover* const mover_;
  // Those that have been moved, with a pidfd each, which tells when the number is free for another one. (Not valid
  // where descriptors ran out: then a number is known until no look finds it.)
  std::map<pid_t, ScopedFd> known_;
  ScopedFd inotify_;
};

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_CGROUP_FOLLOWER_H_
