// The witness: a thread asks, in user code, whether the kernel says that it is on a CPU at this moment.
//
// A gate that is exact never lets a thread execute a user-mode instruction while the thread's own status word lacks
// ONCPU: every such instruction is a violation. The witness is a client, an ordinary program; it reads the enclave's
// status words (mapped read-only) and depends on nothing of this project but their layout.
//
// Threads: a Witness belongs to one thread. Tallies are shared memory, which fork and exec keep.
#ifndef GHOST_TESTS_E2E_WITNESS_H_
#define GHOST_TESTS_E2E_WITNESS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "kernel/ghost_uapi.h"

namespace ghost::e2e {

// What one thread, or a line of threads and processes one after the other, has seen. One cache line each.
struct alignas(64) Tally {
  std::atomic<uint64_t> checks{0};
  std::atomic<uint64_t> violations{0};
  std::atomic<uint64_t> laps{0};     // of its workload
  std::atomic<uint64_t> lookups{0};  // status words found
};

// The status words of one enclave.
class StatusWords {
 public:
  // Maps sw_0 of the enclave directory. Without it (the kernel is gone) there is no word for anybody.
  explicit StatusWords(const std::string& enclave);

  // The word of thread `tid`; null if the kernel does not know that thread.
  const ghost_status_word* Find(pid_t tid) const;

 private:
  const std::byte* data_ = nullptr;
};

class Witness {
 public:
  // For the calling thread. One that the kernel does not know runs unscheduled: each of its checks is a violation.
  Witness(const StatusWords& words, Tally* tally);
  ~Witness() { Flush(); }

  // One check. Inlined and branch-free enough that it can stand after every syscall.
  void Check() {
    ++checks_;
    const uint32_t flags = word_ == nullptr ? 0 : __atomic_load_n(&word_->flags, __ATOMIC_ACQUIRE);
    if ((flags & GHOST_SW_TASK_ONCPU) == 0) ++violations_;
    if ((checks_ & 0x3ff) == 0) Flush();
  }
  // `count` checks with a little arithmetic in between.
  void Compute(int count);
  void Lap() { tally_->laps.fetch_add(1, std::memory_order_relaxed); }

 private:
  void Flush();

  const ghost_status_word* word_;
  Tally* tally_;
  uint64_t checks_ = 0;
  uint64_t violations_ = 0;
  uint64_t flushed_checks_ = 0;
  uint64_t flushed_violations_ = 0;
};

}  // namespace ghost::e2e

#endif  // GHOST_TESTS_E2E_WITNESS_H_
