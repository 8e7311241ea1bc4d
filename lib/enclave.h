// Enclave: one enclave as an agent process holds it, with all the handles and mappings that scheduling in it needs.
//
//     GHOST_ASSIGN_OR_RETURN(auto enclave, Enclave::Create(kernel.get(), cpus));          // or Attach(kernel,
//     directory) PerCpuRuntime<FifoPolicy> runtime(enclave.get()); GHOST_RETURN_IF_ERROR(runtime.Start());
//
// It owns the kernel's handle, cpu_data, the status words and the RunRequest of each CPU. It knows no tasks and starts
// no threads: that is the runtime's part (lib/per_cpu_runtime.h). Several may live in one process; there are no
// globals. An enclave that Create made is destroyed with the object (its tasks go back to CFS); an attached one is left
// alone.
//
// Threads: set-up and tear-down from one thread. run_request(cpu) belongs to whoever schedules that CPU; status_words()
// may be read by all.
#ifndef GHOST_LIB_ENCLAVE_H_
#define GHOST_LIB_ENCLAVE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/channel.h"
#include "lib/kernel.h"
#include "lib/run_request.h"
#include "lib/status_word.h"

namespace ghost {

class Enclave {
 public:
  static absl::StatusOr<std::unique_ptr<Enclave>> Create(Kernel* kernel, const CpuSet& cpus);
  static absl::StatusOr<std::unique_ptr<Enclave>> Attach(Kernel* kernel, absl::string_view directory);
  ~Enclave();
  Enclave(const Enclave&) = delete;
  Enclave& operator=(const Enclave&) = delete;

  KernelEnclave& kernel() { return *kernel_; }
  const AbiVersion& abi() const { return kernel_->abi(); }
  uint64_t id() const { return kernel_->id(); }
  const std::string& directory() const { return kernel_->directory(); }
  const CpuSet& cpus() const { return cpus_; }
  bool created_here() const { return created_here_; }

  StatusWordTable& status_words() { return status_words_; }
  // The transaction of one of cpus().
  RunRequest& run_request(int cpu) { return run_requests_[cpu]; }

  // A queue on `numa_node`, whose messages wake the agents of `wakeup` (at most two CPUs).
  absl::StatusOr<Channel> CreateChannel(int elems, int numa_node, const CpuSet& wakeup);

  // -- Taking over --
  // Waits until no other agent process serves this enclave. DeadlineExceeded says how to end it.
  absl::Status WaitForOldAgent(absl::Duration timeout);
  // "An agent serves this enclave", from now until WithdrawOnline or the object's end.
  absl::Status AdvertiseOnline();
  void WithdrawOnline();
  bool online() const { return online_; }

  // A task that was in the enclave before its new agent, as its status word says.
  struct DiscoveredTask {
    int64_t gtid = 0;
    StatusWord status_word;
    uint32_t barrier = 0;
    uint64_t runtime_ns = 0;
    bool runnable = false;
    bool on_cpu = false;
  };
  // Associates each task's messages with `channel` and tells of it, unless messages will tell of it anyway. Words of
  // tasks that are gone are freed. Only before agents schedule. Errors of single tasks are no errors of Discover.
  absl::Status Discover(Channel* channel, const std::function<void(const DiscoveredTask&)>& visit);

  // -- Control files --
  absl::Status SetTunable(absl::string_view name, bool on);  // "deliver_ticks", "commit_at_tick", …
  absl::Status SetRunnableTimeout(absl::Duration timeout);
  absl::Status DisableMyBpfProgLoad();
  absl::Status Destroy();  // tasks go back to CFS; agents are killed
  // The object's end leaves the enclave alone even if Create made it: another agent goes on with it.
  void Keep() { destroyed_ = true; }

 private:
  Enclave(std::unique_ptr<KernelEnclave> kernel, bool created_here);
  absl::Status Init();
  // One step of Discover; true if the word has to be looked at again.
  bool DiscoverOne(const StatusWord& word, Channel* channel, const std::function<void(const DiscoveredTask&)>& visit);

  std::unique_ptr<KernelEnclave> kernel_;
  const bool created_here_;
  bool online_ = false;
  bool destroyed_ = false;
  CpuSet cpus_;
  Region cpu_data_;
  StatusWordTable status_words_;
  std::vector<RunRequest> run_requests_;  // by cpu
};

// Commits of several CPUs with one ioctl. The requests of the CPUs must be open.
//
//     CommitGroup group(enclave);
//     for (…) { enclave->run_request(cpu).Open(…); group.Add(cpu); }
//     group.Submit();
//     group.ForEach([&](RunRequest& request) { switch (request.Finish()) … });
//     group.Clear();
//
// Keep one and clear it: it costs as much as there are CPUs in it. Thread: as its RunRequests.
class CommitGroup {
 public:
  explicit CommitGroup(Enclave* enclave) : enclave_(enclave) {}

  void Add(int cpu) { cpus_.Add(cpu); }
  bool empty() const { return cpus_.empty(); }
  bool Contains(int cpu) const { return cpus_.Contains(cpu); }
  void Clear() { cpus_.Clear(); }
  // Calls visit(RunRequest&) for each CPU, in ascending order.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (int cpu : cpus_) visit(enclave_->run_request(cpu));
  }

  // 0 or -errno; each request's Finish() tells what came of it.
  int Submit() { return Ioctl(GHOST_IOC_COMMIT_TXN); }
  // All or none; each request must have been taken with TakeOwnership. 1 all run, 0 none does, -errno. Ownership is
  // given back in every case.
  int CommitSync();

 private:
  int Ioctl(unsigned long number) {
    ghost_ioc_commit_txn argument = {
        .mask_ptr = reinterpret_cast<uint64_t>(cpus_.words().data()), .mask_len = sizeof(cpus_.words()), .flags = 0};
    return enclave_->kernel().Ioctl(number, &argument);
  }

  Enclave* const enclave_;
  CpuSet cpus_;  // its words are a cpu_set_t
};

}  // namespace ghost

#endif  // GHOST_LIB_ENCLAVE_H_
