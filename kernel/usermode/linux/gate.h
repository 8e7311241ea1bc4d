// The user side of the gate's BPF programs: slots of traced threads, the map from tid to slot, and the events.
//
// What it is not: it never calls ptrace and knows nothing of the core; LinuxDriver puts the two together. One thread
// (ghostd's) calls it. The programs detach by themselves when the process ends.
#ifndef GHOST_KERNEL_USERMODE_LINUX_GATE_H_
#define GHOST_KERNEL_USERMODE_LINUX_GATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "third_party/bpf/gate.h"

struct gate;         // the skeleton
struct ring_buffer;  // libbpf

namespace ghost::usermode {

class Gate {
 public:
  using EventCallback = std::function<void(const gate_event&)>;

  // Loads and attaches the programs. Errors carry a hint (no BPF, no BTF, not permitted).
  static absl::StatusOr<std::unique_ptr<Gate>> Create(EventCallback on_event);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Takes a slot for `tid` in state `state` and lets the programs find it. Returns its index, or -1 (none free).
  int Take(int32_t tid, uint32_t state);
  // Gives it back; the programs no longer know the tid (if they still map it to this slot).
  void Give(int slot, int32_t tid);

  uint32_t State(int slot) const;
  // Release. Does nothing to a thread that has exited meanwhile: its end must be seen, and its slot given back.
  void SetState(int slot, uint32_t state);
  // Compare-and-swap; true if `from` was the state.
  bool ChangeState(int slot, uint32_t from, uint32_t to);
  // True once for each gate signal the programs sent.
  bool TakeSignal(int slot);
  // Whether a gate signal was sent that nobody took yet.
  bool SignalSent(int slot) const;
  // True once if a gate signal has taken a pending SIGCONT away from the thread's process.
  bool TakeLostCont(int slot);
  void SetTid(int slot, int32_t tid);
  // Time on a CPU since the slot was taken, ns.
  uint64_t RuntimeNs(int slot, int64_t now_ns) const;

  int event_fd() const;  // readable when there are events
  // Calls back for every event that is there; returns how many.
  int Consume();
  // Events lost since the last call (the ring was full).
  uint64_t TakeDropped();

 private:
  explicit Gate(EventCallback on_event) : on_event_(std::move(on_event)) {}
  absl::Status Load();
  static int OnEvent(void* self, void* data, size_t size);

  EventCallback on_event_;
  ::gate* programs_ = nullptr;
  ::ring_buffer* events_ = nullptr;
  gate_slot* slots_ = nullptr;
  std::vector<int> free_slots_;
  uint64_t dropped_seen_ = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_GATE_H_
