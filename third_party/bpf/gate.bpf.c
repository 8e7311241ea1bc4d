// SPDX-License-Identifier: GPL-2.0
// The detector and the trigger of ghostd's gate. It watches the threads that ghostd traces and
//   * tells ghostd when one blocks, stops, exits, execs, or has its scheduling changed (ring buffer `events`);
//   * sends a gate signal to a thread that blocked and now leaves its system call (or called sched_yield), so that it
//     enters a ptrace stop before its next user instruction. ghostd swallows the signal.
// It never holds a thread itself (BPF can't): the ptrace stop does.
#include "third_party/bpf/vmlinux_min.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "third_party/bpf/gate.h"

/* What a system call's result is until there is one. */
#define ENOSYS 38

#define SIG_URG 23
#define SIG_STOP 19
#define SIG_CONT 18

/* signal_struct.flags */
#define SIGNAL_GROUP_EXIT 0x4

/* Task states of the kernel that are the same in all versions of interest. */
#define STATE_STOPPED_OR_TRACED (0x4 | 0x8)
#define STATE_DEAD (0x10 | 0x20 | 0x80)

/* x86-64 system calls. */
#define NR_SCHED_YIELD 24
#define NR_SETPRIORITY 141
#define NR_SCHED_SETPARAM 142
#define NR_SCHED_SETSCHEDULER 144
#define NR_SCHED_SETAFFINITY 203
#define NR_SCHED_SETATTR 314

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, GATE_MAX_SLOTS * 2);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, __u32);
} tids SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, GATE_MAX_SLOTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct gate_slot);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 22);
} events SEC(".maps");

/* Events that did not fit: ghostd then looks at every thread itself. */
__u64 dropped;

/* sched_switch passes prev_state since 5.18; before, it has to be read from the task. */
const volatile bool has_prev_state_argument = 1;

/* ghostd itself pins threads: its own calls are no news. */
const volatile __u32 ghostd_tid = 0;

/* How deep ghostd's pid namespace is below the initial one (a container's is 1): tids here are those that it sees. */
__u32 pid_level;

static __u32 tid_of(struct task_struct *task) {
  if (!pid_level) return task->pid;
  /* Copied, not loaded: Linux before 6.2 allows no arithmetic with a variable on a pointer that it knows. */
  struct pid *pid = BPF_CORE_READ(task, thread_pid);
  if (!pid || BPF_CORE_READ(pid, level) < pid_level) return 0;
  __u32 tid = 0;
  char *number = (char *)pid + bpf_core_field_offset(struct pid, numbers) +
                 pid_level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr);
  bpf_probe_read_kernel(&tid, sizeof(tid), number);
  return tid;
}

/* Run once, by ghostd. */
SEC("syscall")
int learn_pid_level(void *ctx) {
  struct task_struct *task = bpf_get_current_task_btf();
  pid_level = BPF_CORE_READ(task, thread_pid, level);
  return 0;
}

static struct gate_slot *slot_of(__u32 tid, __u32 *index) {
  __u32 *found = bpf_map_lookup_elem(&tids, &tid);
  if (!found) return 0;
  *index = *found;
  return bpf_map_lookup_elem(&slots, index);
}

static void emit(__u32 type, __u32 slot, __u32 tid, __u64 arg, __u64 arg2) {
  struct gate_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    __sync_fetch_and_add(&dropped, 1);
    return;
  }
  event->type = type;
  event->slot = slot;
  event->tid = tid;
  event->cpu = bpf_get_smp_processor_id();
  event->arg = arg;
  event->arg2 = arg2;
  bpf_ringbuf_submit(event, 0);
}

static void switched_out(struct task_struct *prev, __u32 prev_state, __u64 now) {
  __u32 index = 0;
  __u32 tid = tid_of(prev);
  struct gate_slot *slot = slot_of(tid, &index);
  if (!slot) return;
  if (slot->switched_in_ns) slot->runtime_ns += now - slot->switched_in_ns;
  slot->switched_in_ns = 0;
  if (!prev_state) return;
  if (prev_state & STATE_STOPPED_OR_TRACED) {
    emit(GATE_EVENT_STOPPED, index, tid, 0, 0);
    return;
  }
  if (prev_state & STATE_DEAD) {
    /* While another thread of its process takes over its tid in exec, a dying leader goes by that one's old tid. */
    if (slot->state != GATE_EXITED) return;
    bpf_map_delete_elem(&tids, &tid);
    emit(GATE_EVENT_DEAD, index, tid, tid_of(prev->group_leader), 0);
    return;
  }
  /* Asleep inside a system call? Only that ends in sys_exit, where it can be gated. A page fault that waits (call -1),
   * or the way back to user mode past sys_exit (the result is there already: rseq's write may fault, too) can't be:
   * then its CPU stays taken, as if it ran. */
  struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(prev);
  long call = regs->orig_ax;
  if (call < 0 || (long)regs->ax != -ENOSYS) return;
  if (__sync_val_compare_and_swap(&slot->state, GATE_RUN, GATE_BLOCKED) == GATE_RUN ||
      __sync_val_compare_and_swap(&slot->state, GATE_PREEMPTING, GATE_BLOCKED) == GATE_PREEMPTING) {
    emit(GATE_EVENT_BLOCKED, index, tid, call, 0);
  }
}

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx) {
  bool preempt = ctx[0] != 0;
  struct task_struct *prev = (struct task_struct *)ctx[1];
  struct task_struct *next = (struct task_struct *)ctx[2];
  __u64 now = bpf_ktime_get_ns();
  __u32 prev_state = has_prev_state_argument ? (__u32)ctx[3] : prev->__state;
  if (preempt) prev_state = 0;
  switched_out(prev, prev_state, now);
  __u32 index = 0;
  struct gate_slot *slot = slot_of(tid_of(next), &index);
  if (slot) slot->switched_in_ns = now;
  return 0;
}

/* Gate signals that could not be sent: must stay 0. ghostd says so if it does not. */
__u64 missed;

static bool signal_pending(int signal) {
  struct task_struct *task = bpf_get_current_task_btf();
  return task->pending.signal.sig[0] & (1UL << (signal - 1));
}

/* Of a process that is dying: it takes no signals any more, and no thread of it returns to user mode. */
static bool is_dying(struct task_struct *task) { return BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT; }

static int stop_when_pending(__u32 iteration, void *signal) { return signal_pending(*(int *)signal); }

/* Sends the gate signal to the current thread: SIGURG, because a traced thread that is left behind by a dead tracer
 * ignores it; SIGSTOP where SIGURG is masked, because that can't be. (A SIGSTOP takes a SIGCONT away that is pending:
 * ghostd sends that again.)
 *
 * Newer kernels (seen on 6.18) send it from an interrupt that they raise, since a tracepoint's program is not
 * preemptible; the thread could be in user mode before it arrives. Interrupts are on here, so waiting for it is enough.
 * Returns false if the signal could not be sent. */
static bool send_gate_signal(struct gate_slot *slot) {
  struct task_struct *task = bpf_get_current_task_btf();
  if (is_dying(task)) return 0;
  int signal = task->blocked.sig[0] & (1UL << (SIG_URG - 1)) ? SIG_STOP : SIG_URG;
  if (signal == SIG_STOP) {
    unsigned long pending = task->pending.signal.sig[0] | BPF_CORE_READ(task, signal, shared_pending.signal.sig[0]);
    if (pending & (1UL << (SIG_CONT - 1))) slot->lost_cont = 1;
  }
  slot->signal_sent = 1;
  /* Unrolled: Linux 6.1's verifier takes a loop around bpf_loop for an endless one. */
#pragma unroll
  for (int attempt = 0; attempt < 8; ++attempt) {
    long error = bpf_send_signal_thread(signal);
    if (!signal_pending(signal)) bpf_loop(1 << 16, stop_when_pending, &signal, 0);
    if (!error && signal_pending(signal)) return 1;
  }
  if (!is_dying(task)) __sync_fetch_and_add(&missed, 1);
  return 0;
}

/* Moves the slot from `from` to `to` and makes the thread stop before its next user instruction. If that fails, the end
 * of its next system call tries again. */
static void stop_here(struct gate_slot *slot, __u32 from, __u32 to) {
  if (__sync_val_compare_and_swap(&slot->state, from, to) != from) return;
  if (!send_gate_signal(slot)) slot->state = from;
}

/* Scheduling calls, whoever makes them, that change a traced thread. */
static void scheduling_call(struct pt_regs *regs, long call, __u32 self) {
  __u32 target = call == NR_SETPRIORITY ? (__u32)regs->si : (__u32)regs->di;
  if (call == NR_SETPRIORITY && regs->di != 0) return; /* PRIO_PROCESS only */
  if (target == 0) target = self;
  __u32 index = 0;
  struct gate_slot *slot = slot_of(target, &index);
  if (slot) emit(GATE_EVENT_CALL, index, target, call, regs->si);
}

SEC("tp_btf/sys_exit")
int on_sys_exit(__u64 *ctx) {
  struct pt_regs *regs = (struct pt_regs *)ctx[0];
  long result = ctx[1];
  long call = regs->orig_ax;
  __u32 tid = tid_of(bpf_get_current_task_btf());
  if (tid == ghostd_tid) return 0;
  bool scheduling = call == NR_SETPRIORITY || call == NR_SCHED_SETPARAM || call == NR_SCHED_SETSCHEDULER ||
                    call == NR_SCHED_SETAFFINITY || call == NR_SCHED_SETATTR;
  /* sched_setaffinity returns 0 too, unlike sched_getaffinity. */
  if (scheduling && result == 0) scheduling_call(regs, call, tid);
  __u32 index = 0;
  struct gate_slot *slot = slot_of(tid, &index);
  if (!slot) return 0;
  __u32 state = slot->state;
  if (state == GATE_BLOCKED || state == GATE_ENTERING_SELF) {
    stop_here(slot, state, GATE_GATING);
  } else if (state == GATE_RUN && call == NR_SCHED_YIELD) {
    stop_here(slot, GATE_RUN, GATE_YIELDING);
  } else if (state == GATE_RUN && scheduling && result == 0) {
    /* A scheduling call on itself must be seen before the thread goes on. */
    stop_here(slot, GATE_RUN, GATE_GATING);
  }
  return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx) {
  struct task_struct *task = (struct task_struct *)ctx[0];
  __u32 index = 0;
  __u32 tid = tid_of(task);
  struct gate_slot *slot = slot_of(tid, &index);
  if (!slot) return 0;
  slot->state = GATE_EXITED;
  emit(GATE_EVENT_EXIT, index, tid, 0, 0);
  return 0;
}

/* A clone that ghostd is not told of by ptrace: CLONE_UNTRACED is anybody's to use. */
SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *ctx) {
  struct task_struct *parent = (struct task_struct *)ctx[0];
  struct task_struct *child = (struct task_struct *)ctx[1];
  if (child->ptrace) return 0;
  __u32 index = 0;
  __u32 tid = tid_of(parent);
  struct gate_slot *slot = slot_of(tid, &index);
  if (slot && slot->state != GATE_AGENT) emit(GATE_EVENT_UNTRACED, index, tid, tid_of(child), 0);
  return 0;
}

/* exec by a thread that is not the leader takes the leader's tid. (The tracepoint gives the old one as the initial pid
 * namespace has it, so this is not followed in a container.) */
SEC("tp_btf/sched_process_exec")
int on_exec(__u64 *ctx) {
  struct task_struct *task = (struct task_struct *)ctx[0];
  __u32 old_tid = (__u32)ctx[1];
  __u32 tid = task->pid;
  if (old_tid == tid || pid_level) return 0;
  __u32 *found = bpf_map_lookup_elem(&tids, &old_tid);
  if (!found) return 0;
  __u32 index = *found;
  bpf_map_update_elem(&tids, &tid, &index, BPF_ANY);
  bpf_map_delete_elem(&tids, &old_tid);
  emit(GATE_EVENT_EXEC, index, tid, old_tid, 0);
  return 0;
}

char _license[] SEC("license") = "GPL";
