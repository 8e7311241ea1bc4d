// `disable my bpf_prog_load`: processes whose bpf(BPF_PROG_LOAD) fails from now on, by a BPF program of ghostd's own
// (third_party/bpf/load_ban.bpf.c), which is loaded when the first of them asks for it. One thread.
//
// What it is not: a sandbox. Where ghostd may load no such program (no BPF, no CONFIG_SECURITY) nothing is forbidden.
#ifndef GHOST_KERNEL_USERMODE_LINUX_LOAD_BAN_H_
#define GHOST_KERNEL_USERMODE_LINUX_LOAD_BAN_H_

#include <sys/types.h>

struct load_ban;  // the skeleton

namespace ghost::usermode {

class LoadBan {
 public:
  LoadBan() = default;
  ~LoadBan();  // all may load again
  LoadBan(const LoadBan&) = delete;
  LoadBan& operator=(const LoadBan&) = delete;

  // 0, or -errno: the process of this id is not kept from anything.
  int Add(pid_t tgid);

 private:
  int Load();
  ::load_ban* programs_ = nullptr;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_LOAD_BAN_H_
