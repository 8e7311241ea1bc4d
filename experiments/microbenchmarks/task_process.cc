#include "experiments/microbenchmarks/task_process.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/notification.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/ghost_thread.h"

namespace ghost {
namespace {

constexpr int kMaxTasks = 64;
constexpr absl::Duration kStartTimeout = absl::Seconds(10);

}  // namespace

struct TaskProcess::Shared {
  Notification go;
  TaskStamps stamps[kMaxTasks];
};

absl::StatusOr<std::unique_ptr<TaskProcess>> TaskProcess::Start(int num_tasks) {
  std::unique_ptr<TaskProcess> process(new TaskProcess(std::min(num_tasks, kMaxTasks)));
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "memory for the tasks' process");
  process->shared_ = new (memory) Shared;
  GHOST_ASSIGN_OR_RETURN(process->child_, ChildProcess::Fork([&] { return process->RunChild(); }));
  const bool started = PollUntil(kStartTimeout, [&] {
    const std::span<TaskStamps> all = process->stamps();
    return std::all_of(all.begin(), all.end(), [](const TaskStamps& stamps) { return stamps.tid != 0; });
  });
  if (!started) return absl::DeadlineExceededError("the tasks do not start");
  return process;
}

int TaskProcess::RunChild() {
  std::vector<std::thread> threads;
  for (TaskStamps& stamps : this->stamps()) {
    threads.emplace_back([this, &stamps] {
      stamps.tid.store(static_cast<pid_t>(syscall(SYS_gettid)), std::memory_order_release);
      shared_->go.Wait();
      for (;;) {  // until the process is killed
        stamps.ran_ns.store(Time::Now().ns(), std::memory_order_release);
        stamps.yielded_ns.store(Time::Now().ns(), std::memory_order_release);
        sched_yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

TaskProcess::~TaskProcess() {
  child_.reset();
  if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
}

std::span<TaskStamps> TaskProcess::stamps() const { return {shared_->stamps, static_cast<size_t>(num_tasks_)}; }

absl::Status TaskProcess::Enter(const std::string& enclave) {
  for (const TaskStamps& stamps : this->stamps()) GHOST_RETURN_IF_ERROR(EnterGhost(enclave, stamps.tid));
  return absl::OkStatus();
}

void TaskProcess::Go() { shared_->go.Notify(); }

}  // namespace ghost
