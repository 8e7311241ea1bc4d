// replay: a workload of the simulation as real threads, to see that they run in the same order there.
//
//     replay WORKLOAD [ENCLAVE]
//
// For what is the same in any time: actions run, wait, wake, yield, loop N and exit, with constant times; nice values
// and hints of classes. It prints who ran, in order: "runs NAME" (a thread's class and its number in it) whenever
// another one than before begins to execute, "ends NAME" when one is done.
//
// With an ENCLAVE (its directory) it enters that one, and holds its CPU until the agent has been told of all threads;
// so they start together, whatever the load, and a workload's `start` is of no account. It has one CPU for tasks.
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kernel/usermode/sim/workload.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "lib/gtid.h"
#include "lib/kernel.h"
#include "lib/status_word.h"
#include "shared/prio_table_helper.h"

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

// The enclave that this process enters.
class ReplayEnclave {
 public:
  absl::Status Open(const std::string& directory) {
    GHOST_ASSIGN_OR_RETURN(kernel_, OpenGhostfs());
    GHOST_ASSIGN_OR_RETURN(enclave_, kernel_->AttachEnclave(directory));
    words_ = std::make_unique<StatusWordTable>(enclave_.get());
    return words_->AddRegion(0, /*numa_node=*/0);
  }
  absl::Status Enter() { return enclave_->WriteFile("tasks", absl::StrCat(getpid())); }
  // Whether the agent has been told of all these threads. No system call: one that sleeps would give the CPU away.
  bool HasTold(const std::set<pid_t>& tids) const {
    size_t told = 0;
    words_->ForEachTask([&](const StatusWord& word) {
      if (word.barrier() > 0 && tids.contains(Gtid(word.gtid()).tid())) ++told;
    });
    return told == tids.size();
  }

 private:
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<KernelEnclave> enclave_;
  std::unique_ptr<StatusWordTable> words_;
};

// This process's threads.
std::set<pid_t> Threads() {
  std::set<pid_t> tids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    tids.insert(std::stoi(entry.path().filename().string()));
  }
  return tids;
}

// 'S': it sleeps.
char StateOf(pid_t tid) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/self/task/", tid, "/stat"));
  const size_t name_end = stat.ok() ? stat->rfind(')') : std::string::npos;
  return name_end == std::string::npos || name_end + 2 >= stat->size() ? '?' : (*stat)[name_end + 2];
}

// Until `over` says so, but not for ever; without a system call of its own.
template <typename Over>
bool SpinUntil(Over over) {
  const int64_t deadline_ns = NowNs(CLOCK_MONOTONIC) + kLongestNs;
  while (!over()) {
    if (NowNs(CLOCK_MONOTONIC) >= deadline_ns) return false;
  }
  return true;
}

class Replay {
 public:
  explicit Replay(const Workload& workload)
      : workload_(workload), semaphores_(workload.classes.size()), tids_(workload.classes.size()) {
    for (const WorkloadClass& c : workload.classes) running_ += c.count;
  }

  // Who began to execute, and who ended, in order. `enclave` may be null.
  absl::StatusOr<std::vector<std::string>> Run(ReplayEnclave* enclave) {
    GHOST_RETURN_IF_ERROR(MakeHints());
    if (enclave != nullptr) GHOST_RETURN_IF_ERROR(enclave->Enter());
    std::vector<std::thread> threads;
    absl::Status status = MakeThreads(&threads);
    if (status.ok() && enclave != nullptr && !SpinUntil([&] { return enclave->HasTold(Threads()); })) {
      status = absl::DeadlineExceededError("the agent is not told of all threads");
    }
    // From here on they run. The last one that ends wakes us, so that we are in nobody's way.
    ended_.Wait();
    for (std::thread& thread : threads) thread.join();
    GHOST_RETURN_IF_ERROR(status);
    return order_;
  }

 private:
  struct Loop {
    size_t start;
    int left;
  };

  // A class of work for each class of threads, and one above all of them for us.
  absl::Status MakeHints() {
    const auto has_hints = [](const WorkloadClass& c) { return c.hint.any; };
    if (std::none_of(workload_.classes.begin(), workload_.classes.end(), has_hints)) return absl::OkStatus();
    const auto ours = static_cast<int>(workload_.classes.size());
    hints_ = std::make_unique<PrioTableHelper>(static_cast<uint32_t>(running_ + 1), static_cast<uint32_t>(ours + 1));
    GHOST_RETURN_IF_ERROR(hints_->status());
    for (int c = 0; c < ours; ++c) {
      const HintChange& hint = workload_.classes[static_cast<size_t>(c)].hint;
      hints_->SetWorkClass(c,
                           {.qos = hint.qos.value_or(0), .exectime = absl::Nanoseconds(hint.estimate_ns.value_or(0))});
    }
    hints_->SetWorkClass(ours, {.qos = 60});
    hints_->SetThread(/*sid=*/0, ours);
    return absl::OkStatus();
  }

  absl::Status MakeThreads(std::vector<std::thread>* threads) {
    absl::Status status;
    int sid = 0;
    for (size_t c = 0; c < workload_.classes.size(); ++c) {
      const WorkloadClass& made = workload_.classes[c];
      // A thread has that of the one that makes it.
      if (setpriority(PRIO_PROCESS, 0, made.nice) != 0) status = ErrnoStatus(errno, absl::StrCat("nice ", made.nice));
      for (int i = 1; i <= made.count; ++i) {
        const std::set<pid_t> before = Threads();
        threads->emplace_back([this, c, i] { Execute(c, absl::StrCat(workload_.classes[c].name, ".", i)); });
        for (const pid_t tid : Threads()) {
          if (!before.contains(tid)) tids_[c].push_back(tid);
        }
        ++sid;
        if (!made.hint.any) continue;
        const absl::Duration deadline =
            made.hint.deadline_ns.has_value() ? absl::Nanoseconds(*made.hint.deadline_ns) : absl::InfiniteDuration();
        hints_->SetThread(sid, static_cast<int>(c), tids_[c].back());
        hints_->MarkRunnable(sid, deadline);
      }
    }
    return status;
  }

  void Compute(const std::string& name, int64_t ns) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (std::exchange(last_, name) != name) order_.push_back("runs " + name);
    }
    const int64_t end_ns = NowNs(CLOCK_THREAD_CPUTIME_ID) + ns;
    SpinUntil([&] { return NowNs(CLOCK_THREAD_CPUTIME_ID) >= end_ns; });
  }

  // Whoever is woken leaves its system call some time later, for which it needs a CPU.
  void Wake(size_t class_number) {
    const auto sleepers = [&] {
      return std::count_if(tids_[class_number].begin(), tids_[class_number].end(),
                           [](pid_t tid) { return StateOf(tid) == 'S'; });
    };
    const auto before = sleepers();
    semaphores_[class_number].Post();
    SpinUntil([&] { return before == 0 || sleepers() < before; });
  }

  void Execute(size_t class_number, const std::string& name) {
    RunCode(class_number, name);
    const std::lock_guard<std::mutex> lock(mutex_);
    order_.push_back("ends " + name);
    if (--running_ == 0) ended_.Post();
  }

  void RunCode(size_t class_number, const std::string& name) {
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
          Wake(static_cast<size_t>(op.number));
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
  std::vector<Semaphore> semaphores_;       // by class
  std::vector<std::vector<pid_t>> tids_;    // by class; complete before any of them runs
  std::unique_ptr<PrioTableHelper> hints_;  // null: no class has any
  Semaphore ended_;
  std::mutex mutex_;
  std::vector<std::string> order_;  // guarded by mutex_, as the rest
  std::string last_;
  int running_ = 0;
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
    const bool recurs = c.hint.repeating.value_or(false) || !c.hint.has_work.value_or(true);
    if (!recurs && std::all_of(c.code.begin(), c.code.end(), replayable)) continue;
    return WithHint(absl::InvalidArgumentError(absl::StrCat("class ", c.name, " does what depends on time")),
                    "what can be replayed: run TIME, wait, wake, yield, loop N, exit");
  }
  return absl::OkStatus();
}

absl::Status Main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    return WithHint(absl::InvalidArgumentError("no workload given"), "replay WORKLOAD [ENCLAVE]");
  }
  GHOST_ASSIGN_OR_RETURN(const std::string text, ReadFile(argv[1]));
  GHOST_ASSIGN_OR_RETURN(const Workload workload, ParseWorkload(text, argv[1]));
  GHOST_RETURN_IF_ERROR(CheckReplayable(workload));
  ReplayEnclave enclave;
  if (argc == 3) GHOST_RETURN_IF_ERROR(enclave.Open(argv[2]));
  Replay replay(workload);
  GHOST_ASSIGN_OR_RETURN(const std::vector<std::string> order, replay.Run(argc == 3 ? &enclave : nullptr));
  for (const std::string& line : order) std::cout << line << "\n";
  return absl::OkStatus();
}

}  // namespace
}  // namespace ghost::sim

int main(int argc, char** argv) {
  const absl::Status status = ghost::sim::Main(argc, argv);
  return status.ok() ? 0 : ghost::Report(ghost::sim::kName, status);
}
