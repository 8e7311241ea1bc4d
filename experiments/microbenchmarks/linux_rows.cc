#include "experiments/microbenchmarks/linux_rows.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "experiments/common/cpu_plan.h"
#include "lib/base/futex.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

constexpr int kBatch = 100;

// Calls `batch` again and again, and divides what each call took by `per_batch`.
Latencies TakeTime(int64_t rounds, int64_t per_batch, const std::function<void()>& batch) {
  Latencies latencies;
  const int64_t warm_up = rounds / 10 + 1;
  for (int64_t i = -warm_up; i < rounds; ++i) {
    const Time start = Time::Now();
    batch();
    const int64_t took_ns = Time::NanosecondsBetween(start, Time::Now());
    if (i >= 0) latencies.Add((took_ns + per_batch / 2) / per_batch);
  }
  return latencies;
}

// Context switches of the calling thread so far.
int64_t Switches() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

absl::Status BecomeFifo() {
  const sched_param param = {.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_FIFO, &param) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "SCHED_FIFO");
}

}  // namespace

absl::StatusOr<Latencies> MeasureSyscall(int cpu, int64_t rounds) {
  absl::Status status;
  Latencies latencies;
  std::thread([&] {
    status = PinTo(cpu);
    if (!status.ok()) return;
    latencies = TakeTime(rounds, kBatch, [] {
      for (int i = 0; i < kBatch; ++i) syscall(SYS_getppid);
    });
  }).join();
  if (!status.ok()) return status;
  return latencies;
}

absl::StatusOr<Latencies> MeasurePthreadSwitch(int cpu, int64_t rounds) {
  std::atomic<bool> stop = false;
  absl::Status statuses[2];
  Latencies latencies;
  int64_t switches = 0;
  std::thread first([&] {
    statuses[0] = PinTo(cpu);
    if (statuses[0].ok()) statuses[0] = BecomeFifo();
    if (!statuses[0].ok()) return;
    std::thread second([&] {  // of the same class, on the same CPU, by inheritance
      while (!stop.load(std::memory_order_relaxed)) sched_yield();
    });
    const int64_t before = Switches();
    latencies = TakeTime(rounds, int64_t{2} * kBatch, [] {
      for (int i = 0; i < kBatch; ++i) sched_yield();
    });
    switches = Switches() - before;
    stop = true;
    second.join();
  });
  first.join();
  if (!statuses[0].ok()) return statuses[0];
  if (switches < rounds * kBatch) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel switched only ", switches, " times in ", rounds * kBatch, " yields"));
  }
  return latencies;
}

absl::StatusOr<Latencies> MeasureCfsSwitch(int cpu, int64_t rounds) {
  // Whose turn it is: 0 the first one's, 1 the second one's, 2: it is over.
  std::atomic<uint32_t> turn = 0;
  absl::Status status;
  Latencies latencies;
  const auto give_to = [&turn](uint32_t whom) {
    turn.store(whom, std::memory_order_release);
    FutexWake(turn, 1);
  };
  std::thread first([&] {
    status = PinTo(cpu);
    if (!status.ok()) return;
    std::thread second([&] {
      for (;;) {
        for (uint32_t now; (now = turn.load(std::memory_order_acquire)) != 1;) {
          if (now == 2) return;
          FutexWait(turn, now);
        }
        give_to(0);
      }
    });
    latencies = TakeTime(rounds, int64_t{2} * kBatch, [&] {
      for (int i = 0; i < kBatch; ++i) {
        give_to(1);
        while (turn.load(std::memory_order_acquire) != 0) FutexWait(turn, 1);
      }
    });
    give_to(2);
    second.join();
  });
  first.join();
  if (!status.ok()) return status;
  return latencies;
}

Latencies MeasureClock(int64_t rounds) {
  return TakeTime(rounds, kBatch, [] {
    for (int i = 0; i < kBatch; ++i) Time::Now();
  });
}

}  // namespace ghost
