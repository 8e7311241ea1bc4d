// What an application tells its scheduler about the work of its threads, as policies see it, and where it comes from.
//
// A WorkHint is a checked copy of what the application has written (a PrioTable's sched_item with its work_class,
// shared/prio_table.h); whatever a client writes, a policy gets values in range. A HintSource is what a runtime polls
// for changes: PrioTables of the clients' processes, the simulation's workload, or a test. Tasks of processes without a
// table have no hints: policies treat them by a default.
//
// Threads: the thread of the global agent, unless said otherwise.
#ifndef GHOST_LIB_WORK_HINTS_H_
#define GHOST_LIB_WORK_HINTS_H_

#include <cstdint>

#include "lib/base/time.h"

namespace ghost {

// What has become of the work of a class so far: of finished pieces. A policy counts, in memory that the class has.
struct WorkStatistics {
  int64_t pieces = 0;
  int64_t late = 0;     // done after their deadlines
  int64_t exec_ns = 0;  // on CPUs, all of them
};

struct WorkHint {
  bool has_work = true;     // false: it may be runnable for the kernel, but has nothing to do
  bool repeating = false;   // its work comes anew each `period_ns` (else once)
  uint32_t qos = 0;         // higher is more urgent
  uint32_t work_class = 0;  // as the application numbers them
  Time deadline;            // Time::Infinite(): none
  int64_t exec_ns = 0;      // how long a piece of its work takes, as the application estimates; 0: unknown
  int64_t period_ns = 0;    // of repeating work; 0: none
  // Of its class, whichever task does the work; valid while its task is. Null: nobody keeps any.
  WorkStatistics* statistics = nullptr;
};

class HintSource {
 public:
  class Visitor {
   public:
    virtual ~Visitor() = default;
    // A hint of a task is new, or was written again (even with the same values: that is a new piece of work).
    virtual void OnHint(int64_t gtid, const WorkHint& hint) = 0;
  };

  virtual ~HintSource() = default;

  // A task has come, or has gone. Between passes: may do I/O (finding its process's table) and allocate. A hint that
  // is there already is told by the next Poll.
  virtual void OnTaskNew(int64_t gtid) = 0;
  virtual void OnTaskGone(int64_t gtid) = 0;

  // Tells what has changed since the last call. In the pass: bounded, no I/O, no allocation; its cost is that of the
  // changes. Returns false if something needs attention outside of a pass (Upkeep).
  virtual bool Poll(Visitor* visitor) = 0;
  // Until when nobody need poll: an application wakes nobody when it writes a hint. Asked by a scheduler that is about
  // to sleep until the next message; infinite: there is nothing that could be told without one. `in_use`: a task could
  // run; else nothing that is told would change what does.
  virtual Time NextPoll(Time now, bool in_use) {
    (void)now;
    (void)in_use;
    return Time::Infinite();
  }
  // What does not fit a pass.
  virtual void Upkeep() = 0;

  // Tells the application that a repeating task has work again ("runnable" in its table). In the pass.
  virtual void SetHasWork(int64_t gtid) = 0;
};

}  // namespace ghost

#endif  // GHOST_LIB_WORK_HINTS_H_
