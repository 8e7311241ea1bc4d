// ClientTable: a PrioTable of an application, and which of its items speaks for which task.
//
// An item names its thread by gpid, a gtid or a thread id. Only tasks of the processes that have the table can be
// named; a task has one item, the one that named it last. After the stream's overflow, and when a task is new, all
// items are looked at, some in each Poll; what was read of an item before is remembered, so that only those are told
// that were written since, or whose task is new.
//
// Threads: one, as of HintSource. What a pass calls (Poll, SetHasWork) allocates nothing and is bounded.
#ifndef GHOST_SCHEDULERS_HINTS_CLIENT_TABLE_H_
#define GHOST_SCHEDULERS_HINTS_CLIENT_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "boost/intrusive/list.hpp"
#include "lib/work_hints.h"
#include "shared/prio_table.h"

namespace ghost {

// A task of which applications may speak.
struct ClientTask {
  using Link = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

  int64_t gtid = 0;
  pid_t tid = 0;
  pid_t own_tid = 0;  // as its own process knows it
  int item = -1;      // in its process's table; -1: none speaks for it
  Link link;          // in its process
};

class ClientTable {
 public:
  // What one Poll does at most, in items that are read.
  static constexpr int kMaxReads = 128;

  explicit ClientTable(PrioTable table);
  ClientTable(const ClientTable&) = delete;
  ClientTable& operator=(const ClientTable&) = delete;

  GhostShmem::Id id() const { return table_.id(); }

  // Not in a pass. A task of a process that has this table; a hint that it has already is told by the next Poll, if the
  // table is small, or the next ones.
  void Add(ClientTask* task);
  void Remove(ClientTask* task);
  // How many there are.
  size_t num_tasks() const { return by_gtid_.size(); }

  // Tells changed hints, reading `budget` items at most (and kMaxReads); returns how many it has read. Those that are
  // left come in later calls.
  int Poll(HintSource::Visitor* visitor, int budget, int64_t wall_clock_ahead_ns) {
    return to_scan_ == 0 && !table_.HasUpdates() ? 0 : TellChanges(visitor, budget, wall_clock_ahead_ns);
  }

  // Sets the RUNNABLE flag of the task's item, unless the application is writing it all the while.
  void SetHasWork(const ClientTask& task);

  uint64_t overflows() const { return overflows_; }

 private:
  struct Item {
    uint64_t gpid = 0;
    uint32_t seqnum = 0;         // as of the last read
    ClientTask* task = nullptr;  // whom it speaks for: then task->item is this one
  };
  int TellChanges(HintSource::Visitor* visitor, int budget, int64_t wall_clock_ahead_ns);
  ClientTask* Find(uint64_t gpid) const;
  void Bind(int index, ClientTask* task);
  // Whether an item that was looked at, not announced, says something that was not told.
  bool IsNews(const Item& item, const struct sched_item& copy) const;
  void Tell(HintSource::Visitor* visitor, int index, bool announced);

  PrioTable table_;
  std::vector<Item> items_;
  std::vector<WorkStatistics> statistics_;  // by class
  absl::flat_hash_map<int64_t, ClientTask*> by_gtid_;
  absl::flat_hash_map<pid_t, ClientTask*> by_own_tid_;
  int to_scan_ = 0;  // items that a look at all of them has not come to yet
  int scan_at_ = 0;
  int64_t wall_clock_ahead_ns_ = 0;
  uint64_t overflows_ = 0;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_HINTS_CLIENT_TABLE_H_
