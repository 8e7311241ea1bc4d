// Puts a FUSE file system at a path, takes it away, and keeps two ghostds from serving the same path.
//
// As root by mount(2); as an ordinary user through fusermount3. What it is not: it serves nothing (fuse_server.h does),
// so nobody in this process may touch the path between Create and the first turn of the server's loop. Any one thread.
#ifndef GHOST_KERNEL_USERMODE_LINUX_FUSE_MOUNT_H_
#define GHOST_KERNEL_USERMODE_LINUX_FUSE_MOUNT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"

namespace ghost::usermode {

// `path` made absolute, its parent's links resolved; the last part need not exist or answer. An error if the parent
// does not exist.
absl::StatusOr<std::string> CanonicalMountPath(const std::string& path);

// The right to serve one path: a name in the abstract socket namespace, per mount namespace. It lasts until all copies
// of the descriptor are closed: also a guardian's, so that a successor waits until its predecessor has been tidied up.
class MountLock {
 public:
  // AlreadyExists, "<path> is already served by pid N", if a living ghostd has it; waits for the guardian of a dead
  // one.
  static absl::StatusOr<MountLock> Acquire(const std::string& canonical_path);
  int fd() const { return socket_.get(); }

 private:
  explicit MountLock(ScopedFd socket) : socket_(std::move(socket)) {}
  ScopedFd socket_;
};

class FuseMount {
 public:
  // Detaches what a dead server left there, makes the directory if it is missing (its parent must exist), and mounts.
  static absl::StatusOr<FuseMount> Create(const std::string& canonical_path);
  ~FuseMount() { Unmount(); }
  FuseMount(FuseMount&& other) noexcept;
  FuseMount& operator=(FuseMount&&) = delete;

  // /dev/fuse, for the server.
  ScopedFd TakeDevice() { return std::move(device_); }
  // Detaches it (open files stay open until their owners close them) and removes the directory if Create made it.
  void Unmount();

  const std::string& path() const { return path_; }

 private:
  FuseMount(std::string path, bool made_directory) : path_(std::move(path)), made_directory_(made_directory) {}
  std::string path_;
  bool made_directory_;
  ScopedFd device_;
};

// Whether the file system at `path` has lost its server (ENOTCONN).
bool IsDeadMount(const std::string& path);
// umount2(MNT_DETACH), or fusermount3 where that is not allowed. Async-signal-unsafe (may fork).
bool DetachMount(const std::string& path);

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_FUSE_MOUNT_H_
