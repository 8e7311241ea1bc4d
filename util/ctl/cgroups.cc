#include "util/ctl/cgroups.h"

#include <errno.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

namespace fs = std::filesystem;

bool IsCgroup(const fs::path& directory) {
  std::error_code ignored;
  return fs::exists(directory / "cgroup.procs", ignored);
}

void AppendIds(absl::string_view text, std::vector<pid_t>* ids) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t id = 0;
    if (absl::SimpleAtoi(line, &id)) ids->push_back(id);
  }
}

// Where a hierarchy stands in the order of lookups.
int Rank(const CgroupMount& mount) {
  if (mount.hierarchy.empty()) return 0;
  if (mount.hierarchy == "name=systemd") return 1;
  const std::vector<absl::string_view> controllers = absl::StrSplit(mount.hierarchy, ',');
  return std::find(controllers.begin(), controllers.end(), "cpu") != controllers.end() ? 2 : 3;
}

// What of a v1 mount's options names its hierarchy: not what every mount may have.
std::string HierarchyOf(absl::string_view options) {
  std::vector<absl::string_view> names;
  for (absl::string_view option : absl::StrSplit(options, ',')) {
    if (option == "rw" || option == "ro" || option == "xattr" || option == "clone_children") continue;
    if (absl::StartsWith(option, "release_agent=")) continue;
    names.push_back(option);
  }
  return absl::StrJoin(names, ",");
}

absl::Status NoCgroup(const std::string& what, absl::string_view hint) {
  return WithHint(absl::NotFoundError(what), hint);
}

}  // namespace

std::vector<CgroupMount> ParseCgroupMounts(absl::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    // "id parent major:minor root directory options [more]... - type source super_options"
    const std::pair<absl::string_view, absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> mount = absl::StrSplit(halves.first, ' ');
    const std::vector<absl::string_view> type = absl::StrSplit(halves.second, ' ');
    if (mount.size() < 5 || type.size() < 3) continue;
    if (type[0] != "cgroup" && type[0] != "cgroup2") continue;
    CgroupMount found;
    if (!absl::CUnescape(mount[4], &found.directory)) continue;  // a blank is \040 there
    if (type[0] == "cgroup") found.hierarchy = HierarchyOf(type[2]);
    mounts.push_back(std::move(found));
  }
  std::stable_sort(mounts.begin(), mounts.end(),
                   [](const CgroupMount& a, const CgroupMount& b) { return Rank(a) < Rank(b); });
  return mounts;
}

std::vector<CgroupMount> CgroupMounts() {
  absl::StatusOr<std::string> mountinfo = ReadFile("/proc/self/mountinfo");
  return mountinfo.ok() ? ParseCgroupMounts(*mountinfo) : std::vector<CgroupMount>();
}

absl::StatusOr<std::string> FindCgroup(const std::string& path, const std::vector<CgroupMount>& mounts) {
  constexpr char kHint[] = "give its directory, such as /sys/fs/cgroup/system.slice/nginx.service";
  if (path.empty()) return NoCgroup("an empty name is no cgroup", kHint);
  if (IsCgroup(path)) return path;
  for (const CgroupMount& mount : mounts) {
    const fs::path candidate = fs::path(mount.directory) / fs::path(path).relative_path();
    if (IsCgroup(candidate)) return candidate.string();
  }
  return NoCgroup(absl::StrCat("'", path, "' is no cgroup"), kHint);
}

absl::StatusOr<std::string> FindUnit(const std::string& name, const std::vector<CgroupMount>& mounts) {
  const std::string unit = absl::StrContains(name, '.') ? name : absl::StrCat(name, ".service");
  for (const CgroupMount& mount : mounts) {
    for (const std::string& directory : CgroupsBelow(mount.directory)) {
      if (fs::path(directory).filename() == unit) return directory;
    }
  }
  return NoCgroup(absl::StrCat("no cgroup of a unit '", unit, "'"), "is it running? systemctl status; systemd-cgls");
}

std::vector<std::string> CgroupsBelow(const std::string& directory) {
  std::vector<std::string> directories = {directory};
  std::error_code error;
  const auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator it(directory, options, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) directories.push_back(it->path().string());
  }
  return directories;
}

absl::StatusOr<CgroupMembers> MembersOf(const std::string& directory) {
  CgroupMembers members;
  absl::StatusOr<std::string> own = ReadFile(absl::StrCat(directory, "/cgroup.procs"));
  // The processes of a threaded cgroup are listed further up; here are some of their threads.
  const bool threaded = ErrnoOf(own.status()) == EOPNOTSUPP;
  if (!own.ok() && !threaded) {
    return WithHint(absl::NotFoundError(absl::StrCat(directory, " is gone")), "its last process has ended");
  }
  for (const std::string& below : CgroupsBelow(directory)) {
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(below, threaded ? "/cgroup.threads" : "/cgroup.procs"));
    if (text.ok()) AppendIds(*text, threaded ? &members.threads : &members.processes);
  }
  return members;
}

}  // namespace ghost::ctl
