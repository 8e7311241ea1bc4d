// The memory that agents map: one tmpfs file per region, in a directory of this ghostd's own.
//
// ghostfs shows a region as a symbolic link to its file, since a FUSE file itself cannot be mapped shared. What it is
// not: it knows neither nodes nor enclaves. Loop thread only.
#ifndef GHOST_KERNEL_USERMODE_LINUX_REGION_STORE_H_
#define GHOST_KERNEL_USERMODE_LINUX_REGION_STORE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "kernel/usermode/core/driver.h"
#include "lib/base/file.h"

namespace ghost::usermode {

class RegionStore {
 public:
  // Makes a directory "ghostd-<n>" in the first of `bases` that is a writable tmpfs, and removes directories there that
  // a dead ghostd of this user has left behind (no living process holds their lock).
  static absl::StatusOr<std::unique_ptr<RegionStore>> Create(const std::vector<std::string>& bases = DefaultBases());
  // /dev/shm, then $XDG_RUNTIME_DIR, then /run.
  static std::vector<std::string> DefaultBases();
  ~RegionStore();  // RemoveAll
  RegionStore(const RegionStore&) = delete;
  RegionStore& operator=(const RegionStore&) = delete;

  // Zeroed memory, backed in full from the start (a full disk is nullopt here, never a SIGBUS later). Should its owner
  // truncate the file, our mapping goes on as memory of our own (region_guard.h). The file belongs to this process's
  // user, mode 0600, until SetAccess.
  std::optional<Region> Allocate(const std::string& name, size_t size);
  // Removes the file and our mapping; mappings of others stay valid.
  void Free(uint64_t id);

  // Who may open the file. No syscall when nothing changes. Where this process may not give files away, the owner
  // stays.
  void SetAccess(uint64_t id, uint32_t mode, uid_t uid, gid_t gid);

  // "" for an id that is not (or no longer) a region.
  std::string Path(uint64_t id) const;
  // Which region a file is, from fstat's numbers; nullopt = none of ours.
  std::optional<uint64_t> IdOf(dev_t device, ino_t inode) const;

  const std::string& directory() const { return directory_; }
  // Held as long as any process has a copy of it: whoever can take this lock may remove the directory.
  int lock_fd() const { return lock_.get(); }
  // Removes all files and the directory; done by the destructor, too. Our mappings stay until then.
  void RemoveAll();
  // The directory of a store whose process has died, and all files in it.
  static void RemoveDirectory(const std::string& directory);

 private:
  struct Entry {
    std::string path;
    Mapping mapping;
    ino_t inode = 0;
    uint32_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
  };

  RegionStore(std::string directory, ScopedFd lock, dev_t device);
  // After somebody has removed the directory: those who have the regions' files open or mapped keep them, and new ones
  // are possible again.
  bool Recreate();

  const std::string directory_;
  ScopedFd lock_;  // the directory, flock()ed: whoever gets the lock knows that we are dead
  const dev_t device_;
  bool removed_ = false;
  uint64_t next_id_ = 1;
  absl::flat_hash_map<uint64_t, Entry> entries_;
  absl::flat_hash_map<ino_t, uint64_t> ids_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_REGION_STORE_H_
