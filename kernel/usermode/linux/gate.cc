#include "kernel/usermode/linux/gate.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "third_party/bpf/gate.skel.h"

namespace ghost::usermode {
namespace {

constexpr size_t kSlotsBytes = sizeof(gate_slot) * GATE_MAX_SLOTS;
static_assert(sizeof(gate_slot) == 64);

int IgnoreLibbpf(enum libbpf_print_level, const char*, va_list) { return 0; }

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

std::atomic_ref<uint32_t> AtomicState(gate_slot& slot) { return std::atomic_ref<uint32_t>(slot.state); }

}  // namespace

absl::StatusOr<std::unique_ptr<Gate>> Gate::Create(EventCallback on_event) {
  std::unique_ptr<Gate> gate(new Gate(std::move(on_event)));
  GHOST_RETURN_IF_ERROR(gate->Load());
  return gate;
}

absl::Status Gate::Load() {
  libbpf_set_print(IgnoreLibbpf);
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
  slots_ = static_cast<gate_slot*>(slots);
  events_ = ring_buffer__new(bpf_map__fd(programs_->maps.events), OnEvent, this, nullptr);
  if (events_ == nullptr) return ErrnoStatus(errno, "cannot map the gate's events");
  free_slots_.reserve(GATE_MAX_SLOTS);
  for (int slot = GATE_MAX_SLOTS - 1; slot >= 0; --slot) free_slots_.push_back(slot);
  return absl::OkStatus();
}

Gate::~Gate() {
  if (events_ != nullptr) ring_buffer__free(events_);
  if (slots_ != nullptr) munmap(slots_, kSlotsBytes);
  if (programs_ != nullptr) gate__destroy(programs_);
}

int Gate::Take(int32_t tid, uint32_t state) {
  if (free_slots_.empty()) return -1;
  int slot = free_slots_.back();
  slots_[slot] = {};
  slots_[slot].tid = tid;
  SetState(slot, state);
  uint32_t key = tid;
  uint32_t value = slot;
  if (bpf_map__update_elem(programs_->maps.tids, &key, sizeof(key), &value, sizeof(value), BPF_ANY) != 0) return -1;
  free_slots_.pop_back();
  return slot;
}

void Gate::Give(int slot, int32_t tid) {
  uint32_t key = tid;
  uint32_t value = 0;
  if (bpf_map__lookup_elem(programs_->maps.tids, &key, sizeof(key), &value, sizeof(value), 0) == 0 &&
      value == static_cast<uint32_t>(slot)) {
    bpf_map__delete_elem(programs_->maps.tids, &key, sizeof(key), 0);
  }
  AtomicState(slots_[slot]).store(GATE_FREE, std::memory_order_release);
  free_slots_.push_back(slot);
}

uint32_t Gate::State(int slot) const { return AtomicState(slots_[slot]).load(std::memory_order_acquire); }

void Gate::SetState(int slot, uint32_t state) {
  uint32_t before = State(slot);
  while (before != GATE_EXITED && !AtomicState(slots_[slot]).compare_exchange_weak(before, state)) continue;
}

bool Gate::ChangeState(int slot, uint32_t from, uint32_t to) {
  return AtomicState(slots_[slot]).compare_exchange_strong(from, to, std::memory_order_acq_rel);
}

bool Gate::SignalSent(int slot) const {
  return std::atomic_ref<uint32_t>(slots_[slot].signal_sent).load(std::memory_order_acquire) != 0;
}

bool Gate::TakeSignal(int slot) {
  return std::atomic_ref<uint32_t>(slots_[slot].signal_sent).exchange(0, std::memory_order_acq_rel) != 0;
}

bool Gate::TakeLostCont(int slot) {
  std::atomic_ref<uint32_t> lost(slots_[slot].lost_cont);
  return lost.load(std::memory_order_acquire) != 0 && lost.exchange(0, std::memory_order_acq_rel) != 0;
}

void Gate::SetTid(int slot, int32_t tid) { slots_[slot].tid = tid; }

uint64_t Gate::RuntimeNs(int slot, int64_t now_ns) const {
  uint64_t since = std::atomic_ref<__u64>(slots_[slot].switched_in_ns).load(std::memory_order_relaxed);
  uint64_t runtime = std::atomic_ref<__u64>(slots_[slot].runtime_ns).load(std::memory_order_relaxed);
  uint64_t now = static_cast<uint64_t>(now_ns);
  return since != 0 && now > since ? runtime + (now - since) : runtime;
}

int Gate::event_fd() const { return ring_buffer__epoll_fd(events_); }

int Gate::Consume() { return ring_buffer__consume(events_); }

uint64_t Gate::TakeDropped() {
  uint64_t dropped = std::atomic_ref<__u64>(programs_->bss->dropped).load(std::memory_order_relaxed);
  uint64_t fresh = dropped - dropped_seen_;
  dropped_seen_ = dropped;
  return fresh;
}

int Gate::OnEvent(void* self, void* data, size_t size) {
  if (size >= sizeof(gate_event)) static_cast<Gate*>(self)->on_event_(*static_cast<const gate_event*>(data));
  return 0;
}

}  // namespace ghost::usermode
