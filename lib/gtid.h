// Gtid: the number by which a ghost kernel names a thread, for as long as the machine runs and whatever becomes of its
// thread id.
//
//     bit 63: 0 │ bits 62..41: thread id, as it was when the thread was made │ bits 40..0: a sequence number
//
// (The split follows the kernel's greatest thread id, /proc/sys/kernel/pid_max_max; 22 + 41 bits everywhere so far.) A
// value class, as cheap as an int64_t; it keeps no names. Thread-safe.
//
//     GHOST_ASSIGN_OR_RETURN(Gtid gtid, Gtid::FromTid(tid));   // on a ghost kernel; under ghostd ask the enclave
#ifndef GHOST_LIB_GTID_H_
#define GHOST_LIB_GTID_H_

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace ghost {

class Gtid {
 public:
  constexpr Gtid() = default;
  constexpr explicit Gtid(int64_t id) : id_(id) {}
  // What the ABI calls GHOST_NULL_GTID, GHOST_AGENT_GTID, GHOST_IDLE_GTID: targets of a transaction, not threads.
  static constexpr Gtid Null() { return Gtid(0); }
  static constexpr Gtid Agent() { return Gtid(-1); }
  static constexpr Gtid Idle() { return Gtid(-2); }

  // From /proc/<tid>/ghost/gtid. NotFound: no such thread, or not a ghost kernel (ghostd has no such file: see
  // KernelEnclave). `procfs` is where procfs is mounted.
  static absl::StatusOr<Gtid> FromTid(pid_t tid, const std::string& procfs = "/proc");
  static absl::StatusOr<Gtid> Current();

  constexpr int64_t id() const { return id_; }
  // Whether it names a thread.
  constexpr bool is_task() const { return id_ > 0; }
  // The thread id that it was made from; 0 for the special values.
  pid_t tid() const { return is_task() ? static_cast<pid_t>(id_ >> SeqnumBits()) : 0; }
  // "<null>", "<agent>", "<idle>", or "tid/gtid".
  std::string Describe() const;

  // How many bits the sequence number has on this machine.
  static int SeqnumBits();

  friend constexpr auto operator<=>(const Gtid&, const Gtid&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Gtid& gtid) {
    return H::combine(std::move(state), gtid.id_);
  }
  friend std::ostream& operator<<(std::ostream& out, const Gtid& gtid) { return out << gtid.Describe(); }

 private:
  int64_t id_ = 0;
};

}  // namespace ghost

#endif  // GHOST_LIB_GTID_H_
