#include "schedulers/hints/client_table.h"

#include <algorithm>

#include "lib/base/shared_word.h"
#include "lib/base/spin.h"
#include "schedulers/hints/hint_rules.h"

namespace ghost {
namespace {

// No gtid is below: its thread id stands above bit 40.
constexpr uint64_t kFirstGtid = uint64_t{1} << 32;
constexpr int kWriteTries = 3;

}  // namespace

ClientTable::ClientTable(PrioTable table) : table_(std::move(table)) {
  items_.resize(static_cast<size_t>(table_.NumItems()));
  statistics_.resize(static_cast<size_t>(table_.NumClasses()));
}

void ClientTable::Add(ClientTask* task) {
  if (!by_gtid_.emplace(task->gtid, task).second) return;
  by_own_tid_.emplace(task->own_tid, task);
  to_scan_ = table_.NumItems();
}

void ClientTable::Remove(ClientTask* task) {
  if (task->item >= 0) items_[task->item].task = nullptr;
  task->item = -1;
  by_gtid_.erase(task->gtid);
  const auto by_tid = by_own_tid_.find(task->own_tid);
  if (by_tid != by_own_tid_.end() && by_tid->second == task) by_own_tid_.erase(by_tid);
}

ClientTask* ClientTable::Find(uint64_t gpid) const {
  if (gpid < kFirstGtid) {
    const auto found = by_own_tid_.find(static_cast<pid_t>(gpid));
    return found == by_own_tid_.end() ? nullptr : found->second;
  }
  const auto found = by_gtid_.find(static_cast<int64_t>(gpid));
  return found == by_gtid_.end() ? nullptr : found->second;
}

void ClientTable::Bind(int index, ClientTask* task) {
  if (task->item >= 0) items_[task->item].task = nullptr;
  task->item = index;
  items_[index].task = task;
}

bool ClientTable::IsNews(const Item& item, const struct sched_item& copy) const {
  if (copy.seqcount.seqnum != item.seqnum) return true;
  if (item.task != nullptr) return false;
  const ClientTask* task = Find(copy.gpid);
  return task != nullptr && task->item < 0;
}

void ClientTable::Tell(HintSource::Visitor* visitor, int index, bool announced) {
  struct sched_item copy;
  if (!table_.ReadItem(index, &copy)) return;  // it will be announced, once it is written
  Item& item = items_[index];
  if (!announced && !IsNews(item, copy)) return;
  item.seqnum = copy.seqcount.seqnum;
  if (item.gpid != copy.gpid || item.task == nullptr) {
    item.gpid = copy.gpid;
    ClientTask* task = Find(copy.gpid);
    if (ClientTask* old = item.task; old != nullptr && old != task) {
      // Nobody speaks for it any more: it is as a task of which nothing was said.
      item.task = nullptr;
      old->item = -1;
      visitor->OnHint(old->gtid, WorkHint{});
    }
    if (task != nullptr) Bind(index, task);
  }
  if (item.task == nullptr) return;
  struct work_class work_class;
  const bool has_class = copy.wcid < static_cast<uint32_t>(table_.NumClasses());
  if (has_class) work_class = table_.ReadClass(static_cast<int>(copy.wcid));
  WorkHint hint = ToWorkHint(copy, has_class ? &work_class : nullptr, wall_clock_ahead_ns_);
  if (has_class) hint.statistics = &statistics_[copy.wcid];
  visitor->OnHint(item.task->gtid, hint);
}

int ClientTable::TellChanges(HintSource::Visitor* visitor, int budget, int64_t wall_clock_ahead_ns) {
  wall_clock_ahead_ns_ = wall_clock_ahead_ns;
  budget = std::min(budget, kMaxReads);
  int reads = 0;
  while (reads < budget) {
    const int index = table_.NextUpdatedIndex();
    if (index == PrioTable::kNoUpdate) break;
    if (index == PrioTable::kOverflow) {
      ++overflows_;
      to_scan_ = table_.NumItems();
      break;
    }
    Tell(visitor, index, /*announced=*/true);
    ++reads;
  }
  for (; to_scan_ > 0 && reads < budget; --to_scan_, ++reads) {
    Tell(visitor, scan_at_, /*announced=*/false);
    scan_at_ = scan_at_ + 1 < table_.NumItems() ? scan_at_ + 1 : 0;
  }
  return reads;
}

void ClientTable::SetHasWork(const ClientTask& task) {
  if (task.item < 0) return;
  Item& item = items_[task.item];
  struct sched_item& shared = *table_.sched_item(task.item);
  for (int attempt = 0; attempt < kWriteTries; ++attempt) {
    const auto [taken, begin] = shared.seqcount.try_write_begin();
    if (!taken) {
      Pause();
      continue;
    }
    // It may speak for another by now: that change will be told.
    const bool ours = LoadShared<Order::kRelaxed>(shared.gpid) == item.gpid;
    if (ours) __atomic_fetch_or(&shared.flags, SCHED_ITEM_RUNNABLE, __ATOMIC_RELAXED);
    shared.seqcount.write_end(begin);
    // Our own write is no news.
    if (item.seqnum == begin - 1) item.seqnum = begin + 1;
    return;
  }
}

}  // namespace ghost
