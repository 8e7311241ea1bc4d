#include "tests/conformance/slots.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "lib/base/futex.h"
#include "lib/base/logging.h"
#include "lib/base/spin.h"

namespace ghost::conformance {
namespace {

int64_t OrErrno(int64_t result) { return result < 0 ? -errno : result; }

template <typename T>
T* Pointer(uint64_t address) {
  return reinterpret_cast<T*>(address);
}

timespec ToTimespec(uint64_t ns) {
  return {.tv_sec = static_cast<time_t>(ns / 1'000'000'000), .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
}

int64_t TryMmap(const Call& call) {
  void* address = mmap(nullptr, call.a[1], static_cast<int>(call.a[2]), static_cast<int>(call.a[3]),
                       static_cast<int>(call.a[0]), static_cast<off_t>(call.a[4]));
  if (address == MAP_FAILED) return -errno;
  munmap(address, call.a[1]);
  return 0;
}

int64_t Poll(int fd) {
  pollfd poller = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI, .revents = 0};
  const int result = poll(&poller, 1, 0);
  return result < 0 ? -errno : poller.revents;
}

void Block(Slot& self) {
  const uint32_t passed = self.passed.load();
  while (self.gate.load() == passed) FutexWait(self.gate, passed);
  self.passed.store(passed + 1);
}

struct ThreadStart {
  SharedMemory* memory;
  uint32_t index;
};

int64_t StartThread(SharedMemory& memory, uint32_t index) {
  auto* start = new ThreadStart{&memory, index};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int error = pthread_create(
      &thread, &attributes,
      [](void* argument) -> void* {
        const ThreadStart start = *static_cast<ThreadStart*>(argument);
        ActorMain(*start.memory, start.index);
      },
      start);
  pthread_attr_destroy(&attributes);
  return -error;
}

int64_t Fork(SharedMemory& memory, uint32_t index) {
  const pid_t pid = fork();
  if (pid == 0) ActorMain(memory, index);
  return OrErrno(pid);
}

int64_t Exec(SharedMemory& memory, const Slot& self) {
  char slot[32], fd[32], address[32];
  snprintf(slot, sizeof(slot), "%td", &self - &memory.slot(0));
  snprintf(fd, sizeof(fd), "%d", memory.fd());
  snprintf(address, sizeof(address), "%p", memory.address());
  const char* argv[] = {"conformance", "--actor", slot, fd, address, nullptr};
  execv("/proc/self/exe", const_cast<char**>(argv));
  return -errno;
}

int64_t SetTimer(const Call& call) {
  const itimerspec value = {.it_interval = {}, .it_value = ToTimespec(call.a[1])};
  return OrErrno(timerfd_settime(static_cast<int>(call.a[0]), 0, &value, nullptr));
}

int64_t SetAffinity(const Call& call) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (size_t cpu = 0; cpu < 64; ++cpu) {
    if (((call.a[1] >> cpu) & 1) != 0) CPU_SET(cpu, &mask);
  }
  return OrErrno(sched_setaffinity(static_cast<pid_t>(call.a[0]), sizeof(mask), &mask));
}

int64_t SetPolicy(const Call& call) {
  const sched_param none = {};
  return OrErrno(syscall(SYS_sched_setscheduler, call.a[0], call.a[1], &none));
}

// Calls about files.
int64_t PerformOnFile(const Call& call) {
  const auto fd = static_cast<int>(call.a[0]);
  switch (call.op) {
    case Op::kOpen:
      return OrErrno(open(Pointer<const char>(call.a[0]), static_cast<int>(call.a[1]) | O_CLOEXEC));
    case Op::kClose:
      return OrErrno(close(fd));
    case Op::kRead:
      return OrErrno(pread(fd, Pointer<void>(call.a[1]), call.a[2], static_cast<off_t>(call.a[3])));
    case Op::kWrite:
      return OrErrno(write(fd, Pointer<void>(call.a[1]), call.a[2]));
    case Op::kIoctl:
      return OrErrno(ioctl(fd, call.a[1], call.a[2]));
    case Op::kMmap:
      return TryMmap(call);
    case Op::kPoll:
      return Poll(fd);
    case Op::kTimerfd:
      return OrErrno(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    case Op::kTimerfdSet:
      return SetTimer(call);
    default:
      return -ENOSYS;
  }
}

}  // namespace

SharedMemory::SharedMemory() : fd_(memfd_create("conformance", 0)) {
  GHOST_CHECK(fd_.valid() && ftruncate(fd_.get(), sizeof(Memory)) == 0) << strerror(errno);
  MapAt(nullptr);
}

SharedMemory::SharedMemory(int fd, void* address) : fd_(fd) { MapAt(address); }

void SharedMemory::MapAt(void* address) {
  void* memory = mmap(address, sizeof(Memory), PROT_READ | PROT_WRITE,
                      MAP_SHARED | (address == nullptr ? 0 : MAP_FIXED_NOREPLACE), fd_.get(), 0);
  GHOST_CHECK(memory != MAP_FAILED) << strerror(errno);
  memory_ = static_cast<Memory*>(memory);
}

int64_t Perform(const Call& call, SharedMemory& memory, Slot* self) {
  switch (call.op) {
    case Op::kBlock:
      Block(*self);
      return 0;
    case Op::kYield:
      return OrErrno(sched_yield());
    case Op::kNap: {
      const timespec time = ToTimespec(call.a[0]);
      return OrErrno(nanosleep(&time, nullptr));
    }
    case Op::kFork:
      return Fork(memory, static_cast<uint32_t>(call.a[0]));
    case Op::kThread:
      return StartThread(memory, static_cast<uint32_t>(call.a[0]));
    case Op::kSetAffinity:
      return SetAffinity(call);
    case Op::kSetNice:
      return OrErrno(setpriority(PRIO_PROCESS, static_cast<id_t>(call.a[0]), static_cast<int>(call.a[1])));
    case Op::kSetPolicy:
      return SetPolicy(call);
    case Op::kPolicy:
      return OrErrno(sched_getscheduler(static_cast<pid_t>(call.a[0])) & ~SCHED_RESET_ON_FORK);
    case Op::kSignal:
      return OrErrno(syscall(SYS_tkill, call.a[0], call.a[1]));
    case Op::kExec:
      return Exec(memory, *self);
    case Op::kExit:
      // By number: pthread_exit would wake joiners, run destructors, and exit the process with the last thread.
      syscall(SYS_exit, 0);
      return 0;
    default:
      return PerformOnFile(call);
  }
}

void ActorMain(SharedMemory& memory, uint32_t index) {
  Slot& self = memory.slot(index);
  self.tid.store(gettid());
  for (;;) {
    const uint32_t bell = self.bell.load();
    const uint32_t posted = self.posted.load();
    if (posted == self.finished.load()) {
      if (self.spinning.load() != 0) {
        Pause();
      } else {
        FutexWait(self.bell, bell);
      }
      continue;
    }
    const Call call = self.call;
    self.result.store(Perform(call, memory, &self));
    self.finished.store(posted);
  }
}

void MaybeActorMain(int argc, char** argv) {
  if (argc != 5 || strcmp(argv[1], "--actor") != 0) return;
  auto* address = reinterpret_cast<void*>(strtoull(argv[4], nullptr, 16));
  static SharedMemory memory(atoi(argv[3]), address);
  const auto index = static_cast<uint32_t>(atoi(argv[2]));
  Slot& self = memory.slot(index);
  // The kExec that has brought us here is done.
  self.result.store(0);
  self.finished.store(self.posted.load());
  ActorMain(memory, index);
}

}  // namespace ghost::conformance
