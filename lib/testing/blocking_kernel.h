// BlockingKernel: a MockKernel whose agents sleep as a kernel's do: in a yield, and in the commit that gave their CPU
// to a task, until their barrier moves. So a runtime's agent threads can be tested against a test that plays the tasks.
//
//     while (auto started = kernel.blocking_enclave()->NextStarted(timeout)) { … Post(TaskBlocked{started->gtid}) … }
//
// Threads: agents, and one that plays the tasks.
#ifndef GHOST_LIB_TESTING_BLOCKING_KERNEL_H_
#define GHOST_LIB_TESTING_BLOCKING_KERNEL_H_

#include <atomic>
#include <bit>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/time/time.h"
#include "kernel/ghost_uapi.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {

class BlockingEnclave : public MockEnclave {
 public:
  using MockEnclave::MockEnclave;

  struct Started {
    int64_t gtid;
    int cpu;
  };
  // The next task that was given a CPU, in the order of the commits; nullopt: none within `timeout`.
  std::optional<Started> NextStarted(absl::Duration timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout), [this] { return !started_.empty(); })) {
      return std::nullopt;
    }
    const Started started = started_.front();
    started_.pop_front();
    return started;
  }

  int Ioctl(unsigned long number, void* argument) override {
    const int result = MockEnclave::Ioctl(number, argument);
    if (number == GHOST_IOC_RUN) {
      const auto& run = *static_cast<ghost_ioc_run*>(argument);
      if (result == 0 && run.gtid == GHOST_NULL_GTID) Sleep(run.run_cpu, run.agent_barrier);
    } else if (number == GHOST_IOC_COMMIT_TXN) {
      Committed(*static_cast<ghost_ioc_commit_txn*>(argument));
    }
    return result;
  }

 private:
  void Sleep(int cpu, uint32_t barrier) { std::atomic_ref<uint32_t>(agent_word(cpu).barrier).wait(barrier); }

  // A global agent commits other agents' CPUs, and goes on.
  void CommittedRemotely(const ghost_ioc_commit_txn& argument) {
    const CpuSet cpus = CpuSet::FromCpuSetT(*reinterpret_cast<const cpu_set_t*>(argument.mask_ptr));
    std::lock_guard<std::mutex> lock(mutex_);
    for (int cpu : cpus) {
      const ghost_txn& done = txn(cpu);
      if (done.state != GHOST_TXN_COMPLETE || done.gtid <= 0) continue;
      started_.push_back({.gtid = done.gtid, .cpu = cpu});
      changed_.notify_all();
    }
  }
  // Per-CPU agents commit their own CPU only.
  void Committed(const ghost_ioc_commit_txn& argument) {
    if (remote_commits) return CommittedRemotely(argument);
    const int cpu = std::countr_zero(*reinterpret_cast<const uint64_t*>(argument.mask_ptr));
    const ghost_txn& done = txn(cpu);
    if (done.state != GHOST_TXN_COMPLETE) return;
    const uint32_t barrier = done.agent_barrier;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      started_.push_back({.gtid = done.gtid, .cpu = cpu});
      changed_.notify_all();
    }
    Sleep(cpu, barrier);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Started> started_;  // guarded by mutex_
};

class BlockingKernel : public MockKernel {
 public:
  using MockKernel::MockKernel;
  BlockingEnclave* blocking_enclave() { return static_cast<BlockingEnclave*>(enclave()); }

 protected:
  std::unique_ptr<MockEnclave> MakeEnclave(int num_cpus, const CpuSet& cpus) override {
    return std::make_unique<BlockingEnclave>(num_cpus, cpus, &abi());
  }
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_BLOCKING_KERNEL_H_
