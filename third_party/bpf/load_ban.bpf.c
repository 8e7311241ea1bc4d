// SPDX-License-Identifier: GPL-2.0
// Loaded by ghostd once somebody writes `disable my bpf_prog_load`: bpf(BPF_PROG_LOAD) of these processes fails with
// EPERM, as on a ghost kernel. Processes are named as ghostd's own PID namespace has them; those of others are left
// alone. A ban ends with its process, and is not its children's.
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#define EPERM 1

const volatile __u64 namespace_dev = 0;
const volatile __u64 namespace_ino = 0;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, __u8);
} banned SEC(".maps");

static __always_inline int who(struct bpf_pidns_info *current) {
  return bpf_get_ns_current_pid_tgid(namespace_dev, namespace_ino, current, sizeof(*current));
}

SEC("fmod_ret/security_bpf")
int on_bpf(__u64 *ctx) {
  struct bpf_pidns_info current = {};
  if ((__u32)ctx[0] != BPF_PROG_LOAD || who(&current)) return 0;
  __u32 tgid = current.tgid;
  return bpf_map_lookup_elem(&banned, &tgid) ? -EPERM : 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx) {
  struct bpf_pidns_info current = {};
  if (who(&current) || current.pid != current.tgid) return 0;
  __u32 tgid = current.tgid;
  bpf_map_delete_elem(&banned, &tgid);
  return 0;
}

char _license[] SEC("license") = "GPL";
