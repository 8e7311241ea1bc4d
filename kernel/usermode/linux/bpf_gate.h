// The gate whose trigger is BPF programs (third_party/bpf/gate.bpf.c): they report a thread's block at its
// sched_switch, and send it a signal at the end of that system call, so that it enters a ptrace stop before its next
// user instruction.
//
// What it is not: it does not say which signal-delivery-stops are its own to swallow; LinuxDriver does, by TakeSignal.
// The programs detach by themselves when the process ends.
#ifndef GHOST_KERNEL_USERMODE_LINUX_BPF_GATE_H_
#define GHOST_KERNEL_USERMODE_LINUX_BPF_GATE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/usermode/linux/gate.h"

struct gate;         // the skeleton
struct ring_buffer;  // libbpf

namespace ghost::usermode {

class BpfGate final : public Gate {
 public:
  // Loads and attaches the programs. Errors carry a hint (no BPF, no BTF, not permitted).
  static absl::StatusOr<std::unique_ptr<Gate>> Create(EventCallback on_event);
  ~BpfGate() override;

  std::string_view name() const override { return "ptrace + BPF sys_exit"; }
  bool holds_sleepers() const override { return true; }
  bool sees_strangers() const override { return true; }
  bool scheduling_call_under_way() const override { return false; }  // never known
  int Take(int32_t tid, uint32_t state) override;
  void Give(int slot, int32_t tid) override;
  void SetTid(int slot, int32_t tid) override;
  int Seize(int slot, int32_t tid) override;
  int Interrupt(int slot, int32_t tid) override;
  int Continue(int slot, int32_t tid, int signal) override;
  tracee::Stop Wait(int32_t tid) override;
  void AwaitStop(int32_t tid) override;
  Verdict AtSyscallStop(int slot, int32_t tid) override;
  uint64_t RuntimeNs(int slot, int64_t now_ns) override;
  int event_fd() const override;
  int Consume() override;
  Losses TakeLosses() override;

 private:
  explicit BpfGate(EventCallback on_event) : on_event_(std::move(on_event)) {}
  absl::Status Load();
  static int OnEvent(void* self, void* data, size_t size);

  EventCallback on_event_;
  ::gate* programs_ = nullptr;
  ::ring_buffer* events_ = nullptr;
  Losses seen_;
  int batch_ = 0;  // events of the Consume that is under way
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_BPF_GATE_H_
