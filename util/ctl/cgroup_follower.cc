#include "util/ctl/cgroup_follower.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/process.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

// Processes that fork in the middle converge soon: their children are born inside.
constexpr int kMaxLooks = 100;

// A descriptor per process may be more than the 1024 that a shell gives.
void AllowManyDescriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

absl::Status CgroupFollower::MoveAll() {
  AllowManyDescriptors();
  for (int look = 0; look < kMaxLooks; ++look) {
    GHOST_ASSIGN_OR_RETURN(const bool found_new, Look());
    if (!found_new) return absl::OkStatus();
  }
  return WithHint(absl::UnavailableError(absl::StrCat("new processes still turn up after ", kMaxLooks, " looks")),
                  "--follow goes on for as long as they do");
}

absl::StatusOr<bool> CgroupFollower::Look() {
  ForgetTheDead();
  if (mover_->EnclaveGone()) {
    return WithHint(absl::UnavailableError("the enclave is gone"), "its threads go on under the ordinary scheduler");
  }
  GHOST_ASSIGN_OR_RETURN(const CgroupMembers members, MembersOf(directory_));
  bool found_new = false;
  for (const bool single_threads : {false, true}) {
    for (pid_t id : single_threads ? members.threads : members.processes) {
      GHOST_ASSIGN_OR_RETURN(const bool is_new, MoveNew(id, single_threads || leaders_only_));
      found_new |= is_new;
    }
  }
  std::set<pid_t> present(members.processes.begin(), members.processes.end());
  present.insert(members.threads.begin(), members.threads.end());
  std::erase_if(known_, [&present](const auto& entry) { return !present.contains(entry.first); });
  return found_new;
}

absl::StatusOr<bool> CgroupFollower::MoveNew(pid_t id, bool single_thread) {
  if (known_.contains(id)) return false;
  absl::StatusOr<ScopedFd> pidfd = OpenPidfd(id);  // before the move: it is this one's that was moved
  if (ErrnoOf(pidfd.status()) == ESRCH) return false;
  known_.emplace(id, pidfd.ok() ? *std::move(pidfd) : ScopedFd());
  GHOST_RETURN_IF_ERROR(mover_->Move(id, single_thread, Mover::Named::kNo));
  return true;
}

void CgroupFollower::ForgetTheDead() {
  std::vector<pollfd> fds;
  std::vector<pid_t> ids;
  for (const auto& [id, pidfd] : known_) {
    fds.push_back({.fd = pidfd.get(), .events = POLLIN, .revents = 0});
    ids.push_back(id);
  }
  if (poll(fds.data(), fds.size(), 0) <= 0) return;
  for (size_t i = 0; i < fds.size(); ++i) {
    if (fds[i].revents != 0) known_.erase(ids[i]);
  }
}

// Of all cgroups that there are now; those that are watched already stay so.
void CgroupFollower::WatchFiles() {
  for (const std::string& cgroup : CgroupsBelow(directory_)) {
    // An error (too many watches) costs promptness only.
    inotify_add_watch(inotify_.get(), cgroup.c_str(), IN_CREATE | IN_ONLYDIR);
    for (const char* file : {"/cgroup.procs", "/cgroup.threads", "/tasks"}) {
      inotify_add_watch(inotify_.get(), absl::StrCat(cgroup, file).c_str(), IN_MODIFY);
    }
  }
}

absl::Status CgroupFollower::Follow(absl::Duration interval, int stop) {
  inotify_.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  WatchFiles();
  const int interval_ms = static_cast<int>(std::max<int64_t>(1, absl::ToInt64Milliseconds(interval)));
  for (;;) {
    GHOST_RETURN_IF_ERROR(Look().status());
    pollfd fds[2] = {{.fd = stop, .events = POLLIN, .revents = 0},
                     {.fd = inotify_.get(), .events = POLLIN, .revents = 0}};
    if (poll(fds, 2, interval_ms) < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (fds[0].revents != 0) return absl::OkStatus();
    if (fds[1].revents == 0) continue;
    // Which one it was does not matter.
    std::array<char, 64 * 1024> events;
    while (read(inotify_.get(), events.data(), events.size()) > 0) continue;
    WatchFiles();
  }
}

}  // namespace ghost::ctl
