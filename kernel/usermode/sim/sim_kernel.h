// The framework's port to a kernel (lib/kernel.h), implemented over a simulated machine in this process.
//
// Each call costs its thread virtual time first (cost_model.h), then reaches the core; see agent_host.h. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SIM_KERNEL_H_
#define GHOST_KERNEL_USERMODE_SIM_SIM_KERNEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/sim/agent_host.h"
#include "lib/kernel.h"

namespace ghost::sim {

class SimEnclave final : public KernelEnclave {
 public:
  // `messages` tells how many messages the agent of a CPU has handled so far; what is new since the last call of that
  // agent is charged to it. Set by whoever runs the scheduler; null: messages cost nothing.
  struct Hooks {
    std::function<uint64_t(int cpu)> messages;
    // Whether one agent handles the messages of all CPUs.
    bool global = false;
    AgentObserver* observer = nullptr;
  };

  static absl::StatusOr<std::unique_ptr<SimEnclave>> Open(AgentHost* host, Hooks* hooks, const std::string& name);
  ~SimEnclave() override;

  uint64_t id() const override { return id_; }
  const std::string& directory() const override { return name_; }
  const AbiVersion& abi() const override { return *abi_; }
  absl::StatusOr<std::string> ReadFile(absl::string_view name) override;
  absl::Status WriteFile(absl::string_view name, absl::string_view text) override;
  absl::StatusOr<Region> MapCpuData() override;
  absl::Status CreateStatusWords(uint32_t region_id, int numa_node) override;
  absl::StatusOr<Region> MapStatusWords(uint32_t region_id) override;
  absl::StatusOr<KernelQueue> CreateQueue(int elems, int numa_node) override;
  absl::StatusOr<KernelTimer> CreateTimer() override;
  int Ioctl(unsigned long number, void* argument) override;
  int BecomeAgent(int cpu, int queue_fd) override;
  absl::Status AdvertiseOnline() override;
  void WithdrawOnline() override;
  absl::Status WaitAgentOnline(bool online, absl::Duration timeout) override;
  absl::StatusOr<CpuSet> TaskAffinity(int64_t gtid) override;
  absl::StatusOr<int64_t> TaskGtid(pid_t tid) override;
  // For the messages that the current agent has handled since the last time.
  int64_t MessageCost();
  // Attaches a program, as long as this enclave is open. Each of its runs takes CostModel::program_ns.
  absl::Status AttachProgram(usermode::BpfHook hook, std::unique_ptr<usermode::BpfProgram> program);
  Machine& machine() { return host_.machine(); }

 private:
  SimEnclave(AgentHost* host, Hooks* hooks, const std::string& name) : host_(*host), hooks_(*hooks), name_(name) {}
  std::string Path(absl::string_view name) const;
  absl::StatusOr<Region> MapFile(const std::string& path, int flags, int* fd);
  // What the call costs, and what its agent did before it.
  int64_t CostOf(unsigned long number, const void* argument);
  int64_t CommitCost(const ghost_ioc_commit_txn& commit);
  // How many transactions a call commits; 1 if it is no commit.
  int GroupSize(unsigned long number, const void* argument) const;
  // How many percent more something costs between these two CPUs.
  int64_t ExtraPercent(int cpu, int other) const;
  void ReportTransactions(const ghost_ioc_commit_txn& commit);

  AgentHost& host_;
  Hooks& hooks_;
  const std::string name_;
  uint64_t id_ = 0;
  const AbiVersion* abi_ = nullptr;
  int ctl_ = -1;
  int online_ = -1;
  ghost_cpu_data* cpu_data_ = nullptr;
  int num_cpu_data_ = 0;
  std::vector<uint64_t> charged_;  // messages, by cpu
  int64_t charged_remote_ = 0;     // of a global agent: Threads::reports() of other nodes that are charged
};

class SimKernel final : public Kernel {
 public:
  // `abi`: what CreateEnclave takes, one of the machine's.
  SimKernel(AgentHost* host, SimEnclave::Hooks* hooks, uint32_t abi);

  const std::string& root() const override { return root_; }
  bool user_mode() const override { return true; }
  const std::vector<uint32_t>& versions() const override { return versions_; }
  const AbiVersion& abi() const override { return *FindAbi(versions_[0]); }
  absl::StatusOr<int> PossibleCpus() override { return host_.machine().num_cpus(); }
  absl::StatusOr<std::vector<EnclaveInfo>> ListEnclaves() override;
  absl::StatusOr<std::unique_ptr<KernelEnclave>> CreateEnclave(const CpuSet& cpus) override;
  absl::StatusOr<std::unique_ptr<KernelEnclave>> AttachEnclave(absl::string_view directory) override;
  // For the messages that the current agent has handled without a call after them.
  int64_t MessageCost() { return enclave_ == nullptr ? 0 : enclave_->MessageCost(); }

 private:
  AgentHost& host_;
  SimEnclave::Hooks& hooks_;
  const std::string root_ = "simulation";
  const std::vector<uint32_t> versions_;
  SimEnclave* enclave_ = nullptr;  // the one it was asked for last; its holder's
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SIM_KERNEL_H_
