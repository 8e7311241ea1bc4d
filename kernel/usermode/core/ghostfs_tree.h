// The tree of ghostfs: which files there are, and who has them open.
//
// What it is not: what is in a file, and what a write to it does, is ghostfs_files.h's. Nodes are never reused, so a
// stale number is harmless; a handle whose node is gone gives -ENODEV. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_GHOSTFS_TREE_H_
#define GHOST_KERNEL_USERMODE_CORE_GHOSTFS_TREE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

enum class FileKind : uint8_t {
  kDirectory,
  kRegion,  // mapped only
  kRootCtl,
  kVersion,
  kStats,
  kAbiVersion,
  kAgentOnline,
  kCpuList,
  kCpuMask,
  kCtl,
  kRunnableTimeout,
  kStatus,
  kTasks,
  kTunable,
};

struct Node {
  uint64_t id = 0;
  uint64_t parent = 0;
  std::string name = "";
  FileKind kind = FileKind::kDirectory;
  uint32_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;
  uint64_t region = 0;
  Enclave* enclave = nullptr;         // alive as long as the node is in the tree
  bool Tunables::*tunable = nullptr;  // of a kTunable
  uint32_t notifications = 0;
  std::vector<uint64_t> children = {};
};

struct Handle {
  uint64_t node = 0;
  bool readable = false;
  bool writable = false;
  bool has_text = false;
  std::string text = "";  // what the file said at the last read of its start
  uint32_t seen = 0;      // notifications up to the last read
};

class GhostfsTree {
 public:
  explicit GhostfsTree(Kernel& kernel);

  Node* Find(uint64_t id);
  Node* FindChild(uint64_t directory, std::string_view name);
  // Adds `node` (its id and parent are set here) to `directory`, and returns its id.
  uint64_t Add(uint64_t directory, Node node);
  // With all that is below. Nothing if it is gone already.
  void Remove(uint64_t id);
  // Pollers of the node see POLLPRI.
  void Notify(uint64_t id);

  uint64_t Open(Handle handle);
  Handle* FindHandle(uint64_t id);
  void Close(uint64_t id) { handles_.erase(id); }

 private:
  Kernel& kernel_;
  uint64_t last_node_ = 0;
  uint64_t last_handle_ = 0;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Node>> nodes_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Handle>> handles_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_GHOSTFS_TREE_H_
