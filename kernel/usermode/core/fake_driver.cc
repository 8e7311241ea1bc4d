#include "kernel/usermode/core/fake_driver.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernel/usermode/core/identity.h"
#include "lib/base/logging.h"

namespace ghost::usermode {

constexpr size_t kGuard = 4096;  // behind each region, whose size is whole pages: who runs out of it dies

void FakeDriver::Unmap::operator()(std::byte* memory) const { munmap(memory, size + kGuard); }

std::optional<Region> FakeDriver::AllocateRegion(const std::string& name, size_t size) {
  if (regions_left == 0) return std::nullopt;
  --regions_left;
  // Mapped, not allocated: a status word region's 2 MiB cost only what is touched.
  void* memory = mmap(nullptr, size + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  GHOST_CHECK(memory != MAP_FAILED && size % kGuard == 0) << size;
  GHOST_CHECK(mprotect(static_cast<std::byte*>(memory) + size, kGuard, PROT_NONE) == 0);
  memory_[++last_region_] = {static_cast<std::byte*>(memory), Unmap{size}};
  region_names[last_region_] = name;
  return Region{.id = last_region_, .address = memory, .size = size};
}

void FakeDriver::FreeRegion(uint64_t id) { GHOST_CHECK(region_names.erase(id) == 1) << "region " << id; }

AttachResult FakeDriver::Attach(Tid tid, int64_t) {
  log.push_back(absl::StrCat("attach ", tid));
  return attach[tid];
}

void FakeDriver::Detach(int64_t gtid) { log.push_back(absl::StrCat("detach ", TidBitsOf(gtid))); }
void FakeDriver::Run(int64_t gtid, int cpu) { log.push_back(absl::StrCat("run ", TidBitsOf(gtid), " cpu ", cpu)); }
void FakeDriver::Preempt(int64_t gtid) { log.push_back(absl::StrCat("preempt ", TidBitsOf(gtid))); }

uint64_t FakeDriver::RuntimeNs(int64_t gtid) {
  auto found = runtime_ns.find(gtid);
  return found == runtime_ns.end() ? 1000 : found->second;
}

std::optional<uint64_t> FakeDriver::RuntimeNsOfTid(Tid tid) {
  if (ended.contains(tid)) return std::nullopt;
  return 1000;
}

std::optional<CpuSet> FakeDriver::Affinity(int64_t) { return CpuSet{0, 2}; }
int FakeDriver::MayAttach(Tid tid, const Caller&) { return may_attach[tid]; }
int FakeDriver::AttachAgent(Tid, int) { return attach_agent_error; }
void FakeDriver::KillAgent(Tid tid) { log.push_back(absl::StrCat("kill ", tid)); }

void FakeDriver::CompleteRequest(uint64_t request, int result) {
  log.push_back(absl::StrCat("complete ", request, " = ", result));
  GHOST_CHECK(completed.emplace(request, result).second) << "request " << request << " is answered twice";
}

void FakeDriver::ArmTimer(uint64_t id, int64_t when_ns) {
  if (when_ns < 0) {
    timers.erase(id);
  } else {
    timers[id] = when_ns;
  }
}

void FakeDriver::NotifyNode(uint64_t) {}
void FakeDriver::Log(const std::string& line) { log.push_back("log " + line); }

bool FakeCaller::ReadMemory(uint64_t address, std::span<std::byte> out) {
  if (address == kBadAddress || address == 0) return false;
  std::memcpy(out.data(), reinterpret_cast<const void*>(address), out.size());
  return true;
}

bool FakeCaller::WriteMemory(uint64_t address, std::span<const std::byte> data) {
  if (address == kBadAddress || address == 0) return false;
  std::memcpy(reinterpret_cast<void*>(address), data.data(), data.size());
  return true;
}

std::optional<uint64_t> FakeCaller::RegionOfFd(int fd) {
  auto found = fds.find(fd);
  if (found == fds.end()) return std::nullopt;
  return found->second;
}

int FakeCaller::TimerfdSettime(int fd, int, const struct itimerspec&, struct itimerspec* old_value) {
  if (!fds.contains(fd)) return -EBADF;
  *old_value = {};
  return timerfd_error;
}

}  // namespace ghost::usermode
