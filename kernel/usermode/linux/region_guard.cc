#include "kernel/usermode/linux/region_guard.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <map>

#include "lib/base/logging.h"

namespace ghost::usermode::region_guard {
namespace {

// By start address. Never destroyed: the handler may outlive main.
std::map<uintptr_t, size_t>& Regions() {
  static auto* regions = new std::map<uintptr_t, size_t>;
  return *regions;
}

// Async-signal-safe: it reads a map that is not changing, and makes system calls.
bool Replace(uintptr_t address) {
  auto next = Regions().upper_bound(address);
  if (next == Regions().begin()) return false;
  const auto [start, size] = *std::prev(next);
  if (address - start >= size) return false;
  return mmap(reinterpret_cast<void*>(start), size, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) != MAP_FAILED;
}

void OnBus(int, siginfo_t* info, void*) {
  if (info->si_code == BUS_ADRERR && Replace(reinterpret_cast<uintptr_t>(info->si_addr))) {
    constexpr char kText[] = "ghostd: a file of the shared memory was truncated: its users are on their own\n";
    [[maybe_unused]] ssize_t n = write(STDERR_FILENO, kText, strlen(kText));
    return;
  }
  signal(SIGBUS, SIG_DFL);  // the access is made again, and kills
}

void Install() {
  struct sigaction action = {};
  action.sa_sigaction = OnBus;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  GHOST_CHECK(sigaction(SIGBUS, &action, nullptr) == 0);
}

}  // namespace

void Add(void* address, size_t size) {
  [[maybe_unused]] static const bool installed = (Install(), true);
  Regions()[reinterpret_cast<uintptr_t>(address)] = size;
}

void Remove(void* address) { Regions().erase(reinterpret_cast<uintptr_t>(address)); }

}  // namespace ghost::usermode::region_guard
