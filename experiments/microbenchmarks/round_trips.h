// RoundTrips: what a message to an agent and a decision of it take, measured over one round after another.
//
// Each round, every task stamps the time and yields; the agent sees the message, notes the time, and commits a
// transaction for each CPU of the tasks with one call, between two looks at the clock; each task stamps the time at its
// next instruction.
//
//     task     ──yield──┐                                         ┌──runs
//                       │ delivery                                │
//     agent             └──sees it   opens, commits───────┐       │
//                                    ├────── agent ───────┤       │
//     kernel                         │          commit_time┼target ┤
//                                    └──────── end to end ─────────┘
//
// Two models: the local one (one task, on the agent's own CPU, to which the agent gives way) and the global one (an
// agent that polls, and tasks on CPUs whose own agents sleep). A round in which something else happened (a task was
// preempted, a transaction failed) is run to its end, and not counted.
//
// The same code runs over a ghost kernel, over ghostd and over the simulation: it knows the port only (lib/enclave.h),
// and is given the clock. A step allocates nothing. Threads: set-up, then only the agent's; done() and rounds() from
// all.
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_ROUND_TRIPS_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_ROUND_TRIPS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "experiments/common/latencies.h"
#include "kernel/abi/message.h"
#include "lib/base/cpu_set.h"
#include "lib/channel.h"
#include "lib/enclave.h"
#include "lib/status_word.h"

namespace ghost {

// What a task says: written by it before it yields, read by the agent afterwards. It may lie in shared memory.
struct alignas(64) TaskStamps {
  std::atomic<pid_t> tid{0};
  std::atomic<int64_t> ran_ns{0};      // its first instruction since it was off its CPU
  std::atomic<int64_t> yielded_ns{0};  // its last one before
};

class RoundTrips {
 public:
  struct Options {
    int agent_cpu = 0;
    CpuSet targets = {};  // the CPUs of the tasks: {agent_cpu}, or others
    int64_t rounds = 10'000;
    int64_t warm_up = 1'000;          // rounds before those
    std::function<int64_t()> clock;   // CLOCK_MONOTONIC, in ns
    std::function<void()> took_mail;  // called once messages were read; null: nobody wants to know
  };
  // In ns. `delivery` only if there is one task; `agent` and `target` only in the global model.
  struct Figures {
    Latencies delivery;
    Latencies agent;
    Latencies target;
    Latencies end_to_end;  // of the last task of a round
  };
  enum class Result : uint8_t { kCalled, kPolled, kDone, kKernelGone };

  // `stamps`: of as many tasks as there are targets.
  RoundTrips(Enclave* enclave, const Options& options, std::span<TaskStamps> stamps);
  RoundTrips(const RoundTrips&) = delete;

  // The queue to which all messages come, before there are agents; it wakes the agent in the local model only.
  absl::Status CreateQueue();
  Channel* queue() { return &*queue_; }
  // How many messages it has read so far.
  uint64_t messages() const { return messages_; }

  // What the agent does next, with its status word. The local model: until it is woken again. The global one: a look at
  // its queue, and one commit at most; kPolled: nothing is to be done.
  Result Step(const StatusWord& agent);
  // The round under way is not to be counted.
  void Spoil() { spoiled_ = true; }

  bool local() const { return options_.targets.Contains(options_.agent_cpu); }
  bool done() const { return rounds() >= options_.warm_up + options_.rounds; }
  int64_t rounds() const { return rounds_.load(std::memory_order_acquire); }
  // Rounds that were not counted. Both once the agent does not step any more.
  int64_t spoiled_rounds() const { return spoiled_rounds_; }
  const Figures& figures() const { return figures_; }

 private:
  struct Task {
    int64_t gtid = 0;  // 0: it is not there yet
    uint32_t seqnum = 0;
    int cpu = -1;
    bool runnable = false;
    bool yielded = false;  // since the last commit
    TaskStamps* stamps = nullptr;
  };
  Task* Find(int64_t gtid);
  void OnNew(const TaskNew& message, uint32_t seqnum);
  void OnMessage(const Message& message);
  // False: nothing had come.
  bool ReadMail();
  bool AllRunnable() const;
  void EndRound();
  Result Commit(const StatusWord& agent, uint32_t barrier);
  Result CommitLocal(uint32_t barrier);
  Result CommitRemote();

  Enclave* const enclave_;
  const Options options_;
  std::vector<Task> tasks_;
  std::optional<Channel> queue_;
  CommitGroup group_;
  bool under_way_ = false;  // a commit whose tasks have not all yielded
  bool spoiled_ = false;
  int64_t opened_ns_ = 0;
  int64_t committed_ns_ = 0;
  int64_t seen_ns_ = 0;
  uint64_t messages_ = 0;
  int64_t spoiled_rounds_ = 0;
  std::atomic<int64_t> rounds_{0};
  Figures figures_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_ROUND_TRIPS_H_
