#include "kernel/usermode/linux/request_caller.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "lib/base/file.h"

namespace ghost::usermode {
namespace {

// Number `base` after `key` in a procfs status text, or 0.
uint64_t Field(const char* text, const char* key, int base) {
  const char* found = strstr(text, key);
  return found == nullptr ? 0 : strtoull(found + strlen(key), nullptr, base);
}

// Whether capabilities that the thread has are ones that count here.
bool SharesUserNamespace(Tid tid) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/ns/user", tid);
  struct stat its, ours;
  return stat(path, &its) == 0 && stat("/proc/self/ns/user", &ours) == 0 && its.st_ino == ours.st_ino;
}

}  // namespace

void RequestCaller::ReadStatus() const {
  if (status_read_ || tid_ <= 0) return;
  status_read_ = true;
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/status", tid_);
  ScopedFd fd(open(path, O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t size = fd.valid() ? read(fd.get(), text, sizeof(text) - 1) : -1;
  if (size <= 0) return;
  text[size] = '\0';
  tgid_ = static_cast<Tid>(Field(text, "\nTgid:", 10));
  const uint64_t effective = Field(text, "\nCapEff:", 16);
  cap_sys_nice_ = ((effective >> CAP_SYS_NICE) & 1) != 0 && SharesUserNamespace(tid_);
}

Tid RequestCaller::tgid() const {
  ReadStatus();
  return tgid_;
}

bool RequestCaller::HasCapSysNice() const {
  if (owner_ >= 0 && tid_ > 0 && static_cast<int64_t>(uid_) == owner_) return true;
  ReadStatus();
  return cap_sys_nice_;
}

int64_t RequestCaller::UnprivilegedOwner() {
  const RequestCaller self(getpid(), geteuid(), getegid(), nullptr);
  return self.HasCapSysNice() ? -1 : static_cast<int64_t>(geteuid());
}

int RequestCaller::Cpu() const {
  cpu_set_t mask;
  if (tid_ <= 0 || sched_getaffinity(tid_, sizeof(mask), &mask) != 0) return -1;
  const CpuSet cpus = CpuSet::FromCpuSetT(mask);
  return cpus.size() == 1 ? cpus.First() : -1;
}

bool RequestCaller::ReadMemory(uint64_t address, std::span<std::byte> out) {
  if (tid_ <= 0) return false;
  const iovec local = {out.data(), out.size()};
  const iovec remote = {reinterpret_cast<void*>(address), out.size()};
  return Noted(process_vm_readv(tid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(out.size()));
}

bool RequestCaller::WriteMemory(uint64_t address, std::span<const std::byte> data) {
  if (tid_ <= 0) return false;
  const iovec local = {const_cast<std::byte*>(data.data()), data.size()};
  const iovec remote = {reinterpret_cast<void*>(address), data.size()};
  return Noted(process_vm_writev(tid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(data.size()));
}

std::optional<uint64_t> RequestCaller::RegionOfFd(int fd) {
  if (tid_ <= 0 || fd < 0) return std::nullopt;
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid_, fd);
  // Never stat(2): it would ask the file's file system, and a file of our own one waits for us then, for ever.
  struct statx attributes;
  if (!Noted(statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &attributes) == 0)) return std::nullopt;
  const dev_t device = makedev(attributes.stx_dev_major, attributes.stx_dev_minor);
  return regions_->IdOf(device, attributes.stx_ino).value_or(0);
}

int RequestCaller::TimerfdSettime(int fd, int flags, const struct itimerspec& value, struct itimerspec* old_value) {
  if (tgid() <= 0) return -EBADF;
  // Looked at before it is copied: closing a copy of a file in a file system like ours would ask that file system.
  char path[64], link[64];
  snprintf(path, sizeof(path), "/proc/%d/fd/%d", tgid(), fd);
  const ssize_t size = readlink(path, link, sizeof(link));
  if (!Noted(size >= 0)) return -EBADF;
  if (std::string_view(link, static_cast<size_t>(size)) != "anon_inode:[timerfd]") return -EINVAL;
  // By number: glibc 2.36 has both calls, but not the headers of older build machines.
  ScopedFd process(static_cast<int>(syscall(SYS_pidfd_open, tgid(), 0)));
  if (!process.valid()) return -errno;
  // A copy of the descriptor is the same timer.
  ScopedFd timer(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
  if (!timer.valid()) return -errno;
  return timerfd_settime(timer.get(), flags, &value, old_value) == 0 ? 0 : -errno;
}

}  // namespace ghost::usermode
