#include "kernel/usermode/linux/fuse_mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "lib/base/fd_passing.h"
#include "lib/base/status.h"

namespace ghost::usermode {
namespace {

constexpr char kFusermount[] = "fusermount3";
constexpr int kMaxStacked = 16;

struct CommandResult {
  int status = -1;    // exit status; -1: it could not be started or was killed
  std::string error;  // what it wrote to stderr, one line
};

// Runs fusermount3. `comm_fd`: the socket through which it hands over the device, or -1.
CommandResult RunFusermount(const std::vector<std::string>& arguments, int comm_fd) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return {};
  ScopedFd read_end(pipe_fds[0]), write_end(pipe_fds[1]);
  std::vector<char*> argv = {const_cast<char*>(kFusermount)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::string comm = absl::StrCat("_FUSE_COMMFD=", comm_fd);
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
  if (comm_fd >= 0) environment.push_back(comm.data());
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDERR_FILENO);
  // Onto itself: the child's copy loses FD_CLOEXEC.
  if (comm_fd >= 0) posix_spawn_file_actions_adddup2(&actions, comm_fd, comm_fd);
  pid_t pid;
  const int error = posix_spawnp(&pid, kFusermount, &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return {-1, absl::StrCat("cannot run ", kFusermount, ": ", strerror(error))};
  write_end.reset();

  CommandResult result;
  char text[512];
  for (ssize_t n; (n = read(read_end.get(), text, sizeof(text))) > 0 || (n < 0 && errno == EINTR);) {
    if (n > 0) result.error.append(text, static_cast<size_t>(n));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

// As an ordinary user. Others may see it only where /etc/fuse.conf has user_allow_other.
absl::StatusOr<ScopedFd> MountByFusermount(const std::string& path) {
  std::string why;
  for (const char* options : {"fsname=ghost,subtype=ghost,default_permissions,allow_other",
                              "fsname=ghost,subtype=ghost,default_permissions"}) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return ErrnoStatus(errno, "socketpair");
    ScopedFd ours(sockets[0]), theirs(sockets[1]);
    CommandResult result = RunFusermount({"-o", options, "--", path}, theirs.get());
    if (result.status == 0) {
      char byte;
      ScopedFd device;
      if (ReceiveByteAndFd(ours.get(), &byte, &device, MSG_DONTWAIT) == 1 && device.valid()) return device;
    }
    why = result.error.empty() ? absl::StrCat(kFusermount, " failed") : result.error;
  }
  return WithHint(
      WithExitCode(absl::PermissionDeniedError(absl::StrCat("cannot mount ", path, ": ", why)), ExitCode::kPermission),
      "run as root; or install fuse3, chmod 666 /dev/fuse, and own the mount directory");
}

absl::StatusOr<ScopedFd> OpenFuseDevice() {
  constexpr char kNoDevice[] = "modprobe fuse; in a container, start it with --device /dev/fuse";
  absl::StatusOr<ScopedFd> device = OpenFile("/dev/fuse", O_RDWR);
  if (!device.ok()) {
    const int error = ErrnoOf(device.status());
    const bool refused = error == EACCES || error == EPERM;
    return WithHint(device.status(), refused ? "allow this container to use the device /dev/fuse" : kNoDevice);
  }
  struct stat attributes;
  if (fstat(device->get(), &attributes) != 0 || attributes.st_rdev != makedev(10, 229)) {
    return WithHint(absl::FailedPreconditionError("/dev/fuse is not the FUSE device (10, 229)"), kNoDevice);
  }
  return device;
}

absl::StatusOr<ScopedFd> Mount(const std::string& path) {
  if (geteuid() != 0) return MountByFusermount(path);
  GHOST_ASSIGN_OR_RETURN(ScopedFd device, OpenFuseDevice());
  const std::string options =
      absl::StrFormat("fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", device.get(),
                      geteuid(), getegid());
  if (mount("ghost", path.c_str(), "fuse.ghost", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) == 0) {
    return device;
  }
  if (errno == EPERM) return MountByFusermount(path);
  return WithHint(ErrnoStatus(errno, absl::StrCat("cannot mount ", path)),
                  errno == ENODEV ? "the kernel has no FUSE: modprobe fuse" : "try another directory: --mount PATH");
}

bool IsMountPoint(const std::string& path) {
  // The kernel's list separates by blanks, and escapes those in names.
  const std::string listed =
      absl::StrReplaceAll(path, {{"\\", "\\134"}, {" ", "\\040"}, {"\t", "\\011"}, {"\n", "\\012"}});
  absl::StatusOr<std::string> mounts = ReadFile("/proc/self/mountinfo");
  if (!mounts.ok()) return false;
  for (absl::string_view line : absl::StrSplit(*mounts, '\n')) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(' ', 5));
    if (fields.size() > 4 && fields[4] == listed) return true;
  }
  return false;
}

bool IsEmptyDirectory(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return false;
  int entries = 0;
  while (readdir(directory) != nullptr) ++entries;
  closedir(directory);
  return entries <= 2;  // . and ..
}

absl::Status InTheWay(const std::string& path, absl::string_view what) {
  return WithHint(
      WithExitCode(absl::AlreadyExistsError(absl::StrCat("cannot mount ", path, ": ", what)), ExitCode::kBusy),
      "choose an empty directory: --mount PATH");
}

sockaddr_un LockAddress(const std::string& path, socklen_t* length) {
  struct stat mount_namespace = {};
  stat("/proc/self/ns/mnt", &mount_namespace);
  std::string name = absl::StrCat("ghostd-", mount_namespace.st_ino, "-", path);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // Names over 106 bytes: the end of the path distinguishes better than its beginning.
  if (name.size() > sizeof(address.sun_path) - 1) name.erase(0, name.size() - (sizeof(address.sun_path) - 1));
  memcpy(address.sun_path + 1, name.data(), name.size());
  *length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

}  // namespace

absl::StatusOr<std::string> CanonicalMountPath(const std::string& path) {
  std::string text = path;
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  const size_t slash = text.rfind('/');
  const std::string name = slash == std::string::npos ? text : text.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("--mount ", path, ": not a name for a directory")),
                    "give a path like /run/ghost");
  }
  std::string parent = slash == std::string::npos ? "." : text.substr(0, slash + 1);
  char resolved[PATH_MAX];
  if (realpath(parent.c_str(), resolved) == nullptr) {
    return WithHint(ErrnoStatus(errno, absl::StrCat("--mount ", path)), absl::StrCat("mkdir -p ", parent));
  }
  return absl::StrCat(strcmp(resolved, "/") == 0 ? "" : resolved, "/", name);
}

absl::StatusOr<MountLock> MountLock::Acquire(const std::string& canonical_path) {
  socklen_t length;
  const sockaddr_un address = LockAddress(canonical_path, &length);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  for (;;) {
    ScopedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket.valid()) return ErrnoStatus(errno, "socket");
    if (bind(socket.get(), generic, length) == 0) {
      if (listen(socket.get(), SOMAXCONN) != 0) return ErrnoStatus(errno, "listen");
      return MountLock(std::move(socket));
    }
    if (errno != EADDRINUSE) return ErrnoStatus(errno, absl::StrCat("cannot lock ", canonical_path));
    // The owner's pid is that of whoever called listen(), which a guardian did not.
    ucred owner = {};
    socklen_t size = sizeof(owner);
    if (connect(socket.get(), generic, length) != 0) continue;  // gone meanwhile
    getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size);
    if (owner.pid == 0 || kill(owner.pid, 0) == 0 || errno == EPERM) {
      return WithHint(
          WithExitCode(absl::AlreadyExistsError(absl::StrCat(canonical_path, " is already served by pid ", owner.pid)),
                       ExitCode::kBusy),
          absl::StrCat("use it, stop it with: kill ", owner.pid, ", or serve another directory: --mount PATH"));
    }
    pollfd end = {socket.get(), POLLIN, 0};
    poll(&end, 1, -1);  // hangs up when the guardian exits
  }
}

bool IsDeadMount(const std::string& path) {
  struct stat attributes;
  return stat(path.c_str(), &attributes) != 0 && errno == ENOTCONN;
}

bool DetachMount(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return true;
  return errno == EPERM && RunFusermount({"-u", "-z", "-q", "--", path}, -1).status == 0;
}

absl::StatusOr<FuseMount> FuseMount::Create(const std::string& canonical_path) {
  for (int i = 0; i < kMaxStacked && IsDeadMount(canonical_path); ++i) {
    if (!DetachMount(canonical_path)) {
      return WithHint(
          WithExitCode(absl::PermissionDeniedError(absl::StrCat(
                           "cannot mount ", canonical_path, ": a dead ghostd's mount is there and cannot be detached")),
                       ExitCode::kPermission),
          absl::StrCat("as its owner or root: umount -l ", canonical_path));
    }
  }
  if (IsMountPoint(canonical_path)) return InTheWay(canonical_path, "another file system is mounted there");
  const bool made_directory = mkdir(canonical_path.c_str(), 0755) == 0;
  if (!made_directory && errno != EEXIST) {
    return WithHint(ErrnoStatus(errno, absl::StrCat("cannot make ", canonical_path)),
                    "choose a directory that you may write: --mount PATH");
  }
  FuseMount mount(canonical_path, made_directory);
  if (!IsEmptyDirectory(canonical_path)) {
    mount.path_.clear();
    return InTheWay(canonical_path, "not an empty directory");
  }
  absl::StatusOr<ScopedFd> device = Mount(canonical_path);
  if (!device.ok()) {
    if (made_directory) rmdir(canonical_path.c_str());
    mount.path_.clear();
    return device.status();
  }
  mount.device_ = *std::move(device);
  return mount;
}

FuseMount::FuseMount(FuseMount&& other) noexcept
    : path_(std::exchange(other.path_, "")),
      made_directory_(other.made_directory_),
      device_(std::move(other.device_)) {}

void FuseMount::Unmount() {
  if (path_.empty()) return;
  DetachMount(path_);
  if (made_directory_) rmdir(path_.c_str());
  path_.clear();
}

}  // namespace ghost::usermode
