// Who makes a FUSE request, as Core wants to know it: what the request says, and the rest from /proc when asked.
//
// Costs nothing until a question needs procfs. Lives on the stack of the request's handling. Loop thread only.
#ifndef GHOST_KERNEL_USERMODE_LINUX_REQUEST_CALLER_H_
#define GHOST_KERNEL_USERMODE_LINUX_REQUEST_CALLER_H_

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/usermode/core/driver.h"
#include "kernel/usermode/linux/region_store.h"

namespace ghost::usermode {

class RequestCaller : public Caller {
 public:
  // `tid` 0 (a process of another PID namespace): nothing about it can be found out, and all questions fail.
  // `owner`: this user needs no CAP_SYS_NICE; -1: everybody does.
  RequestCaller(Tid tid, uid_t uid, gid_t gid, const RegionStore* regions, int64_t owner = -1)
      : tid_(tid), uid_(uid), gid_(gid), regions_(regions), owner_(owner) {}

  // For `owner`: this process's user, if this process itself has no CAP_SYS_NICE. What such a ghostd serves is that
  // user's own, who could do without it whatever an agent does.
  static int64_t UnprivilegedOwner();

  Tid tid() const override { return tid_; }
  Tid tgid() const override;
  uid_t uid() const override { return uid_; }
  gid_t gid() const override { return gid_; }
  // In ghostd's own user namespace; the owner has it always.
  bool HasCapSysNice() const override;
  // The CPU that it is pinned to, or -1.
  int Cpu() const override;
  bool ReadMemory(uint64_t address, std::span<std::byte> out) override;
  bool WriteMemory(uint64_t address, std::span<const std::byte> data) override;
  std::optional<uint64_t> RegionOfFd(int fd) override;
  int TimerfdSettime(int fd, int flags, const struct itimerspec& value, struct itimerspec* old_value) override;

  // Whether Linux has refused a look into this process: it has more rights than ghostd.
  bool refused() const { return refused_; }

 private:
  void ReadStatus() const;
  // `result`, having noted whether errno is a refusal.
  bool Noted(bool result) {
    refused_ |= !result && (errno == EPERM || errno == EACCES);
    return result;
  }

  const Tid tid_;
  const uid_t uid_;
  const gid_t gid_;
  const RegionStore* const regions_;
  const int64_t owner_;
  bool refused_ = false;
  mutable bool status_read_ = false;
  mutable Tid tgid_ = 0;
  mutable bool cap_sys_nice_ = false;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_REQUEST_CALLER_H_
