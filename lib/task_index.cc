#include "lib/task_index.h"

#include <sys/mman.h>

#include "lib/base/logging.h"

namespace ghost {

TaskIndex::TaskIndex() {
  void* memory = mmap(nullptr, kSlots * sizeof(std::atomic<TaskBase*>), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  GHOST_CHECK(memory != MAP_FAILED) << "no address space for the task index";
  // One task must not cost a huge page.
  madvise(memory, kSlots * sizeof(std::atomic<TaskBase*>), MADV_NOHUGEPAGE);
  slots_ = static_cast<std::atomic<TaskBase*>*>(memory);  // zeroes are null pointers
}

TaskIndex::~TaskIndex() { munmap(slots_, kSlots * sizeof(std::atomic<TaskBase*>)); }

TaskBase* TaskIndex::FindSlow(int64_t gtid) const {
  if (Slot(gtid).load(std::memory_order_relaxed) == nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  TaskBase* task = Slot(gtid).load(std::memory_order_relaxed);
  while (task != nullptr && task->gtid_ != gtid) task = task->next_of_pid_;
  return task;
}

void TaskIndex::Insert(TaskBase* task) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::atomic<TaskBase*>& slot = Slot(task->gtid_);
  task->next_of_pid_ = slot.load(std::memory_order_relaxed);
  slot.store(task, std::memory_order_release);
}

void TaskIndex::Erase(TaskBase* task) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::atomic<TaskBase*>& slot = Slot(task->gtid_);
  TaskBase* current = slot.load(std::memory_order_relaxed);
  if (current == task) {
    slot.store(task->next_of_pid_, std::memory_order_release);
    return;
  }
  while (current != nullptr && current->next_of_pid_ != task) current = current->next_of_pid_;
  GHOST_CHECK(current != nullptr) << "gtid " << task->gtid_ << " is not in the index";
  current->next_of_pid_ = task->next_of_pid_;
}

}  // namespace ghost
