// Where tasks are found and where they wait: the index by gtid, the pool, and the two ways in which tasks stand in
// line.
//
// TaskIndex     gtid -> task, for all CPUs of a runtime. A task's thread id (the upper bits of its gtid) is its place
// in a
//               table that covers all ids, so looking one up is a load and a comparison, and nothing ever moves.
// TaskPool      memory of tasks; grows by chunks, gives nothing back until its end.
// TaskList      tasks in line, of one thread.
// TaskMailbox   tasks handed from any CPU's agent to one.
// TasksAtHome   all tasks of one CPU, whatever they do.
//
// Threads: Find from all at once, at any time: memory of tasks stays valid, and a task that is found is the caller's to
// touch only if it is at home on the caller's CPU. Insert, Erase and the pool take a lock: not for a schedule pass.
// Mailbox: Push from all, TakeAll from one.
#ifndef GHOST_LIB_TASK_INDEX_H_
#define GHOST_LIB_TASK_INDEX_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "lib/task.h"

namespace ghost {

class TaskIndex {
 public:
  TaskIndex();
  ~TaskIndex();
  TaskIndex(const TaskIndex&) = delete;
  TaskIndex& operator=(const TaskIndex&) = delete;

  // The task inserted last with this gtid, or null.
  [[gnu::always_inline]] TaskBase* Find(int64_t gtid) const {
    TaskBase* task = Slot(gtid).load(std::memory_order_acquire);
    if (task != nullptr && __atomic_load_n(&task->gtid_, __ATOMIC_RELAXED) == gtid) [[likely]]
      return task;
    return FindSlow(gtid);
  }
  void Insert(TaskBase* task);
  void Erase(TaskBase* task);

 private:
  // gtid: a sign, 22 bits of thread id, 41 of sequence number. Ids repeat while an old task of the same id is not
  // buried, or after an exec by a thread that is not the leader: those stand in one slot's chain.
  static constexpr int kSequenceBits = 41;
  static constexpr size_t kSlots = size_t{1} << (64 - kSequenceBits);

  std::atomic<TaskBase*>& Slot(int64_t gtid) const { return slots_[static_cast<uint64_t>(gtid) >> kSequenceBits]; }
  TaskBase* FindSlow(int64_t gtid) const;

  std::atomic<TaskBase*>* slots_;  // address space of 64 MiB; only touched pages are memory
  mutable std::mutex mutex_;       // chains
};

class TaskList {
 public:
  bool empty() const { return first_ == nullptr; }
  void PushBack(TaskBase* task) {
    task->next_ = nullptr;
    (last_ == nullptr ? first_ : last_->next_) = task;
    last_ = task;
  }
  TaskBase* PopFront() {
    TaskBase* task = first_;
    if (task == nullptr) return nullptr;
    first_ = task->next_;
    if (first_ == nullptr) last_ = nullptr;
    return task;
  }
  // Takes all of `other`, which is empty then.
  void Take(TaskList* other) {
    *this = *other;
    *other = TaskList();
  }

 private:
  TaskBase* first_ = nullptr;
  TaskBase* last_ = nullptr;
};

class TaskMailbox {
 public:
  bool empty() const { return last_.load(std::memory_order_relaxed) == nullptr; }
  void Push(TaskBase* task) {
    task->next_ = last_.load(std::memory_order_relaxed);
    while (!last_.compare_exchange_weak(task->next_, task, std::memory_order_release, std::memory_order_relaxed)) {
    }
  }
  // In the order in which they came; linked by the returned list.
  TaskList TakeAll() {
    TaskBase* reversed = last_.exchange(nullptr, std::memory_order_acquire);
    TaskBase* ordered = nullptr;
    while (reversed != nullptr) {
      TaskBase* next = reversed->next_;
      reversed->next_ = ordered;
      ordered = reversed;
      reversed = next;
    }
    TaskList list;
    while (ordered != nullptr) {
      TaskBase* next = ordered->next_;
      list.PushBack(ordered);
      ordered = next;
    }
    return list;
  }

 private:
  std::atomic<TaskBase*> last_{nullptr};
};

class TasksAtHome {
 public:
  TaskBase* first() const { return first_; }
  static TaskBase* Next(const TaskBase* task) { return task->next_at_home_; }
  void Add(TaskBase* task) {
    task->previous_at_home_ = nullptr;
    task->next_at_home_ = first_;
    if (first_ != nullptr) first_->previous_at_home_ = task;
    first_ = task;
  }
  void Remove(TaskBase* task) {
    TaskBase* previous = task->previous_at_home_;
    TaskBase* next = task->next_at_home_;
    (previous == nullptr ? first_ : previous->next_at_home_) = next;
    if (next != nullptr) next->previous_at_home_ = previous;
  }

 private:
  TaskBase* first_ = nullptr;
};

template <typename Task>
class TaskPool {
 public:
  explicit TaskPool(int initial) { Grow(initial); }

  // A task as its constructor leaves it. (TaskBase's next_: a policy's task may have another one, from a list's hook.)
  Task* Allocate() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (free_ == nullptr) Grow(kChunk);
    Task* task = free_;
    free_ = static_cast<Task*>(task->TaskBase::next_);
    task->TaskBase::next_ = nullptr;
    return task;
  }
  void Free(Task* task) {
    task->~Task();
    new (task) Task();
    std::lock_guard<std::mutex> lock(mutex_);
    task->TaskBase::next_ = free_;
    free_ = task;
  }

 private:
  static constexpr int kChunk = 256;

  void Grow(int count) {
    chunks_.push_back(std::make_unique<Task[]>(count));
    for (int i = 0; i < count; ++i) {
      Task* task = &chunks_.back()[i];
      task->TaskBase::next_ = free_;
      free_ = task;
    }
  }

  std::mutex mutex_;
  Task* free_ = nullptr;
  std::vector<std::unique_ptr<Task[]>> chunks_;
};

}  // namespace ghost

#endif  // GHOST_LIB_TASK_INDEX_H_
