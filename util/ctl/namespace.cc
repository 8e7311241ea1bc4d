#include "util/ctl/namespace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "util/ctl/ghost_mounts.h"

namespace ghost::ctl {
namespace {

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (directory == nullptr) return ErrnoStatus(errno, absl::StrCat("cannot list ", path));
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

absl::Status Mount(const std::string& source, const std::string& target, const char* type, unsigned long flags,
                   const char* options = nullptr) {
  if (mount(source.c_str(), target.c_str(), type, flags, options) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("cannot mount ", target));
}

// An ordinary user gets the right to mount by a user namespace in which he stays who he is.
absl::Status UnshareAsUser() {
  const std::string uid_map = absl::StrCat(geteuid(), " ", geteuid(), " 1");
  const std::string gid_map = absl::StrCat(getegid(), " ", getegid(), " 1");
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    return WithHint(ErrnoStatus(errno, "cannot make a private mount namespace"),
                    "run as root, or: sysctl kernel.unprivileged_userns_clone=1");
  }
  GHOST_RETURN_IF_ERROR(WriteFile("/proc/self/setgroups", "deny"));
  GHOST_RETURN_IF_ERROR(WriteFile("/proc/self/uid_map", uid_map));
  return WriteFile("/proc/self/gid_map", gid_map);
}

absl::Status Unshare() {
  if (unshare(CLONE_NEWNS) == 0) return absl::OkStatus();
  if (errno == EPERM) return UnshareAsUser();
  return ErrnoStatus(errno, "cannot make a private mount namespace");
}

// Puts a tmpfs over /sys/fs that has the same children, through `old`, an fd of the directory below it.
absl::Status CoverSysFs(int old) {
  GHOST_ASSIGN_OR_RETURN(std::vector<std::string> children, ListDirectory("/sys/fs"));
  GHOST_RETURN_IF_ERROR(Mount("ghostctl", "/sys/fs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k"));
  for (const std::string& child : children) {
    const std::string target = absl::StrCat("/sys/fs/", child);
    if (target == kSysfsMount) continue;
    if (mkdir(target.c_str(), 0555) != 0) return ErrnoStatus(errno, absl::StrCat("cannot make ", target));
    GHOST_RETURN_IF_ERROR(Mount(absl::StrCat("/proc/self/fd/", old, "/", child), target, nullptr, MS_BIND | MS_REC));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status EnterGhostNamespace(const std::string& ghostfs) {
  GHOST_ASSIGN_OR_RETURN(ScopedFd source, OpenFile(ghostfs, O_PATH | O_DIRECTORY));
  GHOST_RETURN_IF_ERROR(Unshare());
  // Slave: what is mounted outside arrives here, nothing of ours gets out.
  GHOST_RETURN_IF_ERROR(Mount("none", "/", nullptr, MS_REC | MS_SLAVE));
  GHOST_ASSIGN_OR_RETURN(ScopedFd old, OpenFile("/sys/fs", O_PATH | O_DIRECTORY));
  GHOST_RETURN_IF_ERROR(CoverSysFs(old.get()));
  if (mkdir(kSysfsMount, 0755) != 0) return ErrnoStatus(errno, absl::StrCat("cannot make ", kSysfsMount));
  GHOST_RETURN_IF_ERROR(Mount(ghostfs, kSysfsMount, nullptr, MS_BIND));
  return AnswerGhostMounts();
}

}  // namespace ghost::ctl
