// The files of ghostfs: what they say to the byte, what a write to each does, and their errno.
//
// What it is not: commands of the two ctl files are enclave_ctl.h's, ioctls are ioctls.h's. Permission bits against the
// caller's uid are the VFS's job; what is checked here is what a ghost kernel refuses to root as well. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_GHOSTFS_FILES_H_
#define GHOST_KERNEL_USERMODE_CORE_GHOSTFS_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "kernel/usermode/core/ghostfs_tree.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class GhostfsFiles {
 public:
  explicit GhostfsFiles(Kernel& kernel);

  // The root directory's files.
  void AddRoot();
  // enclave_<id>/ and what stands in it; sets the enclave's nodes.
  void AddEnclave(Enclave& enclave);
  // A file that is only mapped.
  uint64_t AddRegion(Enclave& enclave, uint64_t directory, const std::string& name, uint32_t mode, uid_t uid,
                     const Region& region);

  // As Core's; all take and give errno.
  int64_t Open(uint64_t node, int flags);
  int64_t Read(Handle& handle, uint64_t offset, size_t size, std::string* out);
  int64_t Write(Handle& handle, std::string_view data, Caller& caller);
  uint32_t Poll(Handle& handle);
  void Release(uint64_t handle);

 private:
  std::string Text(const Node& node) const;
  int WriteTo(Node& node, std::string_view text, Caller& caller);
  int WriteCpus(Enclave& enclave, std::string_view text, bool list);
  int WriteTasks(Enclave& enclave, std::string_view text, Caller& caller);

  Kernel& kernel_;
  State& state_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_GHOSTFS_FILES_H_
