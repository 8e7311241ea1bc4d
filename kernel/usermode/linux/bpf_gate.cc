#include "kernel/usermode/linux/bpf_gate.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "third_party/bpf/gate.skel.h"

namespace ghost::usermode {
namespace {

// Events of one Consume. Whoever makes others' threads produce them as fast as ghostd takes them (sched_setaffinity
// from several CPUs) must not keep it from everything else.
constexpr int kMaxBatch = 64;

absl::Status LoadError(int error) {
  absl::Status status = ErrnoStatus(error, "cannot load the BPF programs of the gate");
  if (error == EPERM || error == EACCES) {
    return WithHint(status, "run as root, or give ghostd CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
  }
  // Without CAP_PERFMON the verifier rejects programs with EINVAL, as it does when the kernel lacks something.
  return WithHint(status,
                  "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, on a kernel of 5.17 or newer with "
                  "CONFIG_DEBUG_INFO_BTF; see `ghostctl doctor`");
}

// Counts that the programs only ever raise: what is new in one.
uint64_t Fresh(__u64& counter, uint64_t* seen) {
  uint64_t now = std::atomic_ref<__u64>(counter).load(std::memory_order_relaxed);
  return now - std::exchange(*seen, now);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Gate>> BpfGate::Create(EventCallback on_event) {
  std::unique_ptr<BpfGate> gate(new BpfGate(std::move(on_event)));
  GHOST_RETURN_IF_ERROR(gate->Load());
  return gate;
}

absl::Status BpfGate::Load() {
  libbpf_set_print(nullptr);  // says nothing; errors are told by LoadError
  // Before 5.11 BPF memory counts against this limit.
  rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  for (bool has_argument : {true, false}) {
    programs_ = gate__open();
    if (programs_ == nullptr) return LoadError(errno);
    programs_->rodata->has_prev_state_argument = has_argument;
    programs_->rodata->ghostd_tid = getpid();  // its one thread
    if (gate__load(programs_) == 0) break;
    int error = errno;
    gate__destroy(programs_);
    programs_ = nullptr;
    if (!has_argument || error == EPERM) return LoadError(error);
  }
  LIBBPF_OPTS(bpf_test_run_opts, options);
  if (bpf_prog_test_run_opts(bpf_program__fd(programs_->progs.learn_pid_level), &options) != 0) return LoadError(errno);
  if (gate__attach(programs_) != 0) return LoadError(errno);
  void* slots = mmap(nullptr, kSlotsBytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(programs_->maps.slots), 0);
  if (slots == MAP_FAILED) return ErrnoStatus(errno, "cannot map the gate's slots");
  UseSlots(static_cast<gate_slot*>(slots));
  events_ = ring_buffer__new(bpf_map__fd(programs_->maps.events), OnEvent, this, nullptr);
  if (events_ == nullptr) return ErrnoStatus(errno, "cannot map the gate's events");
  return absl::OkStatus();
}

BpfGate::~BpfGate() {
  if (events_ != nullptr) ring_buffer__free(events_);
  if (slots_ != nullptr) munmap(slots_, kSlotsBytes);
  if (programs_ != nullptr) gate__destroy(programs_);
}

int BpfGate::Take(int32_t tid, uint32_t state) {
  int slot = TakeSlot(tid, state);
  if (slot < 0) return -1;
  uint32_t key = static_cast<uint32_t>(tid);
  uint32_t value = static_cast<uint32_t>(slot);
  if (bpf_map__update_elem(programs_->maps.tids, &key, sizeof(key), &value, sizeof(value), BPF_ANY) == 0) return slot;
  GiveSlot(slot);
  return -1;
}

void BpfGate::Give(int slot, int32_t tid) {
  uint32_t key = static_cast<uint32_t>(tid);
  uint32_t value = 0;
  if (bpf_map__lookup_elem(programs_->maps.tids, &key, sizeof(key), &value, sizeof(value), 0) == 0 &&
      value == static_cast<uint32_t>(slot)) {
    bpf_map__delete_elem(programs_->maps.tids, &key, sizeof(key), 0);
  }
  GiveSlot(slot);
}

// The programs have the new tid already.
void BpfGate::SetTid(int slot, int32_t tid) { slots_[slot].tid = static_cast<uint32_t>(tid); }

int BpfGate::Seize(int, int32_t tid) { return tracee::Seize(tid, 0); }

int BpfGate::Interrupt(int, int32_t tid) { return tracee::Interrupt(tid); }

int BpfGate::Continue(int, int32_t tid, int signal) { return tracee::Continue(tid, signal); }

tracee::Stop BpfGate::Wait(int32_t tid) { return tracee::Wait(tid); }

void BpfGate::AwaitStop(int32_t tid) { waitpid(tid, nullptr, __WALL); }

Gate::Verdict BpfGate::AtSyscallStop(int, int32_t) { return Verdict::kGoOn; }

uint64_t BpfGate::RuntimeNs(int slot, int64_t now_ns) {
  uint64_t since = std::atomic_ref<__u64>(slots_[slot].switched_in_ns).load(std::memory_order_relaxed);
  uint64_t runtime = std::atomic_ref<__u64>(slots_[slot].runtime_ns).load(std::memory_order_relaxed);
  uint64_t now = static_cast<uint64_t>(now_ns);
  return since != 0 && now > since ? runtime + (now - since) : runtime;
}

int BpfGate::event_fd() const { return ring_buffer__epoll_fd(events_); }

int BpfGate::Consume() {
  batch_ = 0;
  const int consumed = ring_buffer__consume(events_);
  return consumed < 0 ? batch_ : consumed;
}

Gate::Losses BpfGate::TakeLosses() {
  Losses fresh;
  fresh.dropped = Fresh(programs_->bss->dropped, &seen_.dropped);
  fresh.missed = Fresh(programs_->bss->missed, &seen_.missed);
  return fresh;
}

int BpfGate::OnEvent(void* self, void* data, size_t size) {
  auto* gate = static_cast<BpfGate*>(self);
  if (size >= sizeof(gate_event)) gate->on_event_(*static_cast<const gate_event*>(data));
  return ++gate->batch_ < kMaxBatch ? 0 : -EAGAIN;  // the rest stays, and keeps event_fd readable
}

}  // namespace ghost::usermode
