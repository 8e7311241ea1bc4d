// What the simulated applications tell of their threads' work: what a PrioTable is on a real machine.
//
// A HintBoard has a hint for each thread that has written one; it belongs to the applications and outlives agents. A
// SimHintSource is one agent process's view of it (lib/work_hints.h). Writing and reading cost no time. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_HINT_BOARD_H_
#define GHOST_KERNEL_USERMODE_SIM_HINT_BOARD_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "kernel/usermode/core/driver.h"
#include "lib/work_hints.h"

namespace ghost::sim {

using usermode::Tid;

class SimHintSource;

class HintBoard {
 public:
  void Write(Tid tid, const WorkHint& hint);
  // Null: the thread has written none.
  const WorkHint* Find(Tid tid) const;
  // Counts what was written: a word that changes whenever a source has something to tell.
  const uint32_t* changes() const { return &changes_; }

 private:
  friend class SimHintSource;
  absl::flat_hash_map<Tid, WorkHint> hints_;
  std::map<uint32_t, WorkStatistics> statistics_;  // by class: where they are, they stay
  std::vector<SimHintSource*> sources_;
  uint32_t changes_ = 0;
};

class SimHintSource final : public HintSource {
 public:
  // `board` must outlive it.
  explicit SimHintSource(HintBoard* board);
  ~SimHintSource() override;
  SimHintSource(const SimHintSource&) = delete;
  SimHintSource& operator=(const SimHintSource&) = delete;

  void OnTaskNew(int64_t gtid) override;
  void OnTaskGone(int64_t gtid) override;
  bool Poll(Visitor* visitor) override;
  void Upkeep() override {}
  void SetHasWork(int64_t gtid) override;

 private:
  friend class HintBoard;
  void OnWrite(Tid tid);

  HintBoard& board_;
  absl::flat_hash_map<Tid, int64_t> gtids_;  // of the tasks that it was told of
  std::vector<int64_t> changed_;             // to be told, in the order in which they were written first
  absl::flat_hash_set<int64_t> told_;        // those in changed_
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_HINT_BOARD_H_
