// The messages of the ghost kernel ABI (version 91): the ring, the header, the types and their payloads. Part of
// kernel/ghost_uapi.h, which says who writes what; include that one.
#ifndef GHOST_KERNEL_GHOST_UAPI_MSG_H_
#define GHOST_KERNEL_GHOST_UAPI_MSG_H_

#include <cstddef>
#include <cstdint>

// Names a status word: region id, index in it.
struct ghost_sw_info {
  uint32_t id;
  uint32_t index;
};
static_assert(sizeof(ghost_sw_info) == 8);
static_assert(offsetof(ghost_sw_info, index) == 4);

// ---- Queues and messages ----

struct alignas(64) ghost_queue_header {
  uint32_t version;  // GHOST_QUEUE_VERSION
  uint32_t start;    // offset of the ring
  uint32_t nelems;   // slots, a power of two
};
static_assert(sizeof(ghost_queue_header) == 64);
static_assert(offsetof(ghost_queue_header, start) == 4 && offsetof(ghost_queue_header, nelems) == 8);

struct ghost_ring {
  uint32_t head;      // producer
  uint32_t tail;      // consumer
  uint32_t overflow;  // messages dropped because the ring was full
};
static_assert(sizeof(ghost_ring) == 12);
static_assert(offsetof(ghost_ring, tail) == 4 && offsetof(ghost_ring, overflow) == 8);

struct ghost_msg {
  uint16_t type;
  uint16_t length;  // header and payload, bytes
  uint32_t seqnum;  // barrier of the source after the event
};
static_assert(sizeof(ghost_msg) == 8);
static_assert(offsetof(ghost_msg, length) == 2 && offsetof(ghost_msg, seqnum) == 4);

enum ghost_msg_type : uint16_t {
  MSG_NOP = 0,
  _MSG_TASK_FIRST = 64,
  MSG_TASK_DEAD = 64,
  MSG_TASK_BLOCKED = 65,
  MSG_TASK_WAKEUP = 66,
  MSG_TASK_NEW = 67,
  MSG_TASK_PREEMPT = 68,
  MSG_TASK_YIELD = 69,
  MSG_TASK_DEPARTED = 70,
  MSG_TASK_SWITCHTO = 71,
  MSG_TASK_AFFINITY_CHANGED = 72,
  MSG_TASK_ON_CPU = 73,            // MSG_TASK_LATCHED until version 77
  MSG_TASK_PRIORITY_CHANGED = 74,  // from 75
  MSG_TASK_LATCH_FAILURE = 75,     // from 80
  _MSG_TASK_LAST = 127,
  _MSG_CPU_FIRST = 128,
  MSG_CPU_TICK = 128,
  MSG_CPU_TIMER_EXPIRED = 129,
  MSG_CPU_NOT_IDLE = 130,
  MSG_CPU_AVAILABLE = 131,      // from 71
  MSG_CPU_BUSY = 132,           // from 71
  MSG_CPU_AGENT_BLOCKED = 133,  // from 72
  MSG_CPU_AGENT_WAKEUP = 134,   // from 72
  _MSG_CPU_LAST = 191,
};

// The first 8 bytes of every task payload are the gtid; the first 4 of every cpu payload are the cpu.
struct ghost_msg_payload_task_new {
  uint64_t gtid;
  uint64_t parent_gtid;  // from 77
  uint64_t runtime;      // ns
  uint16_t runnable;
  int32_t nice;  // from 75
  ghost_sw_info sw_info;
  uint64_t agent_data;  // from 88
};
static_assert(sizeof(ghost_msg_payload_task_new) == 48);
static_assert(offsetof(ghost_msg_payload_task_new, runtime) == 16);
static_assert(offsetof(ghost_msg_payload_task_new, runnable) == 24);
static_assert(offsetof(ghost_msg_payload_task_new, nice) == 28);
static_assert(offsetof(ghost_msg_payload_task_new, sw_info) == 32);
static_assert(offsetof(ghost_msg_payload_task_new, agent_data) == 40);

struct ghost_msg_payload_task_preempt {
  uint64_t gtid;
  uint64_t runtime;
  uint64_t cpu_seqnum;
  uint64_t agent_data;
  int32_t cpu;
  uint8_t from_switchto;
  uint8_t was_latched;
};
static_assert(sizeof(ghost_msg_payload_task_preempt) == 40);
static_assert(offsetof(ghost_msg_payload_task_preempt, cpu) == 32);
static_assert(offsetof(ghost_msg_payload_task_preempt, was_latched) == 37);

struct ghost_msg_payload_task_yield {
  uint64_t gtid;
  uint64_t runtime;
  uint64_t cpu_seqnum;
  uint64_t agent_data;
  int32_t cpu;
  uint8_t from_switchto;
};
static_assert(sizeof(ghost_msg_payload_task_yield) == 40);
static_assert(offsetof(ghost_msg_payload_task_yield, from_switchto) == 36);

struct ghost_msg_payload_task_blocked {
  uint64_t gtid;
  uint64_t runtime;
  uint64_t cpu_seqnum;
  int32_t cpu;
  uint8_t from_switchto;
};
static_assert(sizeof(ghost_msg_payload_task_blocked) == 32);
static_assert(offsetof(ghost_msg_payload_task_blocked, from_switchto) == 28);

struct ghost_msg_payload_task_dead {
  uint64_t gtid;
  int32_t cpu;  // from 89
};
static_assert(sizeof(ghost_msg_payload_task_dead) == 16);
static_assert(offsetof(ghost_msg_payload_task_dead, cpu) == 8);

struct ghost_msg_payload_task_departed {
  uint64_t gtid;
  uint64_t cpu_seqnum;
  int32_t cpu;
  uint8_t from_switchto;
  uint8_t was_current;
};
static_assert(sizeof(ghost_msg_payload_task_departed) == 24);
static_assert(offsetof(ghost_msg_payload_task_departed, cpu) == 16);
static_assert(offsetof(ghost_msg_payload_task_departed, was_current) == 21);

struct ghost_msg_payload_task_affinity_changed {
  uint64_t gtid;
};
static_assert(sizeof(ghost_msg_payload_task_affinity_changed) == 8);

struct ghost_msg_payload_task_priority_changed {
  uint64_t gtid;
  int32_t nice;
};
static_assert(sizeof(ghost_msg_payload_task_priority_changed) == 16);
static_assert(offsetof(ghost_msg_payload_task_priority_changed, nice) == 8);

struct ghost_msg_payload_task_wakeup {
  uint64_t gtid;
  uint64_t agent_data;
  uint8_t deferrable;
  int32_t last_ran_cpu;
  int32_t wake_up_cpu;
  int32_t waker_cpu;
};
static_assert(sizeof(ghost_msg_payload_task_wakeup) == 32);
static_assert(offsetof(ghost_msg_payload_task_wakeup, deferrable) == 16);
static_assert(offsetof(ghost_msg_payload_task_wakeup, last_ran_cpu) == 20);
static_assert(offsetof(ghost_msg_payload_task_wakeup, waker_cpu) == 28);

struct ghost_msg_payload_task_switchto {
  uint64_t gtid;
  uint64_t runtime;
  uint64_t cpu_seqnum;
  int32_t cpu;
};
static_assert(sizeof(ghost_msg_payload_task_switchto) == 32);
static_assert(offsetof(ghost_msg_payload_task_switchto, cpu) == 24);

struct ghost_msg_payload_task_on_cpu {
  uint64_t gtid;
  uint64_t commit_time;  // ns, CLOCK_MONOTONIC
  uint64_t cpu_seqnum;
  int32_t cpu;
};
static_assert(sizeof(ghost_msg_payload_task_on_cpu) == 32);
static_assert(offsetof(ghost_msg_payload_task_on_cpu, cpu) == 24);

// Versions 69..77, under the same number as ON_CPU.
struct ghost_msg_payload_task_latched {
  uint64_t gtid;
  uint64_t commit_time;
  uint64_t cpu_seqnum;
  int32_t cpu;
  uint8_t latched_preempt;
};
static_assert(sizeof(ghost_msg_payload_task_latched) == 32);
static_assert(offsetof(ghost_msg_payload_task_latched, latched_preempt) == 28);

struct ghost_msg_payload_task_latch_failure {
  uint64_t gtid;
  int32_t error;  // an errno; not called that, for the macro of <errno.h>
};
static_assert(sizeof(ghost_msg_payload_task_latch_failure) == 16);
static_assert(offsetof(ghost_msg_payload_task_latch_failure, error) == 8);

struct ghost_msg_payload_cpu_not_idle {
  int32_t cpu;
  uint64_t next_gtid;
};
static_assert(sizeof(ghost_msg_payload_cpu_not_idle) == 16);
static_assert(offsetof(ghost_msg_payload_cpu_not_idle, next_gtid) == 8);

struct ghost_msg_payload_cpu_tick {
  int32_t cpu;
  int32_t is_agent;  // from 90
};
static_assert(sizeof(ghost_msg_payload_cpu_tick) == 8);
static_assert(offsetof(ghost_msg_payload_cpu_tick, is_agent) == 4);

struct ghost_msg_payload_timer {
  int32_t cpu;
  uint64_t type;
  uint64_t cookie;
};
static_assert(sizeof(ghost_msg_payload_timer) == 24);
static_assert(offsetof(ghost_msg_payload_timer, type) == 8 && offsetof(ghost_msg_payload_timer, cookie) == 16);

// CPU_AVAILABLE, CPU_BUSY, CPU_AGENT_BLOCKED and CPU_AGENT_WAKEUP.
struct ghost_msg_payload_cpu {
  int32_t cpu;
};
static_assert(sizeof(ghost_msg_payload_cpu) == 4);

#endif  // GHOST_KERNEL_GHOST_UAPI_MSG_H_
