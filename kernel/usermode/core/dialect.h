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
//      (A thread that is no task of the enclave gets its gtid and an empty mask: sched_getaffinity says the truth.)
//   5. The root directory has one more file, `stats` (0444), a JSON object for `ghostctl status`:
//        {"tasks": n, "queues": n,
//         "cpus": [{"cpu": n, "enclave": id or null, "agent": tid or null, "agent_running": bool, "current_gtid": g,
//                   "latched_gtid": g, "commits": n, "failed_commits": n, "preempts": n, "busy_ns": n}, …],
//         "enclaves": [{"id": n, "abi": n, "cpus": "0-1", "dying": bool, "active": bool, "agents": n, "tasks": n,
//                       "queues": n, "status_words": n, "messages": {"TASK_NEW": n, …}, "dropped": n,
//                       "commits": {"complete": n, "agent_stale": n, …}, "preempts": n, "wakeups": n,
//                       "runnable_to_run": {"count": n, "p50_ns": n, "p99_ns": n, "max_ns": n},
//                       "block_to_run": {…}}, …]}
//      messages: produced, by type, those that occurred; dropped: had a queue, but it was full; commits: by final
//      state, lower case; runnable_to_run: how long tasks waited for a CPU; block_to_run: how long a CPU that a task
//      left asleep was without one, while others waited (percentiles within an eighth). gtids: 64 bits, 0 = none.
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
