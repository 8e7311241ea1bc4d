// A program that tells its scheduler about its threads' work: docs/prio-table.md explains it.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "shared/prio_table_helper.h"

int main() {
  constexpr int kWorker = 0;  // the item of our one worker
  constexpr int kUrgent = 0;  // the class of its work
  ghost::PrioTableHelper hints(/*num_items=*/1, /*num_classes=*/1);
  if (!hints.status().ok()) return EXIT_FAILURE;
  hints.SetWorkClass(kUrgent, {.qos = 2, .exectime = absl::Microseconds(10)});

  std::atomic<int> done = 0;
  std::thread worker([&] {
    hints.SetThread(kWorker, kUrgent);  // this thread; for now it has work
    for (; done < 1000; ++done) {
      hints.MarkIdle(kWorker);  // no CPU for it, until somebody says that it has work
      hints.WaitUntilRunnable(kWorker);
    }
  });
  while (done < 1000) {
    if (!hints.IsRunnable(kWorker)) hints.MarkRunnable(kWorker, /*deadline=*/absl::Microseconds(100));
    std::this_thread::yield();
  }
  worker.join();
  std::printf("%d pieces of work are done\n", done.load());
}
