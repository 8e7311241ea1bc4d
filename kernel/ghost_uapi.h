// The ghost kernel ABI: what the kernel and an agent process share.
//
// This header is the document of the ABI at version 91: the structures as they lie in memory, the numbers, and who may
// write what. It is not a description of older versions: what differs in 69..90 is one table, kernel/abi/abi_version.h,
// and messages of any version are decoded by kernel/abi/message.h. Nobody but those two, the user-mode kernel and the
// framework's innermost files should need it; policies never see it.
//
// Three shared regions, all of them mapped from files of ghostfs:
//
//   cpu_data        one 4 KiB page per possible CPU, holding that CPU's transaction (ghost_txn).
//   sw_regions/sw_N status words: what the kernel says about each task and agent. Userspace maps it read-only.
//   queue           a ring of messages from the kernel to one agent (or several).
//
// Queue mapping: the kernel owns `head` and the slots, the consumer owns `tail`; `overflow` counts messages lost.
//
//     0               start=64                              12 bytes       8-byte slots
//     +----------------+------------------------------------+------+------+------+----- ... -+
//     | queue_header   | ring: head | tail | overflow (u32) | slot | slot | slot |           |
//     +----------------+------------------------------------+------+------+------+----- ... -+
//
//   * head and tail run freely; a slot's index is (counter mod nelems), nelems a power of two.
//   * A message takes roundup(length, 8) / 8 slots and never wraps: the producer fills the end of the ring with one
//     MSG_NOP, whose seqnum is not set and whose 16-bit length may have overflowed when the gap is 64 KiB or more.
//   * Slots start at ring + 12, so messages are only 4-byte aligned: read 8-byte fields with memcpy.
//   * Producer: write slots, then store head (release). Consumer: load head (acquire), read, store tail (release).
//
// Transaction life cycle (ghost_txn.state):
//
//     userspace fills the fields
//        | store READY (release)                    CAS READY -> ABORTED (userspace's only other write)
//        v                                                   ^
//      READY ------------------------------------------------+
//        | kernel: CAS READY -> claiming cpu (0 <= state < MAX_CPUS)
//        v
//     claimed -- validate, commit --> COMPLETE or a failure (all negative), stored with release, after commit_time
//
// Errors of the ioctls, by number:  1 SW_GET_INFO ENODEV EINVAL ENOENT; 2 SW_FREE ENOENT EINVAL; 3 CREATE_QUEUE EINVAL
// ENOMEM; 4 ASSOC_QUEUE EINVAL EBADF ENOENT ESTALE; 5 SET_DEFAULT_QUEUE EBADF EINVAL; 6 CONFIG_QUEUE_WAKEUP EINVAL
// EBADF; 7 GET_CPU_TIME ESRCH; 8, 9 COMMIT_TXN, SYNC_GROUP_TXN EINVAL; 10 TIMERFD_SETTIME EINVAL EBADF; 11 RUN EPERM
// EINVAL ESTALE. Any: EFAULT bad pointer, EACCES fd not open for writing, ENODEV enclave gone, ENOTTY unknown number.
#ifndef GHOST_KERNEL_GHOST_UAPI_H_
#define GHOST_KERNEL_GHOST_UAPI_H_

#include <linux/ioctl.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

#include "kernel/ghost_uapi_msg.h"

// ---- Constants ----

inline constexpr uint32_t GHOST_VERSION = 91;  // the version whose layouts stand here
inline constexpr int SCHED_GHOST = 18;         // scheduling policy number

inline constexpr int GHOST_MAX_WINFO = 2;  // wake-up targets of one queue
inline constexpr int GHOST_MAX_QUEUE_ELEMS = 65536;
inline constexpr uint32_t GHOST_SW_REGION_VERSION = 0;
inline constexpr uint32_t GHOST_QUEUE_VERSION = 0;
inline constexpr int32_t GHOST_TXN_VERSION = 0;
inline constexpr int GHOST_TXN_NO_OWNER = -1;  // sync_group_owner of a transaction in no sync group

// Special gtids. A real gtid is positive: pid << 41 | 41-bit sequence (never 0) while the kernel's pid limit is 2^22.
inline constexpr int64_t GHOST_NULL_GTID = 0;
inline constexpr int64_t GHOST_AGENT_GTID = -1;
inline constexpr int64_t GHOST_IDLE_GTID = -2;

// What a message source is.
enum ghost_type : uint32_t { GHOST_AGENT = 0, GHOST_TASK = 1 };

// ASSOC_QUEUE's positive result, a bit mask.
inline constexpr int GHOST_ASSOC_SF_ALREADY = 1;    // the queue was already this one
inline constexpr int GHOST_ASSOC_SF_BRAND_NEW = 2;  // the task's TASK_NEW is still to come

inline constexpr int TIMERFD_GHOST_ENABLED = 1;

// ---- ioctl arguments ----

struct ghost_agent_wakeup {
  int32_t cpu;
  int32_t prio;  // must be 0
};
static_assert(sizeof(ghost_agent_wakeup) == 8);
static_assert(offsetof(ghost_agent_wakeup, prio) == 4);

// Who produces messages: GHOST_AGENT with arg = cpu, or GHOST_TASK with arg = gtid.
struct ghost_msg_src {
  uint32_t type;  // ghost_type
  uint32_t pad;
  uint64_t arg;
};
static_assert(sizeof(ghost_msg_src) == 16);
static_assert(offsetof(ghost_msg_src, arg) == 8);

struct timerfd_ghost {
  int32_t cpu;
  int32_t flags;  // TIMERFD_GHOST_ENABLED
  uint64_t type;
  uint64_t cookie;
};
static_assert(sizeof(timerfd_ghost) == 24);
static_assert(offsetof(timerfd_ghost, type) == 8 && offsetof(timerfd_ghost, cookie) == 16);

struct ghost_ioc_sw_get_info {
  ghost_msg_src request;
  ghost_sw_info response;
};
static_assert(sizeof(ghost_ioc_sw_get_info) == 24);
static_assert(offsetof(ghost_ioc_sw_get_info, response) == 16);

struct ghost_ioc_create_queue {
  int32_t elems;  // a power of two in 1..65536
  int32_t node;   // an online NUMA node
  int32_t flags;  // must be 0
  uint32_t pad;
  uint64_t mapsize;  // out: bytes to map
};
static_assert(sizeof(ghost_ioc_create_queue) == 24);
static_assert(offsetof(ghost_ioc_create_queue, node) == 4 && offsetof(ghost_ioc_create_queue, flags) == 8);
static_assert(offsetof(ghost_ioc_create_queue, mapsize) == 16);

struct ghost_ioc_assoc_queue {
  int32_t fd;
  uint32_t pad;
  ghost_msg_src src;
  uint32_t barrier;
  int32_t flags;  // must be 0
};
static_assert(sizeof(ghost_ioc_assoc_queue) == 32);
static_assert(offsetof(ghost_ioc_assoc_queue, src) == 8 && offsetof(ghost_ioc_assoc_queue, barrier) == 24);
static_assert(offsetof(ghost_ioc_assoc_queue, flags) == 28);

struct ghost_ioc_set_default_queue {
  int32_t fd;
};
static_assert(sizeof(ghost_ioc_set_default_queue) == 4);

struct ghost_ioc_config_queue_wakeup {
  int32_t qfd;
  uint32_t pad;
  uint64_t w;     // pointer to ninfo ghost_agent_wakeup
  int32_t ninfo;  // 0..GHOST_MAX_WINFO; 0 removes
  int32_t flags;  // must be 0
};
static_assert(sizeof(ghost_ioc_config_queue_wakeup) == 24);
static_assert(offsetof(ghost_ioc_config_queue_wakeup, w) == 8);
static_assert(offsetof(ghost_ioc_config_queue_wakeup, ninfo) == 16);
static_assert(offsetof(ghost_ioc_config_queue_wakeup, flags) == 20);

struct ghost_ioc_get_cpu_time {
  int64_t gtid;
  uint64_t runtime;  // out: ns
};
static_assert(sizeof(ghost_ioc_get_cpu_time) == 16);
static_assert(offsetof(ghost_ioc_get_cpu_time, runtime) == 8);

struct ghost_ioc_commit_txn {
  uint64_t mask_ptr;  // pointer to a cpu_set_t
  uint32_t mask_len;  // bytes
  int32_t flags;      // must be 0
};
static_assert(sizeof(ghost_ioc_commit_txn) == 16);
static_assert(offsetof(ghost_ioc_commit_txn, mask_len) == 8 && offsetof(ghost_ioc_commit_txn, flags) == 12);

struct ghost_ioc_timerfd_settime {
  int32_t timerfd;
  int32_t flags;
  uint64_t in_tmr;   // pointer to struct itimerspec
  uint64_t out_tmr;  // pointer to struct itimerspec or null
  struct timerfd_ghost timerfd_ghost;
};
static_assert(sizeof(ghost_ioc_timerfd_settime) == 48);
static_assert(offsetof(ghost_ioc_timerfd_settime, in_tmr) == 8);
static_assert(offsetof(ghost_ioc_timerfd_settime, out_tmr) == 16);
static_assert(offsetof(ghost_ioc_timerfd_settime, timerfd_ghost) == 24);

struct ghost_ioc_run {
  int64_t gtid;  // 0 yields the local agent, -1 pings the agent of run_cpu
  uint32_t agent_barrier;
  uint32_t task_barrier;
  int32_t run_cpu;
  int32_t run_flags;
};
static_assert(sizeof(ghost_ioc_run) == 24);
static_assert(offsetof(ghost_ioc_run, agent_barrier) == 8 && offsetof(ghost_ioc_run, task_barrier) == 12);
static_assert(offsetof(ghost_ioc_run, run_cpu) == 16 && offsetof(ghost_ioc_run, run_flags) == 20);

inline constexpr unsigned long GHOST_IOC_NULL = _IO('g', 0);
inline constexpr unsigned long GHOST_IOC_SW_GET_INFO = _IOWR('g', 1, ghost_ioc_sw_get_info);
inline constexpr unsigned long GHOST_IOC_SW_FREE = _IOW('g', 2, ghost_sw_info);
inline constexpr unsigned long GHOST_IOC_CREATE_QUEUE = _IOWR('g', 3, ghost_ioc_create_queue);
inline constexpr unsigned long GHOST_IOC_ASSOC_QUEUE = _IOW('g', 4, ghost_ioc_assoc_queue);
inline constexpr unsigned long GHOST_IOC_SET_DEFAULT_QUEUE = _IOW('g', 5, ghost_ioc_set_default_queue);
inline constexpr unsigned long GHOST_IOC_CONFIG_QUEUE_WAKEUP = _IOW('g', 6, ghost_ioc_config_queue_wakeup);
inline constexpr unsigned long GHOST_IOC_GET_CPU_TIME = _IOWR('g', 7, ghost_ioc_get_cpu_time);
inline constexpr unsigned long GHOST_IOC_COMMIT_TXN = _IOW('g', 8, ghost_ioc_commit_txn);
inline constexpr unsigned long GHOST_IOC_SYNC_GROUP_TXN = _IOW('g', 9, ghost_ioc_commit_txn);
inline constexpr unsigned long GHOST_IOC_TIMERFD_SETTIME = _IOWR('g', 10, ghost_ioc_timerfd_settime);
inline constexpr unsigned long GHOST_IOC_RUN = _IOW('g', 11, ghost_ioc_run);

static_assert(GHOST_IOC_NULL == 0x6700);
static_assert(GHOST_IOC_SW_GET_INFO == 0xc0186701);
static_assert(GHOST_IOC_SW_FREE == 0x40086702);
static_assert(GHOST_IOC_CREATE_QUEUE == 0xc0186703);
static_assert(GHOST_IOC_ASSOC_QUEUE == 0x40206704);
static_assert(GHOST_IOC_SET_DEFAULT_QUEUE == 0x40046705);
static_assert(GHOST_IOC_CONFIG_QUEUE_WAKEUP == 0x40186706);
static_assert(GHOST_IOC_GET_CPU_TIME == 0xc0106707);
static_assert(GHOST_IOC_COMMIT_TXN == 0x40106708);
static_assert(GHOST_IOC_SYNC_GROUP_TXN == 0x40106709);
static_assert(GHOST_IOC_TIMERFD_SETTIME == 0xc030670a);
static_assert(GHOST_IOC_RUN == 0x4018670b);

// ---- Status words ----

struct alignas(64) ghost_sw_region_header {
  uint32_t version;  // GHOST_SW_REGION_VERSION
  uint32_t id;
  uint32_t numa_node;
  uint32_t start;      // offset of the first status word
  uint32_t capacity;   // status words in the region
  uint32_t available;  // free ones
};
static_assert(sizeof(ghost_sw_region_header) == 64);
static_assert(offsetof(ghost_sw_region_header, start) == 12);
static_assert(offsetof(ghost_sw_region_header, capacity) == 16);
static_assert(offsetof(ghost_sw_region_header, available) == 20);

// Written by the kernel only. barrier is stored with release after what it announces.
struct alignas(32) ghost_status_word {
  uint32_t barrier;  // +1 with every message of this task or agent
  uint32_t flags;    // GHOST_SW_*
  uint64_t gtid;
  int64_t switch_time;  // ns, CLOCK_MONOTONIC, when it got on cpu; 0 while off cpu
  uint64_t runtime;     // ns on cpu, cumulative
};
static_assert(sizeof(ghost_status_word) == 32);
static_assert(offsetof(ghost_status_word, flags) == 4 && offsetof(ghost_status_word, gtid) == 8);
static_assert(offsetof(ghost_status_word, switch_time) == 16 && offsetof(ghost_status_word, runtime) == 24);

inline constexpr uint32_t GHOST_SW_F_INUSE = 1u << 0;
inline constexpr uint32_t GHOST_SW_F_CANFREE = 1u << 1;
inline constexpr uint32_t GHOST_SW_F_ALLOCATED = 1u << 2;
inline constexpr uint32_t GHOST_SW_CPU_AVAIL = 1u << 8;   // agents: no other class uses the cpu
inline constexpr uint32_t GHOST_SW_BOOST_PRIO = 1u << 9;  // agents: another class wants the cpu
inline constexpr uint32_t GHOST_SW_TASK_ONCPU = 1u << 16;
inline constexpr uint32_t GHOST_SW_TASK_RUNNABLE = 1u << 17;
inline constexpr uint32_t GHOST_SW_TASK_IS_AGENT = 1u << 18;
inline constexpr uint32_t GHOST_SW_TASK_MSG_GATED = 1u << 19;

// ---- Transactions ----

struct alignas(64) ghost_txn {
  int32_t version;  // GHOST_TXN_VERSION
  int32_t cpu;
  int32_t state;  // ghost_txn_state, or the claiming cpu
  uint32_t agent_barrier;
  uint32_t task_barrier;
  uint16_t run_flags;
  uint8_t commit_flags;
  uint8_t unused;
  int64_t gtid;
  int64_t commit_time;  // out: ns, CLOCK_MONOTONIC
  uint64_t cpu_seqnum;  // out
  int32_t sync_group_owner;
};
static_assert(sizeof(ghost_txn) == 64);
static_assert(offsetof(ghost_txn, cpu) == 4 && offsetof(ghost_txn, state) == 8);
static_assert(offsetof(ghost_txn, agent_barrier) == 12 && offsetof(ghost_txn, task_barrier) == 16);
static_assert(offsetof(ghost_txn, run_flags) == 20 && offsetof(ghost_txn, commit_flags) == 22);
static_assert(offsetof(ghost_txn, gtid) == 24 && offsetof(ghost_txn, commit_time) == 32);
static_assert(offsetof(ghost_txn, cpu_seqnum) == 40 && offsetof(ghost_txn, sync_group_owner) == 48);

struct alignas(4096) ghost_cpu_data {
  ghost_txn txn;
};
static_assert(sizeof(ghost_cpu_data) == 4096);

enum ghost_txn_state : int32_t {
  GHOST_TXN_READY = INT32_MAX,
  GHOST_TXN_COMPLETE = INT32_MIN,
  GHOST_TXN_ABORTED,
  GHOST_TXN_TARGET_ONCPU,
  GHOST_TXN_TARGET_STALE,
  GHOST_TXN_TARGET_NOT_FOUND,
  GHOST_TXN_TARGET_NOT_RUNNABLE,
  GHOST_TXN_AGENT_STALE,
  GHOST_TXN_CPU_OFFLINE,
  GHOST_TXN_CPU_UNAVAIL,
  GHOST_TXN_INVALID_FLAGS,
  GHOST_TXN_INVALID_TARGET,
  GHOST_TXN_NOT_PERMITTED,
  GHOST_TXN_INVALID_CPU,
  GHOST_TXN_NO_AGENT,
  GHOST_TXN_UNSUPPORTED_VERSION,
  GHOST_TXN_POISONED,
};
static_assert(GHOST_TXN_POISONED == -2147483633);

// Run flags (ghost_txn.run_flags). Bits 3, 4 and 8 are unused.
inline constexpr uint16_t RTLA_ON_PREEMPT = 1 << 0;  // return to the local agent when the task is preempted, …
inline constexpr uint16_t RTLA_ON_BLOCKED = 1 << 1;
inline constexpr uint16_t RTLA_ON_YIELD = 1 << 2;
inline constexpr uint16_t RTLA_ON_IDLE = 1 << 5;
inline constexpr uint16_t NEED_L1D_FLUSH = 1 << 6;
inline constexpr uint16_t NEED_CPU_NOT_IDLE = 1 << 7;
inline constexpr uint16_t ELIDE_PREEMPT = 1 << 9;
inline constexpr uint16_t SEND_TASK_ON_CPU = 1 << 10;  // SEND_TASK_LATCHED until version 77
inline constexpr uint16_t DEFER_LATCHED_PREEMPTION_BY_AGENT = 1 << 11;
inline constexpr uint16_t DO_NOT_PREEMPT = 1 << 12;

// Commit flags (ghost_txn.commit_flags). None of the first two: "greedy", the target cpu commits when it next can.
inline constexpr uint8_t COMMIT_AT_SCHEDULE = 1 << 0;
inline constexpr uint8_t COMMIT_AT_TXN_COMMIT = 1 << 1;
inline constexpr uint8_t ALLOW_TASK_ONCPU = 1 << 2;
inline constexpr uint8_t ELIDE_AGENT_BARRIER_INC = 1 << 3;
inline constexpr uint8_t INC_AGENT_BARRIER_ON_FAILURE = 1 << 4;

#endif  // GHOST_KERNEL_GHOST_UAPI_H_
