// Runs agents' BPF programs for the core: SYSCALL programs, by BPF_PROG_TEST_RUN, about 0.7 us each.
//
// An agent loads its programs and maps itself, and names their descriptors in GHOSTD_IOC_BPF_ATTACH; ghostd takes
// copies. All of it is untrusted: a program of another type, maps of another shape, a run that fails or asks for what
// can't be done have no effect but a count (and a line in the log, once).
//
// Who may attach: root, and ghostd's own user. A SYSCALL program may make BPF system calls as whoever runs it, so this
// is not for others; and to load one takes CAP_BPF, as on a ghost kernel. One thread.
#ifndef GHOST_KERNEL_USERMODE_LINUX_BPF_HOST_H_
#define GHOST_KERNEL_USERMODE_LINUX_BPF_HOST_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/linux/load_ban.h"

namespace ghost::usermode {

class BpfHost final : public BpfLoader {
 public:
  using Log = std::function<void(const std::string& line)>;
  BpfHost(int num_cpus, Log log);
  ~BpfHost() override;

  int Take(const ghostd_ioc_bpf_attach& attach, Caller& caller, std::unique_ptr<BpfProgram>* program) override;
  void ForbidLoading(Caller& caller) override;

 private:
  class Session;
  class Program;
  std::shared_ptr<Session> FindSession(uint32_t tasks, uint32_t cpus, uint32_t effects);

  const int num_cpus_;
  const Log log_;
  std::vector<std::weak_ptr<Session>> sessions_;
  LoadBan ban_;
  bool said_no_ban_ = false;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_BPF_HOST_H_
