// The core's hot paths, one method each, over a driver that does nothing: for the allocation test and the benchmark.
//
// Two agents of one process: the agent of CPU 0, which all messages wake, and the parked agent of CPU 1.
#ifndef GHOST_KERNEL_USERMODE_CORE_HOT_PATH_H_
#define GHOST_KERNEL_USERMODE_CORE_HOT_PATH_H_

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/core_harness.h"
#include "lib/base/logging.h"

namespace ghost::usermode {

class QuietDriver : public FakeDriver {
 public:
  int64_t NowNs() override { return now_ns += 100; }
  void Run(int64_t, int) override {}
  void Preempt(int64_t) override {}
  uint64_t RuntimeNs(int64_t) override { return static_cast<uint64_t>(now_ns); }
  void CompleteRequest(uint64_t, int) override {}
};

class HotPath {
 public:
  explicit HotPath(int num_tasks) : harness_(Harness::Defaults(), std::make_unique<QuietDriver>()) {
    harness_.MakeEnclave(1, "0-1");
    agent_.emplace(&harness_, 1, 0, 7, 91, 7);
    remote_.emplace(&harness_, 1, 1, 8, 91, 7);
    ctl_ = static_cast<uint64_t>(harness_.Open("enclave_1/ctl", O_RDWR));
    for (int i = 0; i < num_tasks; ++i) {
      gtids_.push_back(harness_.Enter(1, 100 + i));
      barriers_.push_back(1);
    }
    words_ = harness_.Word(1, {0, 0});
    for (int cpu : {0, 1}) txns_[cpu] = harness_.Txn(1, cpu);
    Drain();
    Yield(*remote_, 1);
  }

  // The agent commits task i on its own CPU, and is parked.
  void CommitLocal(size_t i) {
    Fill(0, i, words_[0].barrier);
    if (Commit(1) != GHOST_TXN_COMPLETE) {  // a message had come; the word shows the truth now
      Fill(0, i, words_[0].barrier);
      GHOST_CHECK(Commit(1) == GHOST_TXN_COMPLETE);
    }
  }
  // … which sleeps, and wakes again.
  void BlockAndWake(size_t i) {
    harness_.core.OnTaskBlocked(gtids_[i]);
    harness_.core.OnTaskReady(gtids_[i], {.waker_cpu = 1, .deferrable = true});
    barriers_[i] += 2;
    Drain();
  }
  // The agent puts task i on CPU 1 and takes it off again.
  void RunRemoteAndPreempt(size_t i) {
    Fill(1, i, 0);
    GHOST_CHECK(Commit(2) == GHOST_TXN_COMPLETE);
    Fill(1, gtids_.size(), 0);
    GHOST_CHECK(Commit(2) == GHOST_TXN_COMPLETE);
    harness_.core.OnTaskGated(gtids_[i]);
    barriers_[i] += 1;
    Drain();
  }
  // A group of both CPUs, the task of the own one yields.
  void GroupAndYield(size_t i, size_t j) {
    do {
      Fill(0, i, words_[0].barrier);
      Fill(1, j, 0);
    } while (Commit(3, GHOST_IOC_SYNC_GROUP_TXN) != GHOST_TXN_COMPLETE);
    harness_.core.OnTaskYielded(gtids_[i]);
    harness_.core.OnTaskYielded(gtids_[j]);
    ++barriers_[i];
    ++barriers_[j];
    Drain();
  }
  // RUN, and a ping that ends it.
  void YieldAndPing() {
    Yield(*agent_, 0);
    ghost_ioc_run ping = {-1, 0, 0, 0, 0};
    harness_.core.Ioctl(ctl_, GHOST_IOC_RUN, std::as_writable_bytes(std::span(&ping, 1)), remote_->caller, 1);
  }
  void TicksAndChanges(size_t i) {
    harness_.core.OnTaskAffinityChanged(gtids_[i]);
    harness_.core.OnTaskPriorityChanged(gtids_[i], 1);
    barriers_[i] += 2;
    harness_.core.OnOtherClass(3, true);
    harness_.core.OnOtherClass(3, false);
    harness_.core.OnTimerfdExpired(0, 1, 2);
    Drain();
  }
  Core& core() { return harness_.core; }

 private:
  void Fill(int cpu, size_t task, uint32_t agent_barrier) {
    ghost_txn& txn = *txns_[cpu];
    const bool none = task == gtids_.size();
    txn.version = 0;
    txn.cpu = cpu;
    txn.agent_barrier = agent_barrier;
    txn.task_barrier = none ? 0 : barriers_[task];
    txn.run_flags = 0;
    txn.commit_flags = COMMIT_AT_TXN_COMMIT;
    txn.gtid = none ? 0 : gtids_[task];
    txn.state = GHOST_TXN_READY;
  }
  // Returns the state of the lowest CPU's transaction.
  int32_t Commit(uint64_t mask, unsigned long command = GHOST_IOC_COMMIT_TXN) {
    ghost_ioc_commit_txn commit = {reinterpret_cast<uint64_t>(&mask), sizeof(mask), 0};
    harness_.core.Ioctl(ctl_, static_cast<uint32_t>(command), std::as_writable_bytes(std::span(&commit, 1)),
                        agent_->caller, 1);
    return txns_[(mask & 1) != 0 ? 0 : 1]->state;
  }
  void Yield(TestAgent& agent, int cpu) {
    ghost_ioc_run run = {0, 0, 0, cpu, 0};
    do {
      run.agent_barrier = words_[cpu].barrier;
    } while (
        harness_.core.Ioctl(ctl_, GHOST_IOC_RUN, std::as_writable_bytes(std::span(&run, 1)), agent.caller, 1).result ==
        -ESTALE);
  }
  void Drain() { agent_->queue.ring()->tail = agent_->queue.ring()->head; }

  Harness harness_;
  std::optional<TestAgent> agent_;
  std::optional<TestAgent> remote_;
  uint64_t ctl_ = 0;
  ghost_status_word* words_ = nullptr;  // the agents have the first two
  ghost_txn* txns_[2] = {};
  std::vector<int64_t> gtids_;
  std::vector<uint32_t> barriers_;  // of the tasks' words
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_HOT_PATH_H_
