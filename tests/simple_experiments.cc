#include "tests/simple_experiments.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/futex.h"
#include "lib/base/notification.h"
#include "lib/base/poll_until.h"
#include "lib/base/spin.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/ghost_flags.h"

ABSL_FLAG(double, scale, 0,
          "How many threads, as a part of the full number (0.1: a tenth). 0: by the number of the enclave's CPUs.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(120), "How long one experiment may take before it has failed.");

namespace ghost {
namespace {

constexpr int kManyThreads = 1000;
constexpr int kRaceRounds = 20;
constexpr int kMovers = 4;
constexpr absl::Duration kNap = absl::Milliseconds(10);
constexpr absl::Duration kShortNap = absl::Milliseconds(1);
constexpr int kSchedGhost = 18;  // what a ghost kernel calls the class; ghostd can't
// How long the kernel may take to count a thread in or out.
constexpr absl::Duration kSettle = absl::Seconds(30);

void Nap(absl::Duration duration) {
  const timespec time = absl::ToTimespec(duration);
  nanosleep(&time, nullptr);
}

// Ends the program if an experiment takes too long: its threads wait for an agent that doesn't schedule them.
class Watch {
 public:
  Watch(std::string program, std::string name, std::string enclave)
      : thread_([this, program = std::move(program), name = std::move(name), enclave = std::move(enclave)] {
          std::unique_lock<std::mutex> lock(mutex_);
          const absl::Duration timeout = absl::GetFlag(FLAGS_timeout);
          if (done_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [this] { return over_; })) return;
          fflush(stdout);
          _exit(Report(program, WithHint(absl::DeadlineExceededError(
                                             absl::StrCat(name, ": not over after ", absl::FormatDuration(timeout))),
                                         absl::StrCat("is the agent of ", enclave, " alive? See 'cat ", enclave,
                                                      "/status'; --timeout gives it longer"))));
        }) {}
  ~Watch() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      over_ = true;
    }
    done_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool over_ = false;
  std::thread thread_;
};

absl::Status ExpectAll(int finished, int count, absl::string_view what) {
  if (finished == count) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(finished, " of ", count, " threads ", what));
}

// Full size from this number of CPUs on.
constexpr double kCpusForFullScale = 8;

absl::StatusOr<double> Scale(const std::string& enclave) {
  const double wanted = absl::GetFlag(FLAGS_scale);
  if (wanted < 0 || wanted > 1) {
    return WithHint(absl::InvalidArgumentError("--scale must be between 0 and 1"), "0.1 is a tenth of the threads");
  }
  if (wanted > 0) return wanted;
  GHOST_ASSIGN_OR_RETURN(const std::string list, ReadFile(absl::StrCat(enclave, "/cpulist")));
  CpuSet cpus;
  if (ParseCpuList(list, &cpus) != CpuParseError::kOk) return 1 / kCpusForFullScale;
  return std::clamp(cpus.size() / kCpusForFullScale, 1 / kCpusForFullScale, 1.0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SimpleExperiments>> SimpleExperiments::Create(const Options& options) {
  GHOST_ASSIGN_OR_RETURN(const std::string enclave,
                         FindEnclave(absl::GetFlag(FLAGS_enclave), absl::GetFlag(FLAGS_ghostfs)));
  GHOST_ASSIGN_OR_RETURN(const double scale, Scale(enclave));
  return std::unique_ptr<SimpleExperiments>(new SimpleExperiments(options, enclave, scale));
}

absl::Status SimpleExperiments::RunAll() {
  GHOST_RETURN_IF_ERROR(Run("SimpleExp", [this] { return SimpleExp(1, /*talk=*/true); }));
  GHOST_RETURN_IF_ERROR(Run("SimpleExpMany", [this] { return SimpleExp(Scaled(kManyThreads), false); }));
  GHOST_RETURN_IF_ERROR(Run("BusyExp", [this] { return BusyExp(Scaled(options_.busy_threads)); }));
  GHOST_RETURN_IF_ERROR(Run("TaskDeparted", [this] { return TaskDeparted(1, /*talk=*/true); }));
  GHOST_RETURN_IF_ERROR(Run("TaskDepartedMany", [this] { return TaskDeparted(Scaled(kManyThreads), false); }));
  return Run("TaskDepartedManyRace", [this] { return TaskDepartedManyRace(Scaled(kManyThreads), kRaceRounds); });
}

int SimpleExperiments::Scaled(int count) const { return std::max(1, static_cast<int>(count * scale_)); }

absl::Status SimpleExperiments::Run(absl::string_view name,
                                    const std::function<absl::StatusOr<std::string>()>& experiment) {
  printf("%s\n", std::string(name).c_str());
  fflush(stdout);
  GHOST_ASSIGN_OR_RETURN(others_, NumTasks(enclave_));
  Watch watch(options_.program, std::string(name), enclave_);
  const Time start = Time::Now();
  const absl::StatusOr<std::string> what = experiment();
  if (!what.ok()) {
    return WithHint(absl::Status(what.status().code(), absl::StrCat(name, ": ", what.status().message())),
                    HintOf(what.status()));
  }
  printf("%s\n", what->c_str());
  printf(" took %.2f ms\n", absl::ToDoubleMilliseconds(Time::Now() - start));
  fflush(stdout);
  return absl::OkStatus();
}

absl::Status SimpleExperiments::RunThreads(int count, const Body& body,
                                           const std::function<absl::Status(const Threads&)>& meanwhile) {
  Notification go;
  Threads threads;
  absl::Status status;
  bool started = false;
  for (int i = 0; i < count && status.ok(); ++i) {
    auto thread = GhostThread::Start(GhostThread::Scheduler::kGhost, enclave_, [&go, &started, &body] {
      go.Wait();
      if (started) body();
    });
    status = thread.status();
    if (thread.ok()) threads.push_back(*std::move(thread));
  }
  if (status.ok()) status = ExpectTasks(count, "after their start");
  if (status.ok() && !IsGhost(threads[0]->tid())) {
    status = absl::InternalError(absl::StrCat(enclave_, " has a thread of ours, but says that it has not"));
  }
  started = status.ok();
  go.Notify();
  if (status.ok() && meanwhile) status = meanwhile(threads);
  threads.clear();
  GHOST_RETURN_IF_ERROR(status);
  return ExpectTasks(0, "after their end");
}

// Waits until `count` tasks of ours are in the enclave.
absl::Status SimpleExperiments::ExpectTasks(int count, absl::string_view when) {
  int seen = -1;
  const bool ok = PollUntil(kSettle, [&] {
    const absl::StatusOr<int> tasks = NumTasks(enclave_);
    if (tasks.ok()) seen = *tasks - others_;
    return seen == count;
  });
  if (ok) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(seen, " of our threads are in ", enclave_, " ", when, ", not ", count));
}

// Whether a thread is in the enclave, as the kernel says.
bool SimpleExperiments::IsGhost(pid_t tid) {
  if (sched_getscheduler(tid) == kSchedGhost) return true;
  const absl::StatusOr<std::vector<pid_t>> tids = ListTasks(enclave_);
  return tids.ok() && std::find(tids->begin(), tids->end(), tid) != tids->end();
}

absl::StatusOr<std::string> SimpleExperiments::SimpleExp(int count, bool talk) {
  std::atomic<int> finished = 0;
  if (talk) printf("Starting simple worker\n");
  GHOST_RETURN_IF_ERROR(RunThreads(
      count,
      [&] {
        if (talk) fprintf(stderr, "hello world!\n");
        Nap(kNap);
        if (talk) fprintf(stderr, "fantastic nap!\n");
        ++finished;
      },
      nullptr));
  if (talk) printf("Finished simple worker\n");
  GHOST_RETURN_IF_ERROR(ExpectAll(finished, count, "finished"));
  return absl::StrFormat("%d thread(s) of %s napped for %s and ended", count, enclave_, absl::FormatDuration(kNap));
}

absl::StatusOr<std::string> SimpleExperiments::BusyExp(int count) {
  std::atomic<int> finished = 0;
  GHOST_RETURN_IF_ERROR(RunThreads(
      count,
      [&] {
        SpinFor(options_.busy_time);
        ++finished;
      },
      nullptr));
  GHOST_RETURN_IF_ERROR(ExpectAll(finished, count, "finished"));
  return absl::StrFormat("%d thread(s) of %s computed for %s each", count, enclave_,
                         absl::FormatDuration(options_.busy_time));
}

absl::StatusOr<std::string> SimpleExperiments::TaskDeparted(int count, bool talk) {
  std::atomic<int> failed = 0;
  std::atomic<int> finished = 0;
  std::atomic<uint32_t> left = 0;
  Notification all_are_out;
  if (talk) printf("Starting simple worker\n");
  const Body leave = [&] {
    if (talk) fprintf(stderr, "hello world!\n");
    Nap(kNap);
    if (talk) fprintf(stderr, "fantastic nap!\n");
    if (!LeaveGhost(0).ok()) ++failed;
    if (left.fetch_add(1) + 1 == static_cast<uint32_t>(count)) FutexWake(left);
    all_are_out.Wait();
    if (talk) fprintf(stderr, "hello from CFS!\n");
    Nap(kNap);
    ++finished;
  };
  GHOST_RETURN_IF_ERROR(RunThreads(count, leave, [&](const Threads& threads) {
    for (uint32_t now = left; now < static_cast<uint32_t>(count); now = left) FutexWait(left, now);
    // They live, and the enclave has none of them.
    absl::Status status = ExpectTasks(0, "after their departure");
    if (status.ok() && IsGhost(threads[0]->tid())) status = absl::InternalError("a departed thread is a ghost task");
    all_are_out.Notify();
    return status;
  }));
  if (talk) printf("Finished simple worker\n");
  GHOST_RETURN_IF_ERROR(ExpectAll(count - failed, count, "could leave"));
  GHOST_RETURN_IF_ERROR(ExpectAll(finished, count, "finished"));
  return absl::StrFormat("%d thread(s) left %s and went on as CFS threads", count, enclave_);
}

absl::StatusOr<std::string> SimpleExperiments::TaskDepartedManyRace(int count, int rounds) {
  for (int round = 0; round < rounds; ++round) GHOST_RETURN_IF_ERROR(RaceRound(count));
  return absl::StrFormat("%d thread(s) were moved to CFS while they napped, in each of %d rounds", count, rounds);
}

// Threads that nap again and again are moved out by others; then all of them must be out, and run on.
absl::Status SimpleExperiments::RaceRound(int count) {
  std::atomic<bool> over = false;
  std::atomic<int> finished = 0;
  std::atomic<int> failed = 0;
  const Body nap = [&] {
    while (!over) Nap(kShortNap);
    ++finished;
  };
  GHOST_RETURN_IF_ERROR(RunThreads(count, nap, [&](const Threads& threads) {
    std::vector<std::thread> movers;
    for (int mover = 0; mover < kMovers; ++mover) {
      movers.emplace_back([&, mover] {
        for (size_t i = mover; i < threads.size(); i += kMovers) failed += LeaveGhost(threads[i]->tid()).ok() ? 0 : 1;
      });
    }
    for (std::thread& mover : movers) mover.join();
    const absl::Status out = ExpectTasks(0, "after they were moved out");
    over = true;
    return out;
  }));
  GHOST_RETURN_IF_ERROR(ExpectAll(count - failed, count, "could be moved"));
  return ExpectAll(finished, count, "finished");
}

}  // namespace ghost
