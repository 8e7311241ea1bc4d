// PrioTableHelper: the usual things that a program tells its scheduler, each in one call.
//
//     ghost::PrioTableHelper hints(/*num_items=*/1, /*num_classes=*/1);
//     hints.SetWorkClass(0, {.qos = 2, .exectime = absl::Microseconds(10)});
//     hints.SetThread(0, /*wcid=*/0);                // item 0 is the calling thread, of class 0; it has work
//     hints.MarkRunnable(0, absl::Milliseconds(1));  // it has another piece of work, to be done within 1 ms
//     hints.MarkIdle(0);                             // it has none: it gets no CPU until it has
//
// A thread that marks itself idle may not come to its next line until somebody marks it runnable: another thread, or
// the scheduler, if its work repeats.
//
// Make it before the threads become tasks of a scheduler, and keep it as long as they are. Without a scheduler that
// reads it, all of this is without effect. docs/prio-table.md tells the whole of it.
//
// Any thread may call anything for any item. Indexes must be in range.
#ifndef GHOST_SHARED_PRIO_TABLE_HELPER_H_
#define GHOST_SHARED_PRIO_TABLE_HELPER_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/time.h"
#include "shared/prio_table.h"

namespace ghost {

class PrioTableHelper {
 public:
  struct WorkClass {
    uint32_t qos = 0;                                // higher is more urgent
    absl::Duration exectime = absl::ZeroDuration();  // of one piece of work; zero: unknown
    absl::Duration period = absl::ZeroDuration();    // not zero: the work comes again each period
  };

  // If status() is not ok there is no table, and no other call is allowed.
  PrioTableHelper(uint32_t num_items, uint32_t num_classes);
  PrioTableHelper(const PrioTableHelper&) = delete;
  PrioTableHelper& operator=(const PrioTableHelper&) = delete;

  const absl::Status& status() const { return table_.status(); }

  // Before an item names the class; afterwards a scheduler may see a mixture of the old and the new values.
  void SetWorkClass(int wcid, const WorkClass& work_class);
  // The item is for this thread (a thread id as gettid() says it; 0: the calling one) from now on. It has work, without
  // a deadline.
  void SetThread(int sid, int wcid, pid_t tid = 0);

  // The item's thread has a piece of work, to be done within `deadline` from now (infinite: whenever). Its class may
  // change with each.
  void MarkRunnable(int sid, absl::Duration deadline = absl::InfiniteDuration());
  void MarkRunnable(int sid, int wcid, absl::Duration deadline);
  // It has none: the scheduler need not give it a CPU.
  void MarkIdle(int sid);
  // Whether it has work, by MarkRunnable or, with repeating work, by the scheduler.
  bool IsRunnable(int sid) const;
  // Waits until then, giving the CPU away in between: for threads with repeating work, after MarkIdle. False: not
  // until `end`.
  bool WaitUntilRunnable(int sid, Time end = Time::Infinite()) const;

  PrioTable& table() { return table_; }

 private:
  template <typename Write>
  void Update(int sid, Write write);

  PrioTable table_;
};

}  // namespace ghost

#endif  // GHOST_SHARED_PRIO_TABLE_HELPER_H_
