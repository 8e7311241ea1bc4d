// What a policy gets of what an application has written into its PrioTable: every value in range, whatever it was.
//
// Pure. Any thread.
#ifndef GHOST_SCHEDULERS_HINTS_HINT_RULES_H_
#define GHOST_SCHEDULERS_HINTS_HINT_RULES_H_

#include <cstdint>

#include "lib/work_hints.h"
#include "shared/prio_table.h"

namespace ghost {

// exec_ns and period_ns are at most this: an hour.
inline constexpr int64_t kMaxHintNs = 3'600'000'000'000;
// A period is none (0) or at least this.
inline constexpr int64_t kMinPeriodNs = 1'000;

// `work_class` is null if the item names a class that the table does not have: then it is of class 0 without urgency,
// estimate or period. `wall_clock_ahead_ns` is CLOCK_REALTIME - CLOCK_MONOTONIC, for deadlines by the wall clock.
WorkHint ToWorkHint(const struct sched_item& item, const struct work_class* work_class, int64_t wall_clock_ahead_ns);

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_HINTS_HINT_RULES_H_
