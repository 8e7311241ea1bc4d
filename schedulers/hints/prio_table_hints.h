// PrioTableHints: a HintSource over the PrioTables (shared/prio_table.h) of the tasks' processes.
//
//     options.hints = std::make_shared<PrioTableHints>();    // RuntimeOptions, lib/runtime.h
//
// A process's table is looked for when its first task comes, and again for some seconds, at growing intervals, if it
// has none yet or one that is not ready; later, when it gets another task. Nothing of this waits, and no look takes
// longer than going through 128 descriptors. Processes that share a table (after a fork) share it here. A process that
// is over takes its table with it: a number that is used again never leads to an older process's table.
//
// Tables that are not fit (shared/shmem.h) are as none: their processes' tasks have no hints.
//
// Threads: as HintSource says. Procfs is read between passes only.
#ifndef GHOST_SCHEDULERS_HINTS_PRIO_TABLE_HINTS_H_
#define GHOST_SCHEDULERS_HINTS_PRIO_TABLE_HINTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "boost/intrusive/list.hpp"
#include "lib/base/time.h"
#include "lib/work_hints.h"
#include "schedulers/hints/client_table.h"
#include "schedulers/hints/client_thread.h"
#include "shared/shmem.h"

namespace ghost {

class PrioTableHints final : public HintSource {
 public:
  // How often a process is looked through, each time up to kLinksPerLook descriptors: kLooks times, and once more with
  // each new task, if the last time was kMinPause ago. The pause doubles from kMinPause to kMaxPause.
  static constexpr int kLooks = 32;
  static constexpr int kLinksPerLook = 128;
  static constexpr absl::Duration kMinPause = absl::Milliseconds(1);
  static constexpr absl::Duration kMaxPause = absl::Milliseconds(500);
  // While there is something to look for, every so many Polls ask for Upkeep.
  static constexpr uint32_t kPollsBetweenUpkeeps = 256;
  // How long a scheduler that has nothing to do may let tables be: an eighth of the time for which they have told
  // nothing, between these. The greatest is a tick of a usual kernel: a look costs a user-mode kernel's agent 100 us of
  // CPU time.
  static constexpr absl::Duration kMinRest = absl::Microseconds(50);
  static constexpr absl::Duration kMaxRest = absl::Milliseconds(4);
  // Items that one Poll reads at most, of all tables.
  static constexpr int kMaxReads = 512;

  // `procfs` is where the procfs is mounted in which the tasks' thread ids mean what they mean in gtids.
  explicit PrioTableHints(std::string procfs = "/proc");
  ~PrioTableHints() override;

  // HintSource:
  void OnTaskNew(int64_t gtid) override;
  void OnTaskGone(int64_t gtid) override;
  bool Poll(Visitor* visitor) override;
  Time NextPoll(Time now, bool in_use) override;
  void Upkeep() override;
  void SetHasWork(int64_t gtid) override;

  // For tests.
  size_t num_tables() const { return tables_.size(); }
  size_t num_processes() const { return processes_.size(); }
  uint64_t num_looks() const { return num_looks_; }
  uint64_t num_overflows() const;

 private:
  struct Process;
  struct Task;
  using Link = ClientTask::Link;

  void Look(Process& process, Time now);
  void Attach(Process& process, PrioTable table);
  void Detach(Process& process);
  void ReadWallClock(Time now);

  const std::string procfs_;
  absl::flat_hash_map<int64_t, std::unique_ptr<Task>> tasks_;
  absl::flat_hash_map<ProcessId, std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<ClientTable>> tables_;
  // Those without a table that are still looked through.
  std::vector<Process*> looking_;
  size_t next_look_ = 0;   // in looking_: where Upkeep goes on
  size_t next_table_ = 0;  // in tables_: where Poll goes on
  uint32_t polls_ = 0;
  bool look_is_due_ = false;
  bool has_told_ = false;  // since the last NextPoll
  Time told_at_;
  int64_t wall_clock_ahead_ns_ = 0;
  uint64_t num_looks_ = 0;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_HINTS_PRIO_TABLE_HINTS_H_
