#include "kernel/usermode/sim/process.h"

#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ghost::sim {
namespace {

constexpr int kFirstDescriptor = 3;
constexpr uint64_t kFirstAddress = 4096;
constexpr uint64_t kEndOfAddresses = uint64_t{1} << 47;
constexpr int64_t kNsPerSecond = 1'000'000'000;

bool IsAddress(uint64_t address, size_t size) {
  return address >= kFirstAddress && address < kEndOfAddresses && size <= kEndOfAddresses - address;
}

int64_t ToNs(const timespec& time) { return int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec; }
timespec ToTimespec(int64_t ns) { return {.tv_sec = ns / kNsPerSecond, .tv_nsec = ns % kNsPerSecond}; }

bool IsValid(const timespec& time) { return time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < kNsPerSecond; }

}  // namespace

int Process::Install(Descriptor descriptor) {
  int fd = kFirstDescriptor;
  while (descriptors.contains(fd)) ++fd;
  descriptors[fd] = std::move(descriptor);
  return fd;
}

int SimCaller::Cpu() const {
  if (thread_.scheduling_class != Thread::Class::kAgent && thread_.OnCpu()) return thread_.cpu;
  return thread_.affinity->size() == 1 ? thread_.affinity->First() : -1;
}

bool SimCaller::ReadMemory(uint64_t address, std::span<std::byte> out) {
  if (!IsAddress(address, out.size())) return false;
  std::memcpy(out.data(), reinterpret_cast<const void*>(address), out.size());
  return true;
}

bool SimCaller::WriteMemory(uint64_t address, std::span<const std::byte> data) {
  if (!IsAddress(address, data.size())) return false;
  std::memcpy(reinterpret_cast<void*>(address), data.data(), data.size());
  return true;
}

std::optional<uint64_t> SimCaller::RegionOfFd(int fd) {
  const auto found = process_.descriptors.find(fd);
  if (found == process_.descriptors.end()) return std::nullopt;
  return found->second.region;
}

int SimCaller::TimerfdSettime(int fd, int flags, const struct itimerspec& value, struct itimerspec* old_value) {
  const auto found = process_.descriptors.find(fd);
  if (found == process_.descriptors.end()) return -EBADF;
  if (!found->second.timer.has_value()) return -EINVAL;
  if (!IsValid(value.it_value) || !IsValid(value.it_interval)) return -EINVAL;
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0) return -EINVAL;
  Process::Timerfd& timer = *found->second.timer;
  const int64_t now = events_.now_ns();
  const int64_t left_ns = timer.when_ns == 0 ? 0 : std::max<int64_t>(timer.when_ns - now, 1);
  *old_value = {.it_interval = ToTimespec(timer.interval_ns), .it_value = ToTimespec(left_ns)};
  const int64_t value_ns = ToNs(value.it_value);
  timer.interval_ns = ToNs(value.it_interval);
  timer.when_ns = value_ns == 0 ? 0 : value_ns + ((flags & TFD_TIMER_ABSTIME) != 0 ? 0 : now);
  return 0;
}

int64_t SimCaller::TimerfdRead(int fd) {
  const auto found = process_.descriptors.find(fd);
  if (found == process_.descriptors.end()) return -EBADF;
  if (!found->second.timer.has_value()) return -EINVAL;
  Process::Timerfd& timer = *found->second.timer;
  const int64_t now = events_.now_ns();
  if (timer.when_ns == 0 || timer.when_ns > now) return 0;
  if (timer.interval_ns == 0) {
    timer.when_ns = 0;
    return 1;
  }
  const int64_t expiries = (now - timer.when_ns) / timer.interval_ns + 1;
  timer.when_ns += expiries * timer.interval_ns;
  return expiries;
}

}  // namespace ghost::sim
