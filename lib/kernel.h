// The port: everything that the framework asks of a ghost kernel, and nothing else.
//
// A Kernel is one ghost kernel: a real one or ghostd through ghostfs (lib/ghostfs.h), a simulation in this process, or
// a mock for tests (lib/testing/mock_kernel.h). A KernelEnclave is a handle on one of its enclaves. The framework
// reaches the kernel through these two classes and through the memory that they map; there is no other way, and no
// global state: a process may hold several of both.
//
// What it is not: it has no idea of policies, agents or tasks; Enclave (lib/enclave.h) is the object that programs use.
//
// Threads: a Kernel belongs to one thread at a time. A KernelEnclave's Ioctl, TaskAffinity and BecomeAgent may be
// called from every thread at once; the rest from one thread at a time.
//
// Errors: Status at the edges (with errno, hint and exit code, lib/base/status.h). Ioctl is what a schedule pass calls:
// it returns a number >= 0 or -errno, and neither allocates nor locks.
#ifndef GHOST_LIB_KERNEL_H_
#define GHOST_LIB_KERNEL_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kernel/abi/abi_version.h"
#include "lib/base/cpu_set.h"

namespace ghost {

// Memory shared with the kernel. It stays mapped while a copy of `owner` lives; what others write there is untrusted.
struct Region {
  std::byte* data = nullptr;
  size_t size = 0;
  std::shared_ptr<void> owner;
};

// A queue, as its creator holds it: `fd` names it in ioctls, `region` is the ring.
struct KernelQueue {
  int fd = -1;
  Region region;
  std::shared_ptr<void> owner;  // keeps fd open
};

// A timer of CLOCK_MONOTONIC, not armed: `fd` names it in GHOST_IOC_TIMERFD_SETTIME.
struct KernelTimer {
  int fd = -1;
  std::shared_ptr<void> owner;  // keeps fd open
};

class KernelEnclave {
 public:
  virtual ~KernelEnclave() = default;  // does not destroy the enclave

  virtual uint64_t id() const = 0;
  // Where it is, for the user: "/sys/fs/ghost/enclave_1".
  virtual const std::string& directory() const = 0;
  virtual const AbiVersion& abi() const = 0;

  // Control files: "cpulist", "deliver_ticks", "status", "tasks", "ctl", …
  virtual absl::StatusOr<std::string> ReadFile(absl::string_view name) = 0;
  virtual absl::Status WriteFile(absl::string_view name, absl::string_view text) = 0;

  virtual absl::StatusOr<Region> MapCpuData() = 0;
  // A region that exists already is fine: an agent that takes over finds its predecessor's.
  virtual absl::Status CreateStatusWords(uint32_t region_id, int numa_node) = 0;
  virtual absl::StatusOr<Region> MapStatusWords(uint32_t region_id) = 0;
  // `elems` is a power of two in 1..65536.
  virtual absl::StatusOr<KernelQueue> CreateQueue(int elems, int numa_node) = 0;
  virtual absl::StatusOr<KernelTimer> CreateTimer() = 0;

  // One ioctl of ghost_uapi.h with its struct. >= 0, or -errno.
  virtual int Ioctl(unsigned long number, void* argument) = 0;

  // Makes the calling thread the agent of `cpu`, with the queue `queue_fd` (-1: the enclave's default queue), in the
  // form that abi() wants; where the kernel takes the CPU that the thread happens to run on, the thread is pinned
  // first. Returns 0 or -errno: EBUSY while another agent sits there.
  virtual int BecomeAgent(int cpu, int queue_fd) = 0;

  // Opens agent_online for writing and keeps it: "an agent serves this enclave". EBUSY while another process does.
  virtual absl::Status AdvertiseOnline() = 0;
  virtual void WithdrawOnline() = 0;
  // Waits until agent_online is `online`; DeadlineExceeded after `timeout`.
  virtual absl::Status WaitAgentOnline(bool online, absl::Duration timeout) = 0;

  // The CPUs that the task itself may use. Not for a schedule pass: it is a system call or two.
  virtual absl::StatusOr<CpuSet> TaskAffinity(int64_t gtid) = 0;
  // The gtid of a thread (of a user-mode kernel's only those in this enclave). NotFound: there is none.
  virtual absl::StatusOr<int64_t> TaskGtid(pid_t tid) = 0;
};

struct EnclaveInfo {
  uint64_t id = 0;
  std::string name;       // "enclave_1"
  std::string directory;  // with its path
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  // Where it is: "/sys/fs/ghost".
  virtual const std::string& root() const = 0;
  // True for ghostd and simulations: the scheduling class of tasks and agents is not SCHED_GHOST there.
  virtual bool user_mode() const = 0;
  // What it offers, and what CreateEnclave takes.
  virtual const std::vector<uint32_t>& versions() const = 0;
  virtual const AbiVersion& abi() const = 0;

  // CPUs are numbered 0..PossibleCpus()-1. ghostd may offer more CPUs than the machine has.
  virtual absl::StatusOr<int> PossibleCpus() = 0;

  virtual absl::StatusOr<std::vector<EnclaveInfo>> ListEnclaves() = 0;
  // A new enclave with the first free number, that owns `cpus`. Busy CPUs: the Status names the enclave that has them,
  // and the new one is gone again.
  virtual absl::StatusOr<std::unique_ptr<KernelEnclave>> CreateEnclave(const CpuSet& cpus) = 0;
  // `directory` is a path ("/sys/fs/ghost/enclave_2"), or a name below root() ("enclave_2").
  virtual absl::StatusOr<std::unique_ptr<KernelEnclave>> AttachEnclave(absl::string_view directory) = 0;
};

}  // namespace ghost

#endif  // GHOST_LIB_KERNEL_H_
