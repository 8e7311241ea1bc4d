// SchedulerHints: what workers' scheduler is told of them, if it is one that listens.
//
// SetIdle is the worker's, after it has emptied its mailbox: a worker that has nothing to do may not come to its next
// line until somebody marks it runnable, so nothing of it may be due then. SetRunnable is the dispatcher's, of a worker
// with an empty mailbox that IsIdle, before it puts requests there. In any other order the two would cross: a worker
// that is not idle yet would become so with requests in its mailbox, and get no CPU for them; one that is quick would
// be idle again before it was marked runnable, and stay runnable without any. The rest is anyone's.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_SCHEDULER_HINTS_H_
#define GHOST_EXPERIMENTS_ROCKSDB_SCHEDULER_HINTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shared/prio_table_helper.h"

namespace ghost {

// For schedulers that are told nothing: a worker that sleeps is idle to them, and one that is woken is not.
class SchedulerHints {
 public:
  virtual ~SchedulerHints() = default;
  // Called by the worker itself, first of all: it has work.
  virtual void Begin(int /*worker*/) {}
  virtual void SetIdle(int /*worker*/) {}
  virtual bool IsIdle(int /*worker*/) const { return true; }
  virtual void SetRunnable(int /*worker*/) {}
};

// In a PrioTable, which must be there before the workers are tasks of the scheduler.
class PrioTableHints : public SchedulerHints {
 public:
  // If status() is not ok there is no table.
  PrioTableHints(int workers, uint32_t qos, absl::Duration service_time) : table_(workers, /*num_classes=*/1) {
    if (table_.status().ok()) table_.SetWorkClass(0, {.qos = qos, .exectime = service_time});
  }
  const absl::Status& status() const { return table_.status(); }

  void Begin(int worker) override { table_.SetThread(worker, /*wcid=*/0); }
  void SetIdle(int worker) override { table_.MarkIdle(worker); }
  bool IsIdle(int worker) const override { return !table_.IsRunnable(worker); }
  void SetRunnable(int worker) override { table_.MarkRunnable(worker, kDeadline); }

 private:
  static constexpr absl::Duration kDeadline = absl::Microseconds(100);

  PrioTableHelper table_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_SCHEDULER_HINTS_H_
