// Control groups, v1 and v2, as their file systems show them now: which directory a user means, and who is in it.
//
// All of it reads; nobody is moved. Any thread.
#ifndef GHOST_UTIL_CTL_CGROUPS_H_
#define GHOST_UTIL_CTL_CGROUPS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ghost::ctl {

struct CgroupMount {
  std::string directory;
  std::string hierarchy;  // of v1: "cpu", "name=systemd"; of v2: ""
};

// The hierarchies of a /proc/PID/mountinfo, in the order in which a name is looked up: v2, then v1's of systemd, then
// cpu, then the others as they stand.
std::vector<CgroupMount> ParseCgroupMounts(absl::string_view mountinfo);
// This process's.
std::vector<CgroupMount> CgroupMounts();

// The directory of the cgroup `path`: a directory itself; or, as in /proc/PID/cgroup, below one of the hierarchies.
// NotFound if there is none.
absl::StatusOr<std::string> FindCgroup(const std::string& path, const std::vector<CgroupMount>& mounts);
// The directory of a systemd unit: "nginx" and "nginx.service" mean the same; another kind of unit has its suffix.
absl::StatusOr<std::string> FindUnit(const std::string& name, const std::vector<CgroupMount>& mounts);

// `directory` and the directories of all cgroups below it.
std::vector<std::string> CgroupsBelow(const std::string& directory);

struct CgroupMembers {
  std::vector<pid_t> processes;
  // Of a threaded cgroup of v2, which has single threads of processes.
  std::vector<pid_t> threads;
};
// Of the cgroup and all below it. NotFound if it is not there (any more).
absl::StatusOr<CgroupMembers> MembersOf(const std::string& directory);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_CGROUPS_H_
