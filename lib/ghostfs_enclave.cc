#include "lib/ghostfs_enclave.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/dialect.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/gtid.h"

namespace ghost {
namespace {

constexpr int kPidBits = 41;  // a gtid's bits below the pid

// agent_online tells pollers when it changes; a server that does not is still asked this often.
constexpr int kAgentOnlineRecheckMs = 100;

Region ToRegion(Mapping mapping) {
  auto owner = std::make_shared<Mapping>(std::move(mapping));
  return {.data = owner->data(), .size = owner->size(), .owner = owner};
}

absl::Status PinTo(int cpu) {
  const cpu_set_t mask = CpuSet({cpu}).ToCpuSetT();
  if (sched_setaffinity(0, sizeof(mask), &mask) != 0) return ErrnoStatus(errno, "cannot pin the agent");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GhostfsEnclave>> GhostfsEnclave::Open(const std::string& directory, bool user_mode) {
  auto enclave = std::unique_ptr<GhostfsEnclave>(new GhostfsEnclave(directory, user_mode));
  GHOST_ASSIGN_OR_RETURN(std::string version, enclave->ReadFile("abi_version"));
  uint32_t number = 0;
  if (absl::SimpleAtoi(version, &number)) enclave->abi_ = FindAbi(number);
  if (enclave->abi_ == nullptr) {
    return WithExitCode(
        absl::FailedPreconditionError(absl::StrCat(directory, " has ABI ", absl::StripAsciiWhitespace(version),
                                                   "; this program knows ", KnownAbis())),
        ExitCode::kNoKernel);
  }
  absl::StatusOr<ScopedFd> ctl = OpenFile(enclave->Path("ctl"), O_RDWR);
  if (absl::IsPermissionDenied(ctl.status())) {
    return WithHint(ctl.status(), "run it as root, or as the user who made the enclave");
  }
  if (!ctl.ok()) return ctl.status();
  enclave->ctl_ = *std::move(ctl);
  GHOST_ASSIGN_OR_RETURN(std::string id, enclave->ReadFile("ctl"));
  if (!absl::SimpleAtoi(id, &enclave->id_)) {
    return absl::FailedPreconditionError(absl::StrCat(directory, "/ctl reads ", absl::StripAsciiWhitespace(id)));
  }
  return enclave;
}

std::string GhostfsEnclave::Path(absl::string_view name) const { return absl::StrCat(directory_, "/", name); }

absl::StatusOr<std::string> GhostfsEnclave::ReadFile(absl::string_view name) { return ghost::ReadFile(Path(name)); }

absl::Status GhostfsEnclave::WriteFile(absl::string_view name, absl::string_view text) {
  return ghost::WriteFile(Path(name), text);
}

absl::StatusOr<Region> GhostfsEnclave::MapFile(const std::string& path, bool writable) {
  GHOST_ASSIGN_OR_RETURN(ScopedFd fd, OpenFile(path, writable ? O_RDWR : O_RDONLY));
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return ErrnoStatus(errno, absl::StrCat("cannot stat ", path));
  GHOST_ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(fd.get(), static_cast<size_t>(status.st_size), writable));
  return ToRegion(std::move(mapping));
}

absl::StatusOr<Region> GhostfsEnclave::MapCpuData() { return MapFile(Path("cpu_data"), /*writable=*/true); }

absl::Status GhostfsEnclave::CreateStatusWords(uint32_t region_id, int numa_node) {
  absl::Status status = WriteFile("ctl", absl::StrCat("create sw_region ", region_id, " ", numa_node));
  if (ErrnoOf(status) == EEXIST) return absl::OkStatus();
  if (ErrnoOf(status) != ENOMEM) return status;
  return WithHint(ErrnoStatus(ENOMEM, absl::StrCat("no room for the status words of ", directory())),
                  user_mode_ ? "make room in ghostd's shared memory: df -h /dev/shm" : "free some memory");
}

absl::StatusOr<Region> GhostfsEnclave::MapStatusWords(uint32_t region_id) {
  return MapFile(Path(absl::StrCat("sw_regions/sw_", region_id)), /*writable=*/false);
}

absl::StatusOr<KernelQueue> GhostfsEnclave::CreateQueue(int elems, int numa_node) {
  ghost_ioc_create_queue argument = {.elems = elems, .node = numa_node, .flags = 0, .pad = 0, .mapsize = 0};
  const int result = Ioctl(GHOST_IOC_CREATE_QUEUE, &argument);
  if (result < 0) return ErrnoStatus(-result, absl::StrCat("cannot create a queue of ", elems, " elements"));
  ScopedFd fd;
  if (user_mode_) {
    GHOST_ASSIGN_OR_RETURN(fd, OpenFile(Path(absl::StrCat("queue_", result)), O_RDWR));
  } else {
    fd.reset(result);
  }
  GHOST_ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(fd.get(), argument.mapsize, /*writable=*/true));
  auto owner = std::make_shared<ScopedFd>(std::move(fd));
  return KernelQueue{.fd = owner->get(), .region = ToRegion(std::move(mapping)), .owner = owner};
}

absl::StatusOr<KernelTimer> GhostfsEnclave::CreateTimer() {
  auto owner = std::make_shared<ScopedFd>(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!owner->valid()) return ErrnoStatus(errno, "timerfd_create");
  return KernelTimer{.fd = owner->get(), .owner = owner};
}

int GhostfsEnclave::Ioctl(unsigned long number, void* argument) {
  const int result = ioctl(ctl_.get(), number, argument);
  return result < 0 ? -errno : result;
}

int GhostfsEnclave::BecomeAgent(int cpu, int queue_fd) {
  char command[64];
  if (abi_->become_agent_takes_cpu) {
    std::snprintf(command, sizeof(command), "become agent %d %d", cpu, queue_fd);
  } else {
    if (absl::Status pinned = PinTo(cpu); !pinned.ok()) return -ErrnoOf(pinned);
    std::snprintf(command, sizeof(command), "become agent %d", queue_fd);
  }
  const ssize_t result = write(ctl_.get(), command, std::strlen(command));
  return result < 0 ? -errno : 0;
}

absl::Status GhostfsEnclave::AdvertiseOnline() {
  GHOST_ASSIGN_OR_RETURN(agent_online_, OpenFile(Path("agent_online"), O_RDWR));
  return absl::OkStatus();
}

absl::Status GhostfsEnclave::WaitAgentOnline(bool online, absl::Duration timeout) {
  const Time deadline = Time::Now() + timeout;
  GHOST_ASSIGN_OR_RETURN(ScopedFd fd, OpenFile(Path("agent_online"), O_RDONLY));
  for (;;) {
    char value = 0;
    if (pread(fd.get(), &value, 1, 0) < 0) return ErrnoStatus(errno, absl::StrCat("cannot read ", directory_));
    if ((value == '1') == online) return absl::OkStatus();
    const absl::Duration left = deadline - Time::Now();
    if (left <= absl::ZeroDuration())
      return absl::DeadlineExceededError(absl::StrCat(Path("agent_online"), " is ", online ? 0 : 1));
    pollfd poller = {.fd = fd.get(), .events = POLLPRI, .revents = 0};
    const int64_t wait_ms = std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, kAgentOnlineRecheckMs);
    poll(&poller, 1, static_cast<int>(wait_ms));
  }
}

absl::StatusOr<CpuSet> GhostfsEnclave::TaskAffinity(int64_t gtid) {
  if (user_mode_) {
    ghostd_ioc_task_affinity argument = {.gtid = gtid, .mask = {}};
    if (int result = Ioctl(GHOSTD_IOC_TASK_AFFINITY, &argument); result < 0) {
      return ErrnoStatus(-result, absl::StrCat("cannot get the affinity of gtid ", gtid));
    }
    static_assert(sizeof(argument.mask) == sizeof(cpu_set_t));
    cpu_set_t mask;
    std::memcpy(&mask, argument.mask, sizeof(mask));
    return CpuSet::FromCpuSetT(mask);
  }
  cpu_set_t mask;
  if (sched_getaffinity(static_cast<pid_t>(gtid >> kPidBits), sizeof(mask), &mask) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot get the affinity of gtid ", gtid));
  }
  return CpuSet::FromCpuSetT(mask);
}

absl::StatusOr<int64_t> GhostfsEnclave::TaskGtid(pid_t tid) {
  if (user_mode_) {
    ghostd_ioc_task_affinity argument = {.gtid = -int64_t{tid}, .mask = {}};
    if (int result = Ioctl(GHOSTD_IOC_TASK_AFFINITY, &argument); result < 0) {
      return ErrnoStatus(-result, absl::StrCat("cannot get the gtid of thread ", tid));
    }
    return argument.gtid;
  }
  GHOST_ASSIGN_OR_RETURN(const Gtid gtid, Gtid::FromTid(tid));
  return gtid.id();
}

}  // namespace ghost
