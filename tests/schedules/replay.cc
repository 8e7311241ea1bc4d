// replay: a workload of the simulation as real threads, to see that they run in the same order there.
//
// For what is the same in any time: actions run, wait, wake, yield, loop N and exit, with constant times. It prints who
// ran, in order: a thread's name (its class and its number in it) whenever another one than before begins to execute.
// Threads are made in the workload's order. What it is not: it enters no enclave; whoever starts it has done that.
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernel/usermode/sim/workload.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

constexpr char kName[] = "replay";
constexpr int64_t kLongestNs = 30'000'000'000;  // of the whole: whoever waits in vain does not wait for ever

int64_t NowNs(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// A semaphore whose waiters sleep in read(2): a wait that others may depend on, as the simulation's is.
class Semaphore {
 public:
  Semaphore() : fd_(eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC)) {}
  ~Semaphore() { close(fd_); }
  void Post() {
    const uint64_t one = 1;
    if (write(fd_, &one, sizeof(one)) != sizeof(one)) abort();
  }
  void Wait() {
    uint64_t value;
    if (read(fd_, &value, sizeof(value)) != sizeof(value)) abort();
  }

 private:
  const int fd_;
};

class Replay {
 public:
  explicit Replay(const Workload& workload) : workload_(workload), semaphores_(workload.classes.size()) {}

  // Who began to execute, in order.
  std::vector<std::string> Run() {
    std::vector<std::thread> threads;
    for (size_t c = 0; c < workload_.classes.size(); ++c) {
      for (int i = 1; i <= workload_.classes[c].count; ++i) {
        threads.emplace_back([this, c, i] { Execute(c, absl::StrCat(workload_.classes[c].name, ".", i)); });
      }
    }
    for (std::thread& thread : threads) thread.join();
    return order_;
  }

 private:
  struct Loop {
    size_t start;
    int left;
  };

  void Compute(const std::string& name, int64_t ns) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (order_.empty() || order_.back() != name) order_.push_back(name);
    }
    const int64_t end_ns = NowNs(CLOCK_THREAD_CPUTIME_ID) + ns;
    const int64_t deadline_ns = NowNs(CLOCK_MONOTONIC) + kLongestNs;
    while (NowNs(CLOCK_THREAD_CPUTIME_ID) < end_ns && NowNs(CLOCK_MONOTONIC) < deadline_ns) {
    }
  }

  void Execute(size_t class_number, const std::string& name) {
    const std::vector<Op>& code = workload_.classes[class_number].code;
    std::vector<Loop> loops;
    for (size_t at = 0;; ++at) {
      const Op& op = code[at];
      switch (op.kind) {
        case Op::Kind::kRun:
          Compute(name, op.time.a);
          break;
        case Op::Kind::kWait:
          semaphores_[class_number].Wait();
          break;
        case Op::Kind::kWake:
          semaphores_[static_cast<size_t>(op.number)].Post();
          break;
        case Op::Kind::kYield:
          sched_yield();
          break;
        case Op::Kind::kLoop:
          loops.push_back({at, op.number});
          break;
        case Op::Kind::kEndLoop:
          if (--loops.back().left > 0) {
            at = loops.back().start;
          } else {
            loops.pop_back();
          }
          break;
        default:
          return;
      }
    }
  }

  const Workload& workload_;
  std::vector<Semaphore> semaphores_;  // by class
  std::mutex mutex_;
  std::vector<std::string> order_;  // guarded by mutex_
};

absl::Status CheckReplayable(const Workload& workload) {
  const auto replayable = [](const Op& op) {
    switch (op.kind) {
      case Op::Kind::kRun:
        return op.time.kind == Distribution::Kind::kConstant;
      case Op::Kind::kLoop:
        return op.number > 0;
      case Op::Kind::kWait:
      case Op::Kind::kWake:
      case Op::Kind::kYield:
      case Op::Kind::kEndLoop:
      case Op::Kind::kExit:
        return true;
      default:
        return false;
    }
  };
  for (const WorkloadClass& c : workload.classes) {
    if (std::all_of(c.code.begin(), c.code.end(), replayable)) continue;
    return WithHint(absl::InvalidArgumentError(absl::StrCat("class ", c.name, " does what depends on time")),
                    "what can be replayed: run TIME, wait, wake, yield, loop N, exit");
  }
  return absl::OkStatus();
}

absl::Status Main(int argc, char** argv) {
  if (argc != 2) return WithHint(absl::InvalidArgumentError("no workload given"), "replay FILE");
  GHOST_ASSIGN_OR_RETURN(const std::string text, ReadFile(argv[1]));
  GHOST_ASSIGN_OR_RETURN(const Workload workload, ParseWorkload(text, argv[1]));
  GHOST_RETURN_IF_ERROR(CheckReplayable(workload));
  Replay replay(workload);
  for (const std::string& name : replay.Run()) std::cout << name << "\n";
  return absl::OkStatus();
}

}  // namespace
}  // namespace ghost::sim

int main(int argc, char** argv) {
  const absl::Status status = ghost::sim::Main(argc, argv);
  return status.ok() ? 0 : ghost::Report(ghost::sim::kName, status);
}
