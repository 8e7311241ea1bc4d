// A client of the system calls that a ptrace stop would make return early: each must sleep its full time, without
// EINTR, however often the thread is stopped on the way; and a signal with a handler must still interrupt it.
//
//     eintr_client [ROUNDS]
//
// One line per call: "epoll_wait: 20 of 20 undisturbed, handler interrupts". Exit status 0 if all are as they should
// be.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace {

constexpr long kWaitMs = 20;
// For the waits that a signal is to end: they take this long only if it does not, even on a busy machine.
constexpr long kInterruptedWaitMs = 10'000;

int64_t NowUs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000;
}

// Each waits about wait_ms for something that does not come; 0 if it timed out as it should, else errno.

int EpollWait(long wait_ms) {
  const int epoll = epoll_create1(0);
  epoll_event event;
  const int n = epoll_wait(epoll, &event, 1, static_cast<int>(wait_ms));
  const int error = n < 0 ? errno : 0;
  close(epoll);
  return error;
}

int Recv(long wait_ms) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) return errno;
  const timeval timeout = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
  setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  char byte;
  const ssize_t n = recv(sockets[0], &byte, 1, 0);
  const int error = n < 0 && errno == EAGAIN ? 0 : errno;
  close(sockets[0]);
  close(sockets[1]);
  return error;
}

int Sigtimedwait(long wait_ms) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  const timespec timeout = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1'000'000};
  return sigtimedwait(&set, nullptr, &timeout) < 0 && errno == EAGAIN ? 0 : errno;
}

int Nanosleep(long wait_ms) {
  const timespec timeout = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1'000'000};
  return nanosleep(&timeout, nullptr) == 0 ? 0 : errno;
}

int Select(long wait_ms) {
  timeval timeout = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
  return select(0, nullptr, nullptr, nullptr, &timeout) == 0 ? 0 : errno;
}

// True if a handled signal from a sibling ends the wait with EINTR, as it does without ghost.
bool HandlerInterrupts(const std::function<int(long)>& wait) {
  const pthread_t waiter = pthread_self();
  std::atomic<bool> done{false};
  // Sent again and again, for one that comes before the wait begins would be lost.
  std::thread sender([&] {
    while (!done.load()) {
      pthread_kill(waiter, SIGUSR2);
      const timespec pause = {.tv_sec = 0, .tv_nsec = 3'000'000};
      nanosleep(&pause, nullptr);
    }
  });
  const int error = wait(kInterruptedWaitMs);
  done = true;
  sender.join();
  return error == EINTR;
}

bool Try(const std::string& name, const std::function<int(long)>& wait, int rounds) {
  int undisturbed = 0;
  int error = 0;
  for (int i = 0; i < rounds; ++i) {
    const int64_t begin = NowUs();
    const int result = wait(kWaitMs);
    const bool full = NowUs() - begin >= kWaitMs * 1000 - 1000;
    if (result == 0 && full) ++undisturbed;
    if (result != 0) error = result;
  }
  const bool interrupts = HandlerInterrupts(wait);
  printf("%s: %d of %d undisturbed, %s%s\n", name.c_str(), undisturbed, rounds,
         interrupts ? "handler interrupts" : "handler does NOT interrupt",
         error == 0 ? "" : (", last errno " + std::to_string(error)).c_str());
  return undisturbed == rounds && interrupts;
}

// A signal that comes while all are masked waits for the mask's end, over any number of sleeps. (SIGCONT is the one in
// danger: SIGSTOP, which ghostd uses on threads that mask its own signal, takes a pending one away.)
std::atomic<int> continued{0};

bool TryMaskedSigcont(int rounds) {
  struct sigaction action = {};
  action.sa_handler = [](int) { continued.fetch_add(1); };
  sigaction(SIGCONT, &action, nullptr);
  sigset_t all, before;
  sigfillset(&all);
  int delivered = 0;
  for (int i = 0; i < rounds; ++i) {
    const int seen = continued.load();
    pthread_sigmask(SIG_SETMASK, &all, &before);
    kill(getpid(), SIGCONT);
    for (int nap = 0; nap < 3; ++nap) Nanosleep(1);
    const bool early = continued.load() != seen;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!early && continued.load() == seen + 1) ++delivered;
  }
  printf("masked SIGCONT: %d of %d delivered once\n", delivered, rounds);
  return delivered == rounds;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 20;
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR2, &action, nullptr);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  bool ok = TryMaskedSigcont(rounds);
  // Company for the CPU, so that the waiter is gated at each wake-up.
  std::atomic<bool> stop{false};
  std::thread busy([&stop] {
    while (!stop.load()) continue;
  });
  ok &= Try("epoll_wait", EpollWait, rounds);
  ok &= Try("recv with timeout", Recv, rounds);
  ok &= Try("sigtimedwait", Sigtimedwait, rounds);
  ok &= Try("nanosleep", Nanosleep, rounds);
  ok &= Try("select", Select, rounds);
  stop = true;
  busy.join();
  return ok ? 0 : 1;
}
