// Agents that want more than there is. Each says, on standard error, how much it got.
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/hostile/stage.h"

namespace ghost::hostile {
namespace {

constexpr int kPatience = 20'000;  // more than any limit

// Also not slower with every one that there is: all of them take a second or two.
constexpr int kMaxSeconds = 25;

int Queues(Stage& stage, int elems) {
  int count = 0;
  timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int result = 0; result >= 0 && count < kPatience; ++count) {
    ghost_ioc_create_queue create = {.elems = elems};
    result = stage.Ioctl(GHOST_IOC_CREATE_QUEUE, &create);
    if (result >= 0) continue;
    errno = -result;
    Require(result == -ENOMEM, "CREATE_QUEUE at the limit");
    break;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  fprintf(stderr, "%d queues of %d in %ld s\n", count, elems, end.tv_sec - begin.tv_sec);
  errno = 0;
  Require(end.tv_sec - begin.tv_sec < kMaxSeconds, "too slow");
  Require(count > 10 && count < kPatience, "no limit");
  return count;
}

void SmallQueues(Stage& stage) { Queues(stage, 1); }
void LargeQueues(Stage& stage) { Queues(stage, GHOST_MAX_QUEUE_ELEMS); }

void Regions(Stage& stage) {
  int count = 0;
  for (; count < kPatience; ++count) {
    if (stage.enclave().CreateStatusWords(static_cast<uint32_t>(count) + 1, 0).ok()) continue;
    Require(errno == ENOMEM, "create sw_region at the limit");
    break;
  }
  fprintf(stderr, "%d regions of status words\n", count);
  Require(count > 10 && count < kPatience, "no limit");
}

void Enclaves(Stage& stage) {
  std::vector<std::unique_ptr<KernelEnclave>> enclaves;
  while (enclaves.size() < kPatience) {
    auto enclave = stage.kernel().CreateEnclave(CpuSet{});
    if (!enclave.ok()) break;
    enclaves.push_back(*std::move(enclave));
  }
  Require(errno == ENOMEM, "create at the limit");
  fprintf(stderr, "%zu more enclaves\n", enclaves.size());
  Require(enclaves.size() > 10 && enclaves.size() < kPatience, "no limit");
}

// A gtid is given to whoever is asked about: many threads that have never been in an enclave, and are soon gone.
void Strangers(Stage& stage) {
  for (int i = 0; i < 5000; ++i) {
    const pid_t child = vfork();
    if (child == 0) _exit(0);
    // A zombie until it is waited for: a thread, still.
    Require(stage.enclave().TaskGtid(child).ok(), "the gtid of a stranger");
    waitpid(child, nullptr, 0);
  }
}

}  // namespace

const std::vector<Attack> kLimitAttacks = {
    {"small_queues", "small queues without end", SmallQueues},
    {"large_queues", "the largest queues without end", LargeQueues},
    {"regions", "regions of status words without end", Regions},
    {"enclaves", "enclaves without end", Enclaves},
    {"strangers", "gtids of threads that are in no enclave", Strangers},
};

}  // namespace ghost::hostile
