// A client of many short tasks: THREADS threads, each of which computes for WORK_US and yields, for SECONDS.
//
//     short_tasks THREADS WORK_US SECONDS
//
// It says how many pieces of work were done:  done N
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <atomic>
#include <thread>
#include <vector>

namespace {

long long Ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int threads = atoi(argv[1]);
  const long long work_ns = atoll(argv[2]) * 1000;
  const long long end_ns = Ns(CLOCK_MONOTONIC) + atoll(argv[3]) * 1'000'000'000;
  std::atomic<long long> done{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      while (Ns(CLOCK_MONOTONIC) < end_ns) {
        const long long until_ns = Ns(CLOCK_THREAD_CPUTIME_ID) + work_ns;
        while (Ns(CLOCK_THREAD_CPUTIME_ID) < until_ns) continue;
        done.fetch_add(1, std::memory_order_relaxed);
        sched_yield();
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  printf("done %lld\n", done.load());
  return 0;
}
