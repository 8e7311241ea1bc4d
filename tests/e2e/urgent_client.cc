// A thread with urgent work beside one that never sleeps, on the CPUs of an enclave that has an agent: whether the
// agent reads its hints (shared/prio_table.h) and gives it the CPU whenever it has work.
//
//     urgent_client PIECES QOS DEADLINE_US SECONDS
//
// The thread's work has this quality of service, and each piece is to be done within DEADLINE_US (0: whenever). Says
// "done N of PIECES, median T us": from the time a piece of work was there to its end. Exit status 0 if all were done
// within SECONDS, and the other thread has computed in between; else 1.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/ghost_thread.h"
#include "shared/prio_table_helper.h"

namespace ghost {
namespace {

constexpr char kName[] = "urgent_client";

struct Arguments {
  int pieces;
  uint32_t qos;
  absl::Duration deadline;
  Time end;
};

struct Threads {
  std::atomic<int> done = 0;
  std::atomic<uint64_t> laps = 0;  // of the one that never sleeps
  std::atomic<bool> stop = false;
};

// Beyond the end, so that nobody gets the CPU just then; but not for ever, should the main thread be gone.
void Hog(const Arguments& arguments, Threads& threads) {
  const Time end = arguments.end + absl::Seconds(10);
  while (!threads.stop && Time::Now() < end) ++threads.laps;
}

void Urgent(const Arguments& arguments, PrioTableHelper& hints, Threads& threads) {
  while (hints.WaitUntilRunnable(0, arguments.end) && !threads.stop) {
    ++threads.done;
    hints.MarkIdle(0);
  }
}

// Until it is so, or the time is over. This thread is in CFS.
template <typename Condition>
bool Await(const Arguments& arguments, Condition condition) {
  while (!condition()) {
    if (Time::Now() > arguments.end) return false;
    usleep(20);
  }
  return true;
}

absl::Status Main(const Arguments& arguments) {
  GHOST_ASSIGN_OR_RETURN(const std::string enclave, FindEnclave());
  PrioTableHelper hints(/*num_items=*/1, /*num_classes=*/1);
  GHOST_RETURN_IF_ERROR(hints.status());
  hints.SetWorkClass(0, {.qos = arguments.qos, .exectime = absl::Microseconds(10)});
  Threads threads;
  const auto kGhost = GhostThread::Scheduler::kGhost;
  GHOST_ASSIGN_OR_RETURN(auto hog, GhostThread::Start(kGhost, enclave, [&] { Hog(arguments, threads); }));
  Await(arguments, [&] { return threads.laps > 0; });
  GHOST_ASSIGN_OR_RETURN(auto urgent, GhostThread::Start(kGhost, enclave, [&] { Urgent(arguments, hints, threads); }));

  // It may not get a CPU before its scheduler knows of its work: so this is not for itself to say.
  hints.SetThread(0, /*wcid=*/0, urgent->tid());
  hints.MarkIdle(0);

  std::vector<int64_t> took_ns;
  bool good = true;
  for (int piece = 0; piece < arguments.pieces && good; ++piece) {
    const uint64_t laps = threads.laps;
    good = Await(arguments, [&] { return threads.laps > laps && !hints.IsRunnable(0); });
    const Time start = Time::Now();
    hints.MarkRunnable(0, arguments.deadline);
    good = good && Await(arguments, [&] { return threads.done > piece; });
    took_ns.push_back(Time::NanosecondsBetween(start, Time::Now()));
  }
  threads.stop = true;
  hints.MarkRunnable(0);
  std::sort(took_ns.begin(), took_ns.end());
  std::printf("done %d of %d, median %.1f us\n", threads.done.load(), arguments.pieces,
              static_cast<double>(took_ns[took_ns.size() / 2]) * 1e-3);
  return good ? absl::OkStatus() : absl::DeadlineExceededError("the urgent thread did not get its CPU in time");
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: urgent_client PIECES QOS DEADLINE_US SECONDS\n");
    return 2;
  }
  const int deadline_us = std::atoi(argv[3]);
  const ghost::Arguments arguments = {
      .pieces = std::max(std::atoi(argv[1]), 1),
      .qos = static_cast<uint32_t>(std::atoi(argv[2])),
      .deadline = deadline_us > 0 ? absl::Microseconds(deadline_us) : absl::InfiniteDuration(),
      .end = ghost::Time::Now() + absl::Seconds(std::atoi(argv[4]))};
  const absl::Status status = ghost::Main(arguments);
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
