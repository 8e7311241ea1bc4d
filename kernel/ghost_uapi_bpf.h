// The BPF half of the ghost ABI, version 91, for user space: contexts of programs, attach points, flags of helpers.
//
// A ghost kernel's programs see these contexts at the version's layout: bpf_ghost_msg moves (type at 40 until 87, at 48
// from 88; pref_cpu from 82), so that programs are compiled once per layout (third_party/bpf/ghost.bpf.h, which holds
// the same in C). A user-mode kernel's programs see those of version 91 always.
#ifndef GHOST_KERNEL_GHOST_UAPI_BPF_H_
#define GHOST_KERNEL_GHOST_UAPI_BPF_H_

#include <cstddef>
#include <cstdint>

#include "kernel/ghost_uapi_msg.h"

enum : uint32_t {  // program types of ghost kernels
  BPF_PROG_TYPE_GHOST_SCHED = 1000,
  BPF_PROG_TYPE_GHOST_MSG = 1001,
  BPF_PROG_TYPE_GHOST_SELECT_RQ = 1002,
  BPF_PROG_TYPE_GHOST_HALT_POLL = 1003,
};

enum : uint32_t {  // attach types: the lower 16 bits; the ABI's version stands in the upper ones
  BPF_GHOST_SCHED_PNT = 2000,
  BPF_GHOST_MSG_SEND = 2001,
  BPF_GHOST_SELECT_RQ = 2002,
  BPF_GHOST_HALT_POLL = 2003,
};

enum : uint32_t {  // of the helper resched_cpu2
  RESCHED_ANY_CLASS = 1 << 0,
  RESCHED_GHOST_CLASS = 1 << 1,
  RESCHED_IDLE_CLASS = 1 << 2,
  RESCHED_OTHER_CLASS = 1 << 3,
  SET_MUST_RESCHED = 1 << 4,
  WAKE_AGENT = 1 << 5,
};

enum : uint32_t {  // bpf_ghost_select_rq.sd_flag, as in Linux
  SD_BALANCE_WAKE = 1 << 3,
};

inline constexpr int BPF_GHOST_MSG_NO_WAKEUP_PREF = -1;
inline constexpr int BPF_GHOST_MSG_SKIP_AGENT_WAKE = -2;

struct bpf_ghost_sched {
  uint8_t agent_on_rq;     // there is an agent, and it could run if it was poked
  uint8_t agent_runnable;  // it will run
  uint8_t might_yield;     // another class has something to run
  uint8_t dont_idle;       // out: do not go idle this once
  uint8_t must_resched;    // in and out: the current task may not go on
  uint64_t next_gtid;      // what will run unless the program latches something; 0: nothing
};
static_assert(sizeof(bpf_ghost_sched) == 16 && offsetof(bpf_ghost_sched, next_gtid) == 8);

struct bpf_ghost_msg {
  union {
    ghost_msg_payload_task_dead dead;
    ghost_msg_payload_task_blocked blocked;
    ghost_msg_payload_task_wakeup wakeup;
    ghost_msg_payload_task_new newt;
    ghost_msg_payload_task_preempt preempt;
    ghost_msg_payload_task_yield yield;
    ghost_msg_payload_task_departed departed;
    ghost_msg_payload_task_switchto switchto;
    ghost_msg_payload_task_affinity_changed affinity;
    ghost_msg_payload_task_priority_changed priority;
    ghost_msg_payload_task_on_cpu on_cpu;
    ghost_msg_payload_cpu_tick cpu_tick;
    ghost_msg_payload_timer timer;
    ghost_msg_payload_cpu_not_idle cpu_not_idle;
    ghost_msg_payload_task_latch_failure latch_failure;
    ghost_msg_payload_cpu cpu_available;
    ghost_msg_payload_cpu cpu_busy;
  };
  uint16_t type;
  uint32_t seqnum;
  int32_t pref_cpu;  // out: whose agent to wake
};
static_assert(sizeof(bpf_ghost_msg) == 64 && offsetof(bpf_ghost_msg, type) == 48);
static_assert(offsetof(bpf_ghost_msg, seqnum) == 52 && offsetof(bpf_ghost_msg, pref_cpu) == 56);

struct bpf_ghost_select_rq {
  uint64_t gtid;
  uint32_t task_cpu;
  uint32_t waker_cpu;
  uint32_t sd_flag;
  uint32_t wake_flags;
  uint8_t skip_ttwu_queue;  // out
};
static_assert(sizeof(bpf_ghost_select_rq) == 32 && offsetof(bpf_ghost_select_rq, skip_ttwu_queue) == 24);

#endif  // GHOST_KERNEL_GHOST_UAPI_BPF_H_
