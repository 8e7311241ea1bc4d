#include "schedulers/hints/hint_rules.h"

#include <algorithm>

namespace ghost {
namespace {

int64_t Bounded(uint64_t ns) { return static_cast<int64_t>(std::min<uint64_t>(ns, kMaxHintNs)); }

Time ToDeadline(uint64_t deadline, int64_t wall_clock_ahead_ns) {
  if (deadline == 0 || deadline >= static_cast<uint64_t>(INT64_MAX)) return Time::Infinite();
  int64_t ns = static_cast<int64_t>(deadline);
  if (deadline > kFirstWallClockNs) {
    // The result of this is a time of this machine, not before its boot.
    if (__builtin_sub_overflow(ns, wall_clock_ahead_ns, &ns)) return Time::Infinite();
  }
  return Time::FromNanoseconds(std::max<int64_t>(0, ns));
}

}  // namespace

WorkHint ToWorkHint(const struct sched_item& item, const struct work_class* work_class, int64_t wall_clock_ahead_ns) {
  WorkHint hint = {.has_work = (item.flags & SCHED_ITEM_RUNNABLE) != 0,
                   .deadline = ToDeadline(item.deadline, wall_clock_ahead_ns)};
  if (work_class == nullptr) return hint;
  hint.work_class = item.wcid;
  hint.qos = work_class->qos;
  hint.exec_ns = Bounded(work_class->exectime);
  // Without a period it would have to come again at once, for ever: it comes once.
  if ((work_class->flags & WORK_CLASS_REPEATING) != 0 && work_class->period != 0) {
    hint.repeating = true;
    hint.period_ns = std::max(Bounded(work_class->period), kMinPeriodNs);
  }
  return hint;
}

}  // namespace ghost
