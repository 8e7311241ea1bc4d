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
//   5. BPF programs are of type BPF_PROG_TYPE_SYSCALL, run by ghostd, and attached with GHOSTD_IOC_BPF_ATTACH on the
//      enclave's ctl instead of with BPF_LINK_CREATE; they stay until that open file is closed by all who have it.
//   6. The root directory has one more file, `stats` (0444), a JSON object for `ghostctl status`:
//        {"tasks": n, "queues": n,
//         "cpus": [{"cpu": n, "enclave": id or null, "agent": tid or null, "agent_running": bool, "current_gtid": g,
//                   "latched_gtid": g, "commits": n, "failed_commits": n, "preempts": n, "busy_ns": n}, …],
//         "enclaves": [{"id": n, "abi": n, "cpus": "0-1", "dying": bool, "active": bool, "agents": n, "tasks": n,
//                       "queues": n, "status_words": n, "messages": {"TASK_NEW": n, …}, "dropped": n,
//                       "programs": {"pnt": n, "msg": n, "select_rq": n, "latched": n, "dropped": n,
//                                    "failed_runs": n, "failed_effects": n, "throttled": n},
//                       "commits": {"complete": n, "agent_stale": n, …}, "preempts": n, "wakeups": n,
//                       "runnable_to_run": {"count": n, "p50_ns": n, "p99_ns": n, "max_ns": n},
//                       "block_to_run": {…}}, …]}
//      programs: of BPF, how often they ran at which hook, tasks that they latched, messages that they dropped, runs
//      that failed, helpers that did after all, runs left out as there had been too many; null: none has ever run.
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

struct ghostd_ioc_bpf_attach {
  int32_t prog_fd;       // these four: the caller's descriptors; the maps as third_party/bpf/ghost_maps.h has them
  int32_t tasks_fd;      // struct ghost_view_task
  int32_t cpus_fd;       // struct ghost_view_cpu
  int32_t effects_fd;    // struct ghost_effects
  uint32_t attach_type;  // as BPF_LINK_CREATE's: 2000 to 2002, and the enclave's ABI in the upper 16 bits
  uint32_t flags;        // 0
};
// 0; EINVAL: type, flags, or no such program or map; EBADF: another ABI, or no such descriptor; EBUSY: there is a
// program at this hook; EPERM: neither root nor ghostd's own user; EOPNOTSUPP: this kernel runs no programs.
inline constexpr unsigned long GHOSTD_IOC_BPF_ATTACH = _IOW('g', 65, ghostd_ioc_bpf_attach);

}  // namespace ghost

#endif  // GHOST_KERNEL_USERMODE_CORE_DIALECT_H_
