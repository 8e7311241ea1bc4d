/* Shared between the gate's BPF programs (gate.bpf.c) and ghostd (kernel/usermode/linux/gate.h): one slot per traced
 * thread in a mapped array, and the events of the ring buffer. Plain C with the kernel's types. */
#ifndef GHOST_THIRD_PARTY_BPF_GATE_H_
#define GHOST_THIRD_PARTY_BPF_GATE_H_

#include <linux/types.h>

/* A slot's state. Both sides change it, with compare-and-swap only. */
enum gate_state {
  GATE_FREE = 0,
  GATE_HELD = 1,          /* in a ptrace stop, by ghostd's will */
  GATE_RUN = 2,           /* may run user code */
  GATE_PREEMPTING = 3,    /* ghostd asked it to stop (PTRACE_INTERRUPT) */
  GATE_BLOCKED = 4,       /* asleep in a system call; to be gated at its end */
  GATE_GATING = 5,        /* the gate signal is sent: a stop follows before any user instruction */
  GATE_YIELDING = 6,      /* the same, at the end of sched_yield */
  GATE_ENTERING = 7,      /* being attached: PTRACE_INTERRUPT is under way */
  GATE_ENTERING_SELF = 8, /* it writes itself into `tasks`: to be gated at the end of that write */
  GATE_LEAVING = 9,       /* no longer gated; a stop is wanted only to detach */
  GATE_AGENT = 10,        /* an agent: only its end is of interest */
  GATE_EXITED = 11,
};

struct gate_slot {
  __u32 state;
  __u32 tid;
  __u32 signal_sent;    /* a gate signal is pending and not yet swallowed by ghostd */
  __u32 lost_cont;      /* a SIGSTOP that was sent as the gate signal has taken a pending SIGCONT away */
  __u64 runtime_ns;     /* on a CPU, since the slot was taken */
  __u64 switched_in_ns; /* since when it is on a CPU, 0 if it is not */
  __u64 reserved[4];
};

enum gate_event_type {
  GATE_EVENT_BLOCKED = 1,  /* arg: number of the system call it sleeps in */
  GATE_EVENT_STOPPED = 2,  /* it is in a ptrace stop: waitpid(tid) has news */
  GATE_EVENT_EXIT = 3,     /* it will run no more user code */
  GATE_EVENT_DEAD = 4,     /* it is a zombie now: waitpid(tid) reaps it; arg: its tgid */
  GATE_EVENT_EXEC = 5,     /* tid: its tid from now on; arg: the one before */
  GATE_EVENT_CALL = 6,     /* someone has called sched_setaffinity & co. on it; arg: the system call's number */
  GATE_EVENT_UNTRACED = 7, /* it has made a thread that is not traced (CLONE_UNTRACED); arg: that one's tid */
};

struct gate_event {
  __u32 type;
  __u32 slot;
  __u32 tid;
  __u32 cpu;
  __u64 arg;
  __u64 arg2; /* GATE_EVENT_CALL: the call's second argument */
};

#define GATE_MAX_SLOTS 65536

#endif /* GHOST_THIRD_PARTY_BPF_GATE_H_ */
