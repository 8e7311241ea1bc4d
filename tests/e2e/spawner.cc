// Starts short-lived processes at a steady rate, as a busy shell script or a build does.
//
//     spawner PER_SECOND SECONDS
//
// Prints "spawned N, failed N, in T s"; exit status 0 if none failed and the rate was kept.
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

extern char** environ;

namespace {

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Whether `/bin/true` ran and ended well.
bool SpawnOne() {
  char* const argv[] = {const_cast<char*>("/bin/true"), nullptr};
  pid_t pid = 0;
  if (posix_spawn(&pid, argv[0], nullptr, nullptr, argv, environ) != 0) return false;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int per_second = argc == 3 ? atoi(argv[1]) : 0;
  const int seconds = argc == 3 ? atoi(argv[2]) : 0;
  if (per_second <= 0 || seconds <= 0) {
    fprintf(stderr, "usage: spawner PER_SECOND SECONDS\n");
    return 2;
  }
  const int total = per_second * seconds;
  const int64_t begin = NowNs();
  int failed = 0;
  for (int i = 0; i < total; ++i) {
    // The i-th starts at its time, or at once if that has passed: the rate is a schedule, not a wait for something.
    const int64_t at = begin + int64_t{i} * 1'000'000'000 / per_second;
    const timespec when = {.tv_sec = at / 1'000'000'000, .tv_nsec = at % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr) == EINTR) continue;
    if (!SpawnOne()) ++failed;
  }
  const double took = static_cast<double>(NowNs() - begin) / 1e9;
  printf("spawned %d, failed %d, in %.1f s\n", total, failed, took);
  return failed == 0 && took < 1.5 * seconds ? 0 : 1;
}
