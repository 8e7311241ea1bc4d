// A small child process that outlives a ghostd that dies (kill -9 too) just long enough to tidy up after it.
//
// ghostd pins the threads that it schedules; when it dies, the kernel lets them run again, but nobody gives them their
// own affinity back. The guardian does: it shares a table with ghostd, sleeps until ghostd's end, restores what the
// table still lists, unmounts ghostfs, removes the shared-memory directory, and exits. It ignores SIGINT, SIGTERM,
// SIGHUP and SIGQUIT, and has a session of its own, so that a Ctrl-C does not take both. It also continues a ghostd
// that somebody has stopped: its clients could not go on. If it is stopped itself, ghostd's end continues it.
//
// Table updates are plain stores: no syscall, no lock; ghostd may be killed between any two of them. What it is not: it
// does not restart ghostd, and it cannot help when its whole cgroup is killed. Methods: the loop's thread only.
#ifndef GHOST_KERNEL_USERMODE_LINUX_GUARDIAN_H_
#define GHOST_KERNEL_USERMODE_LINUX_GUARDIAN_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "kernel/usermode/core/driver.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"

namespace ghost::usermode {

// How a thread was before ghostd changed it.
struct SavedTask {
  Tid tid = 0;
  uint64_t start_time = 0;  // field 22 of /proc/<tid>/stat: tells a reused tid (ReadThreadStat in proc.h)
  CpuSet affinity;          // restored always
  bool restore_nice = false;
  int nice = 0;
  bool restore_policy = false;
  int policy = 0;          // SCHED_OTHER, …
  int priority = 0;        // real-time priority of `policy`
  bool send_cont = false;  // ghostd may have stopped it with SIGSTOP: if it is stopped then, SIGCONT its process
};

class Guardian {
 public:
  struct Options {
    int max_tasks = 65536;
    std::vector<int> keep_fds;  // stay open in the guardian (locks that must last until it is done)
  };

  // Forks it. Call early: before other threads exist and before much memory is used.
  static absl::StatusOr<std::unique_ptr<Guardian>> Start(const Options& options);
  ~Guardian();  // Dismiss
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  // Adds, or replaces, the thread's entry. False: the table is full (the thread will not be restored).
  bool Save(const SavedTask& task);
  // For a thread that was let go with its own affinity, or that has ended.
  void Forget(Tid tid);

  // What else to tidy; "" takes it back. A mount is detached, then its directory removed if `remove_mount_directory`.
  void SetMount(const std::string& path, bool remove_mount_directory);
  void SetSharedMemory(const std::string& directory);

  // Clean shutdown: the guardian does what the table still lists (nothing, usually) and exits; waits for that.
  void Dismiss();

  // Another one in the place of one that somebody has killed, with the same table. Costs a fork of ghostd as it is now.
  absl::Status Restart();

  pid_t pid() const { return pid_; }
  // Readable once the guardian has ended; invalid where the kernel has no pidfds.
  ScopedFd OpenEnd() const;

 private:
  struct Slot;
  struct Table;

  Guardian(Table* table, size_t table_size, std::vector<int> keep_fds);
  absl::Status Fork();

  Table* const table_;
  const size_t table_size_;
  const std::vector<int> keep_fds_;
  pid_t pid_ = -1;
  ScopedFd pipe_;  // its closing is the order to finish
  absl::flat_hash_map<Tid, int> slots_;
  std::vector<int> free_slots_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_GUARDIAN_H_
