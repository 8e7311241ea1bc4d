// Where ghostd's ghostfs differs from a ghost kernel's, because it is served through FUSE on a stock kernel.
//
// This is the whole list; the framework's ghostfs port (lib/) is the only other place that knows of it. A mount whose
// statfs(2) type is FUSE's (kFuseMagic) speaks the dialect, one of kGhostMagic does not.
//
//   1. A FUSE ioctl cannot return a new descriptor: GHOST_IOC_CREATE_QUEUE returns the queue's id (> 0), and the caller
//      opens enclave_N/queue_<id> (O_RDWR) for what a ghost kernel would have returned. The id's file goes away when
//      the creator's enclave does.
//   2. cpu_data, sw_regions/sw_N and queue_<id> are symbolic links to files in tmpfs: open and mmap them as usual.
//   3. A task that runs on a real CPU is pinned there, so sched_getaffinity(2) shows the pin: the task's own mask comes
//      from GHOSTD_IOC_TASK_AFFINITY on the enclave's ctl.
//   4. /proc/<pid>/ghost/gtid does not exist: GHOSTD_IOC_TASK_AFFINITY with gtid = -(tid) also says the gtid.
#ifndef GHOST_KERNEL_USERMODE_CORE_DIALECT_H_
#define GHOST_KERNEL_USERMODE_CORE_DIALECT_H_

#include <linux/ioctl.h>

#include <cstdint>

namespace ghost {

inline constexpr long kGhostMagic = 0xBAD1DEA2;
inline constexpr long kFuseMagic = 0x65735546;

struct ghostd_ioc_task_affinity {
  int64_t gtid;       // in: a task of this enclave, or minus a tid; out: its gtid
  uint64_t mask[16];  // out: bit n = CPU n
};
inline constexpr unsigned long GHOSTD_IOC_TASK_AFFINITY = _IOWR('g', 64, ghostd_ioc_task_affinity);

}  // namespace ghost

#endif  // GHOST_KERNEL_USERMODE_CORE_DIALECT_H_
