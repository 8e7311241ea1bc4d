// A client with many threads that go on living while everything around them is restarted; it tells whether they all do.
//
//     population THREADS
//
// Each thread makes laps of a little arithmetic and a short sleep. Before it starts, every thread takes an affinity and
// a nice of its own. The program obeys the lines of its standard input, with one line each in answer:
//     advance    once every thread has made a lap from now on:  advanced N in T ms
//     own        how many threads have their own affinity and nice, and are neither stopped nor traced, as the kernel
//                shows them:  own N of N at T (CLOCK_REALTIME, in ns)
//     await-own  … once all of them do
//     pids       its thread ids, space separated
// At the end of input all threads end:  finished N, exit status 0.
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Member {
  std::atomic<uint64_t> laps{0};
  std::atomic<pid_t> tid{0};
  cpu_set_t affinity;
  int nice = 0;
  std::thread thread;
};

std::atomic<bool> stop{false};

void NapMs(long ms) {
  const timespec nap = {.tv_sec = 0, .tv_nsec = ms * 1'000'000};
  nanosleep(&nap, nullptr);
}

// Members differ: even ones are confined to one CPU, and nice goes round 0, 1, 2.
void ChooseOwn(Member* member, int index, const cpu_set_t& allowed) {
  member->affinity = allowed;
  member->nice = index % 3;
  if (index % 2 != 0) return;
  const int wanted = (index / 2) % CPU_COUNT(&allowed);
  CPU_ZERO(&member->affinity);
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && seen++ == wanted) CPU_SET(cpu, &member->affinity);
  }
}

void Live(Member* member) {
  const pid_t tid = gettid();
  sched_setaffinity(0, sizeof(member->affinity), &member->affinity);
  setpriority(PRIO_PROCESS, static_cast<id_t>(tid), member->nice);
  member->tid = tid;
  while (!stop.load()) {
    volatile uint64_t value = 1;
    for (int i = 0; i < 20'000; ++i) value = value * 3 + 1;
    member->laps.fetch_add(1);
    NapMs(2);
  }
}

// Until every member has made a lap that began after now: the second from now at the latest is one.
double AdvanceMs(const std::vector<std::unique_ptr<Member>>& members) {
  timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  std::vector<uint64_t> laps;
  for (const auto& member : members) laps.push_back(member->laps.load());
  for (size_t i = 0; i < members.size(); ++i) {
    while (members[i]->laps.load() < laps[i] + 2) NapMs(1);
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  return static_cast<double>(end.tv_sec - begin.tv_sec) * 1e3 + static_cast<double>(end.tv_nsec - begin.tv_nsec) / 1e6;
}

// Neither stopped, by job control or by a tracer, nor traced at all.
bool IsFree(pid_t tid) {
  std::ifstream status("/proc/self/task/" + std::to_string(tid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("State:", 0) == 0 && line.find_first_of("Tt", 6) == 7) return false;
    if (line.rfind("TracerPid:", 0) == 0) return line == "TracerPid:\t0";
  }
  return false;
}

int64_t RealtimeNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

size_t CountOwn(const std::vector<std::unique_ptr<Member>>& members) {
  size_t own = 0;
  for (const auto& member : members) {
    cpu_set_t now;
    errno = 0;
    const pid_t tid = member->tid.load();
    const bool affinity = sched_getaffinity(tid, sizeof(now), &now) == 0 && CPU_EQUAL(&now, &member->affinity);
    if (affinity && getpriority(PRIO_PROCESS, static_cast<id_t>(tid)) == member->nice && IsFree(tid)) ++own;
  }
  return own;
}

void Obey(const std::vector<std::unique_ptr<Member>>& members) {
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "advance") {
      printf("advanced %zu in %.1f ms\n", members.size(), AdvanceMs(members));
    } else if (line == "own" || line == "await-own") {
      size_t own;
      while ((own = CountOwn(members)) != members.size() && line == "await-own") NapMs(1);
      printf("own %zu of %zu at %ld\n", own, members.size(), RealtimeNs());
    } else if (line == "pids") {
      for (const auto& member : members) printf("%d ", member->tid.load());
      printf("\n");
    } else {
      printf("unknown line\n");
    }
    fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc == 2 ? atoi(argv[1]) : 0;
  if (count <= 0) {
    fprintf(stderr, "usage: population THREADS\n");
    return 2;
  }
  // Not sched_getaffinity: under ghost, this thread may just be pinned somewhere.
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); ++cpu) CPU_SET(cpu, &allowed);
  std::vector<std::unique_ptr<Member>> members;
  for (int i = 0; i < count; ++i) {
    auto member = std::make_unique<Member>();
    ChooseOwn(member.get(), i, allowed);
    member->thread = std::thread(Live, member.get());
    members.push_back(std::move(member));
  }
  for (const auto& member : members) {
    while (member->tid.load() == 0) NapMs(1);
  }
  printf("living %zu\n", members.size());
  fflush(stdout);
  Obey(members);
  stop = true;
  for (const auto& member : members) member->thread.join();
  printf("finished %zu\n", members.size());
  return 0;
}
