// TaskKeeper<Task>: the records of a runtime's tasks, and what any runtime does with them whatever its model: finding
// the one that a message is about, keeping its sequence number, reading its affinity and its status word, burying it.
//
// It knows no run queues and no states beyond that: what a task's news mean is the runtime's part.
//
// Threads: Find and Advance as TaskIndex says; the rest allocates, locks or asks the kernel: not for a schedule pass.
#ifndef GHOST_LIB_TASK_KEEPER_H_
#define GHOST_LIB_TASK_KEEPER_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/channel.h"
#include "lib/enclave.h"
#include "lib/status_word.h"
#include "lib/task.h"
#include "lib/task_index.h"

namespace ghost {

// Whether messages of a queue were lost, and when to look at all tasks afresh then: not before all is handled that
// stands in the queue. It may be about an earlier stay of a task in the enclave, whose numbers would pass for news of
// the one that is found.
class FreshLook {
 public:
  // In the pass: the kernel has dropped messages since CountLost.
  bool Overflowed(const Channel& queue) const { return queue.overflow() != overflow_seen_; }
  // How many it has dropped since the last call; a look is wanted if there are any.
  uint32_t CountLost(const Channel& queue) {
    const uint32_t overflow = queue.overflow();
    const uint32_t lost = overflow - std::exchange(overflow_seen_, overflow);
    if (lost != 0) Want();
    return lost;
  }
  // What is known of tasks can't be trusted.
  void Want() { wanted_ = true; }
  // True once, when it is time. It does for all that was lost until now.
  bool TakeIfDue(const Channel& queue) {
    if (!planned_ || !queue.HasTaken(after_)) return false;
    planned_ = wanted_ = false;
    return true;
  }
  // After burials, for who is buried may be back at once. True: a look is to come.
  bool Plan(const Channel& queue) {
    if (std::exchange(wanted_, false) && !std::exchange(planned_, true)) after_ = queue.Head();
    return planned_;
  }

 private:
  uint32_t overflow_seen_ = 0;
  bool wanted_ = false;
  bool planned_ = false;
  uint32_t after_ = 0;
};

template <typename Task>
class TaskKeeper {
 public:
  TaskKeeper(Enclave* enclave, int initial_tasks) : enclave_(*enclave), pool_(initial_tasks) {}

  [[gnu::always_inline]] Task* Find(int64_t gtid) const { return static_cast<Task*>(index_.Find(gtid)); }
  // Follows the number of a message about the task, before the policy may let anyone see it. False: it is no news; a
  // look at the status word has told it already.
  [[gnu::always_inline]] static bool Advance(Task* task, uint32_t seqnum) {
    if (static_cast<int32_t>(task->seqnum_ - seqnum) >= 0) [[unlikely]]  // numbers wrap
      return false;
    task->seqnum_ = seqnum;
    return true;
  }
  // Whether a TASK_NEW is about this very record: told again, as somebody wrote `discover tasks`.
  static bool IsSame(const Task& task, const ghost_sw_info& word) {
    const ghost_sw_info own = task.status_word_.info();
    return own.id == word.id && own.index == word.index;
  }

  // A record of a task that may run on all of the enclave's CPUs, and is at home on `home`.
  Task* Add(int64_t gtid, uint32_t seqnum, const StatusWord& word, int home) {
    Task* task = pool_.Allocate();
    task->SetGtid(gtid);
    task->seqnum_ = seqnum;
    task->status_word_ = word;
    task->home_ = home;  // before any CPU's agent may find it
    task->allowed_ = enclave_.cpus();
    index_.Insert(task);
    return task;
  }
  void Bury(Task* task) {
    // Out of the index first: freeing the word of a task that came back lets its TASK_NEW loose, to any CPU.
    index_.Erase(task);
    // It fails if the kernel has freed the word itself, as it does when the last message found no room.
    enclave_.status_words().Free(task->status_word_);
    pool_.Free(task);
  }

  // Where it may run, from the kernel; within the enclave.
  void ReadAffinity(Task* task) {
    absl::StatusOr<CpuSet> affinity = enclave_.kernel().TaskAffinity(task->gtid_);
    // A task that has just died has none; its last message is on the way.
    task->allowed_ = affinity.ok() ? *affinity & enclave_.cpus() : enclave_.cpus();
    if (task->allowed_.empty()) task->allowed_ = enclave_.cpus();
  }

  // What a status word says of its task, as of `barrier`: all messages up to that are old then.
  struct Look {
    uint32_t barrier = 0;
    bool gone = false;  // dead, departed, or the word is another's
    bool runnable = false;
    bool on_cpu = false;
  };
  static Look LookAt(const StatusWord& word, int64_t gtid) {
    const uint32_t barrier = word.barrier();
    const uint32_t flags = word.flags();
    return {.barrier = barrier,
            .gone = word.gtid() != gtid || (flags & GHOST_SW_F_INUSE) == 0 || (flags & GHOST_SW_F_CANFREE) != 0,
            .runnable = (flags & GHOST_SW_TASK_RUNNABLE) != 0,
            .on_cpu = (flags & GHOST_SW_TASK_ONCPU) != 0};
  }
  // Tasks without a record whose TASK_NEW came to this queue, the default one, and found no room:
  // visit(gtid, word, look).
  template <typename Visit>
  void ForEachMissed(Channel& queue, Visit visit) {
    enclave_.status_words().ForEachTask([&](const StatusWord& word) {
      const int64_t gtid = word.gtid();
      const Look look = LookAt(word, gtid);
      // A record with another word is of an earlier stay, of whose end nobody will tell: the kernel has freed that
      // word.
      const Task* known = Find(gtid);
      if ((known != nullptr && IsSame(*known, word.info())) || look.gone) return;
      // Only a task whose messages come here, and whose TASK_NEW was sent.
      if (queue.Associate(gtid, look.barrier) == GHOST_ASSOC_SF_ALREADY) visit(gtid, word, look);
    });
  }

  // A line of a dump, without its end.
  static void Describe(const Task& task, std::string* text) {
    absl::StrAppend(text, "  task ", task.gtid_, " tid ", task.gtid_ >> 41, " ", TaskStateName(task.state_), " seqnum ",
                    task.seqnum_, " ran ", task.runtime_ns_, " ns cpus ", ToCpuList(task.allowed_));
  }

 private:
  Enclave& enclave_;
  TaskIndex index_;
  TaskPool<Task> pool_;
};

}  // namespace ghost

#endif  // GHOST_LIB_TASK_KEEPER_H_
