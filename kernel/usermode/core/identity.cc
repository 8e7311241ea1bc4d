#include "kernel/usermode/core/identity.h"

#include "lib/base/logging.h"

namespace ghost::usermode {

Identity* IdentityTable::Get(Tid tid, uint64_t start_time) {
  if (Identity* known = FindTid(tid); known != nullptr) {
    if (known->start_time == start_time) return known;
    Exited(known);  // the number has gone to another thread
  }
  constexpr int64_t kMask = (int64_t{1} << kGtidSequenceBits) - 1;
  do {
    sequence_ = (sequence_ + 1) & kMask;
  } while (sequence_ == 0);
  auto identity = std::make_unique<Identity>();
  identity->gtid = int64_t{tid} << kGtidSequenceBits | sequence_;
  identity->tid = tid;
  identity->start_time = start_time;
  Identity* raw = identity.get();
  by_tid_[tid] = raw;
  by_gtid_[raw->gtid] = std::move(identity);
  raw->idle_position = idle_.insert(idle_.end(), raw);
  if (idle_.size() > max_idle_ && idle_.front() != raw) Erase(idle_.front());
  return raw;
}

Identity* IdentityTable::FindTid(Tid tid) {
  auto found = by_tid_.find(tid);
  return found == by_tid_.end() ? nullptr : found->second;
}

Identity* IdentityTable::FindGtid(int64_t gtid) {
  auto found = by_gtid_.find(gtid);
  return found == by_gtid_.end() ? nullptr : found->second.get();
}

void IdentityTable::AddUser(Identity* identity) {
  if (identity->users++ == 0) idle_.erase(identity->idle_position);
}

void IdentityTable::DropUser(Identity* identity) {
  GHOST_CHECK(identity->users > 0) << "gtid " << identity->gtid;
  if (--identity->users > 0) return;
  identity->idle_position = idle_.insert(idle_.end(), identity);
  if (identity->tid == 0) {
    Erase(identity);
  } else if (idle_.size() > max_idle_) {
    Erase(idle_.front());
  }
}

void IdentityTable::Exited(Identity* identity) {
  auto found = by_tid_.find(identity->tid);
  if (found != by_tid_.end() && found->second == identity) by_tid_.erase(found);
  identity->tid = 0;
  if (identity->users == 0) Erase(identity);
}

void IdentityTable::ChangeTid(Identity* identity, Tid tid) {
  auto found = by_tid_.find(identity->tid);
  if (found != by_tid_.end() && found->second == identity) by_tid_.erase(found);
  identity->tid = tid;
  Identity*& slot = by_tid_[tid];
  if (slot != nullptr && slot != identity) {
    Identity* leader = slot;  // ends with the exec; whoever uses it will be told so
    slot = identity;
    leader->tid = 0;
    if (leader->users == 0) Erase(leader);
    return;
  }
  slot = identity;
}

void IdentityTable::Erase(Identity* identity) {
  idle_.erase(identity->idle_position);
  auto found = by_tid_.find(identity->tid);
  if (found != by_tid_.end() && found->second == identity) by_tid_.erase(found);
  by_gtid_.erase(identity->gtid);
}

}  // namespace ghost::usermode
