// BpfStateRuntime: the agent's side of programs that keep all that they know in one global variable.
//
// `State`, a struct of third_party/bpf, is that variable's type. The agent maps it, writes the configuration before the
// programs run, and reads what they have counted, also while they write. What every such struct has: `cpu_mask`, the
// enclave's CPUs; `initialized`, before which programs only learn what there is; `cpus`, by number, with `picks`;
// `counters`. A scheduler derives from it and adds its own.
//
// Threads: lib/runtime_base.h says it; what the programs write is read as it is.
#ifndef GHOST_LIB_BPF_STATE_RUNTIME_H_
#define GHOST_LIB_BPF_STATE_RUNTIME_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/bpf/runtime.h"

namespace ghost {

template <typename State>
class BpfStateRuntime : public BpfRuntime {
 public:
  static constexpr int kMaxCpus = static_cast<int>(sizeof(State::cpu_mask) * 8);

  using BpfRuntime::BpfRuntime;

  // What programs count for all CPUs stands with the first.
  RuntimeCounters Counters(int cpu) const final {
    RuntimeCounters result = BpfRuntime::Counters(cpu);
    if (state_ == nullptr || !cpus().Contains(cpu)) return result;
    result.placed = Read(state_->cpus[cpu].picks);
    if (cpu == cpus().First()) CountAll(&result);
    CountOwn(*state_, cpu, &result);
    return result;
  }
  int64_t CountTasks() const final { return state_ == nullptr ? 0 : TasksNow(*state_); }

 protected:
  // Writes the scheduler's own part of the configuration.
  virtual void WriteConfig(State* state) = 0;
  virtual int64_t TasksNow(const State& state) const = 0;
  // Adds what only this scheduler counts.
  virtual void CountOwn(const State& state, int cpu, RuntimeCounters* counters) const = 0;

  // A field that programs write meanwhile.
  template <typename T>
  static T Read(const T& field) {
    return std::atomic_ref<T>(const_cast<T&>(field)).load(std::memory_order_relaxed);
  }
  // A time, in the programs' unit.
  static uint64_t Nanoseconds(absl::Duration duration) {
    return static_cast<uint64_t>(absl::ToInt64Nanoseconds(duration));
  }

  // Null before the programs are loaded; lives as they do.
  const State* state() const { return state_; }

 private:
  void CountAll(RuntimeCounters* result) const {
    const auto& counted = state_->counters;
    result->preempted = Read(counted.preempted);
    result->blocked = Read(counted.blocked);
    result->yielded = Read(counted.yielded);
    result->woken = Read(counted.woken);
    result->moved = Read(counted.elsewhere);
    result->deferred = Read(counted.requeued) + Read(counted.stale);
    result->unknown_tasks = Read(counted.unknown) + Read(counted.no_room);
    result->tasks = TasksNow(*state_);
  }

  absl::Status Configure(BpfPrograms& programs) final {
    state_ = programs.Global<State>();
    if (state_ == nullptr)
      return absl::InternalError(absl::StrCat(name(), "'s programs have another state than this agent"));
    if (cpus().Last() >= kMaxCpus) {
      return absl::InvalidArgumentError(absl::StrCat(name(), " knows CPUs up to ", kMaxCpus - 1));
    }
    for (int cpu : cpus()) state_->cpu_mask[cpu / 64] |= uint64_t{1} << (cpu % 64);
    WriteConfig(state_);
    return absl::OkStatus();
  }

  absl::Status SetTunables() final { return enclave()->SetTunable("deliver_ticks", true); }

  void StartScheduling() final { std::atomic_ref<uint32_t>(state_->initialized).store(1, std::memory_order_release); }

  State* state_ = nullptr;
};

}  // namespace ghost

#endif  // GHOST_LIB_BPF_STATE_RUNTIME_H_
