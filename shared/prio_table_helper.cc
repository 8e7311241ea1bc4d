#include "shared/prio_table_helper.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "lib/base/shared_word.h"

namespace ghost {
namespace {

constexpr int kPlacesToTry = 4;  // in the stream, for one change

uint64_t Nanoseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
}

// As an item says it.
uint64_t DeadlineIn(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return 0;
  return static_cast<uint64_t>(std::max<int64_t>(1, (Time::Now() + duration).ns()));
}

template <typename T>
void Set(T& field, T value) {
  StoreShared<Order::kRelaxed>(field, value);
}

}  // namespace

PrioTableHelper::PrioTableHelper(uint32_t num_items, uint32_t num_classes)
    : table_(num_items, num_classes, PrioTable::StreamCapacity::kStreamCapacity97) {}

void PrioTableHelper::SetWorkClass(int wcid, const WorkClass& work_class) {
  struct work_class& shared = *table_.work_class(wcid);
  Set(shared.qos, work_class.qos);
  Set(shared.exectime, Nanoseconds(work_class.exectime));
  Set(shared.period, Nanoseconds(work_class.period));
  Set(shared.flags, work_class.period > absl::ZeroDuration() ? WORK_CLASS_REPEATING : WORK_CLASS_ONESHOT);
}

// Changes an item by write(), and announces it.
template <typename Write>
void PrioTableHelper::Update(int sid, Write write) {
  struct sched_item& item = *table_.sched_item(sid);
  const uint32_t begin = item.seqcount.write_begin();
  write(item);
  item.seqcount.write_end(begin);
  table_.MarkUpdatedIndex(sid, kPlacesToTry - 1);
}

void PrioTableHelper::SetThread(int sid, int wcid, pid_t tid) {
  if (tid == 0) tid = static_cast<pid_t>(syscall(SYS_gettid));
  Update(sid, [&](struct sched_item& item) {
    Set(item.gpid, static_cast<uint64_t>(tid));
    Set(item.wcid, static_cast<uint32_t>(wcid));
    Set(item.flags, item.flags | SCHED_ITEM_RUNNABLE);
    Set(item.deadline, uint64_t{0});
  });
}

void PrioTableHelper::MarkRunnable(int sid, absl::Duration deadline) {
  Update(sid, [deadline = DeadlineIn(deadline)](struct sched_item& item) {
    Set(item.deadline, deadline);
    Set(item.flags, item.flags | SCHED_ITEM_RUNNABLE);
  });
}

void PrioTableHelper::MarkRunnable(int sid, int wcid, absl::Duration deadline) {
  Update(sid, [wcid, deadline = DeadlineIn(deadline)](struct sched_item& item) {
    Set(item.wcid, static_cast<uint32_t>(wcid));
    Set(item.deadline, deadline);
    Set(item.flags, item.flags | SCHED_ITEM_RUNNABLE);
  });
}

void PrioTableHelper::MarkIdle(int sid) {
  Update(sid, [](struct sched_item& item) { Set(item.flags, item.flags & ~SCHED_ITEM_RUNNABLE); });
}

bool PrioTableHelper::IsRunnable(int sid) const {
  return (LoadShared<Order::kAcquire>(table_.sched_item(sid)->flags) & SCHED_ITEM_RUNNABLE) != 0;
}

bool PrioTableHelper::WaitUntilRunnable(int sid, Time end) const {
  while (!IsRunnable(sid)) {
    if (Time::Now() >= end) return false;
    sched_yield();
  }
  return true;
}

}  // namespace ghost
