// TaskProcess: a process of threads that do nothing but stamp the time and yield (RoundTrips measures them).
//
// They are in a process of their own: an agent must not share a heap, or any other lock, with threads that it may keep
// from running. It ends with the object, or with its parent. Threads: one, which lives as long; made while there are no
// others (it forks).
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_TASK_PROCESS_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_TASK_PROCESS_H_

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "experiments/microbenchmarks/round_trips.h"
#include "lib/base/process.h"

namespace ghost {

class TaskProcess {
 public:
  // Its threads run under CFS, and wait for Go().
  static absl::StatusOr<std::unique_ptr<TaskProcess>> Start(int num_tasks);
  ~TaskProcess();
  TaskProcess(const TaskProcess&) = delete;

  // In memory that both processes have.
  std::span<TaskStamps> stamps() const;
  // Puts all of them into an enclave, whose agent schedules them from then on.
  absl::Status Enter(const std::string& enclave);
  // They begin to stamp and yield.
  void Go();

 private:
  struct Shared;
  explicit TaskProcess(int num_tasks) : num_tasks_(num_tasks) {}
  int RunChild();

  const int num_tasks_;
  Shared* shared_ = nullptr;
  std::optional<ChildProcess> child_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_TASK_PROCESS_H_
