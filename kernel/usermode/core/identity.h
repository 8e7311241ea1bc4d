// Which gtid a thread has: given once, kept for as long as the thread can be told to be the same.
//
// A gtid is pid << 41 | 41-bit number of one global sequence (never 0). A thread keeps it when it leaves ghost and
// comes back; entries of threads that are in ghost, or whose last status word its agent has yet to free, are never
// forgotten, of the others only the `max_idle` youngest are remembered. What it is not: it asks no one whether a thread
// lives. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_IDENTITY_H_
#define GHOST_KERNEL_USERMODE_CORE_IDENTITY_H_

#include <cstdint>
#include <list>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/core/driver.h"

namespace ghost::usermode {

struct Enclave;

inline constexpr int kGtidSequenceBits = 41;

inline Tid TidBitsOf(int64_t gtid) { return static_cast<Tid>(gtid >> kGtidSequenceBits); }

struct Identity {
  int64_t gtid = 0;
  Tid tid = 0;
  uint64_t start_time = 0;  // Driver::StartTime: tells a reused tid
  int users = 0;            // being a task or an agent; each outstanding gated word
  // Inhibited: it departed, and its agent has not freed the word of that stay yet. Its messages are dropped.
  bool inhibited = false;
  const Enclave* inhibited_by = nullptr;
  std::list<Identity*>::iterator idle_position;  // only while users == 0
};

class IdentityTable {
 public:
  explicit IdentityTable(size_t max_idle) : max_idle_(max_idle) {}

  // The thread's identity, made now if it has none (or a namesake's, by start_time).
  Identity* Get(Tid tid, uint64_t start_time);
  Identity* FindTid(Tid tid);
  Identity* FindGtid(int64_t gtid);

  // A user keeps the identity from being forgotten.
  void AddUser(Identity* identity);
  void DropUser(Identity* identity);

  // The thread has ended. The identity stays until its last user goes, but its tid no longer finds it.
  void Exited(Identity* identity);
  // exec by a thread that was not the leader gives it its leader's tid; the gtid stays.
  void ChangeTid(Identity* identity, Tid tid);

  // Calls `visit(Identity*)` for each. `visit` must not add, drop or end identities.
  template <typename Visitor>
  void ForEach(Visitor visit) {
    for (auto& [gtid, identity] : by_gtid_) visit(identity.get());
  }

  size_t size() const { return by_gtid_.size(); }

 private:
  void Erase(Identity* identity);

  const size_t max_idle_;
  int64_t sequence_ = 0;
  absl::flat_hash_map<int64_t, std::unique_ptr<Identity>> by_gtid_;
  absl::flat_hash_map<Tid, Identity*> by_tid_;
  std::list<Identity*> idle_;  // oldest first
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_IDENTITY_H_
