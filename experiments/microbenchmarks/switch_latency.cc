// How long a CPU takes from "a task blocks" to "the next task runs", as the tasks see it.
//
// An ordinary program: it knows nothing of ghost. Run it on one CPU, under a policy or without one:
//     ghostctl run --policy fifo_per_cpu --cpus 1 -- switch_latency
//     taskset -c 1 switch_latency                       (Linux's own scheduler, for comparison)
// Each thread computes, notes the time, and sleeps; whoever comes next reads the note. So each sample is: the sleep's
// system call, the kernel's switch, and (under ghost) message, agent, commit and latch. The load must be more than the
// CPU can do (threads * compute > sleep), so that somebody is always runnable; idle waits would show in the upper
// percentiles.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "lib/base/time.h"
#include "lib/cli.h"

ABSL_FLAG(int32_t, threads, 10, "threads that share the CPU");
ABSL_FLAG(int32_t, samples, 20000, "how many switches to measure");
ABSL_FLAG(int32_t, compute_us, 10, "what each thread computes between two sleeps, in us");
ABSL_FLAG(int32_t, sleep_us, 200, "how long each then sleeps, in us");

namespace ghost {
namespace {

struct Shared {
  std::atomic<int64_t> blocked_at_ns{0};  // 0: taken
  std::atomic<bool> stop{false};
  std::vector<int64_t> samples;  // only the thread on the CPU writes
  size_t wanted = 0;
};

void TakeSample(Shared* shared) {
  int64_t blocked_at = shared->blocked_at_ns.exchange(0);
  if (blocked_at == 0) return;
  shared->samples.push_back(Time::Now().ns() - blocked_at);
  if (shared->samples.size() >= shared->wanted) shared->stop = true;
}

void Work(Shared* shared, int64_t compute_ns, int64_t sleep_ns) {
  while (!shared->stop.load(std::memory_order_relaxed)) {
    for (Time start = Time::Now(); Time::NanosecondsBetween(start, Time::Now()) < compute_ns;) continue;
    timespec nap = {.tv_sec = 0, .tv_nsec = sleep_ns};
    shared->blocked_at_ns.store(Time::Now().ns());
    nanosleep(&nap, nullptr);
    TakeSample(shared);
  }
}

void Print(std::vector<int64_t> samples, int64_t elapsed_ns) {
  std::sort(samples.begin(), samples.end());
  auto percentile_us = [&](double p) {
    return static_cast<double>(samples[static_cast<size_t>(p * static_cast<double>(samples.size() - 1))]) / 1e3;
  };
  std::printf("block to next run: %zu samples, min %.1f us, p50 %.1f us, p90 %.1f us, p99 %.1f us, max %.1f us\n",
              samples.size(), percentile_us(0), percentile_us(0.5), percentile_us(0.9), percentile_us(0.99),
              percentile_us(1));
  std::printf("%.0f switches per second\n",
              static_cast<double>(samples.size()) * 1e9 / static_cast<double>(elapsed_ns));
}

int Main() {
  Shared shared;
  shared.wanted = static_cast<size_t>(std::max(absl::GetFlag(FLAGS_samples), 1));
  shared.samples.reserve(shared.wanted + 1024);
  const int64_t compute_ns = int64_t{absl::GetFlag(FLAGS_compute_us)} * 1000;
  const int64_t sleep_ns = int64_t{absl::GetFlag(FLAGS_sleep_us)} * 1000;
  const Time start = Time::Now();
  std::vector<std::thread> threads;
  for (int i = 0; i < std::max(absl::GetFlag(FLAGS_threads), 2); ++i) {
    threads.emplace_back(Work, &shared, compute_ns, sleep_ns);
  }
  for (std::thread& thread : threads) thread.join();
  Print(shared.samples, Time::NanosecondsBetween(start, Time::Now()));
  return 0;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line =
      ghost::ParseCommandLine({.name = "switch_latency",
                               .summary = "Measures how long a CPU takes from one task's block to the next task's run.",
                               .examples = {"ghostctl run --policy fifo_per_cpu --cpus 1 -- switch_latency",
                                            "taskset -c 1 switch_latency  # under Linux's own scheduler"}},
                              argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  return ghost::Main();
}
