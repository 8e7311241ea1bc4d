// One enclave's directory in ghostfs, as a KernelEnclave. Only lib/ghostfs.cc should need this header.
//
// Threads: as lib/kernel.h says.
#ifndef GHOST_LIB_GHOSTFS_ENCLAVE_H_
#define GHOST_LIB_GHOSTFS_ENCLAVE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/kernel.h"

namespace ghost {

class GhostfsEnclave : public KernelEnclave {
 public:
  // `directory` is an enclave's; `user_mode` says whether ghostd serves it (kernel/usermode/core/dialect.h).
  static absl::StatusOr<std::unique_ptr<GhostfsEnclave>> Open(const std::string& directory, bool user_mode);

  uint64_t id() const override { return id_; }
  const std::string& directory() const override { return directory_; }
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
  void WithdrawOnline() override { agent_online_.reset(); }
  absl::Status WaitAgentOnline(bool online, absl::Duration timeout) override;
  absl::StatusOr<CpuSet> TaskAffinity(int64_t gtid) override;
  absl::StatusOr<int64_t> TaskGtid(pid_t tid) override;

 private:
  GhostfsEnclave(std::string directory, bool user_mode) : directory_(std::move(directory)), user_mode_(user_mode) {}
  std::string Path(absl::string_view name) const;
  absl::StatusOr<Region> MapFile(const std::string& path, bool writable);

  const std::string directory_;
  const bool user_mode_;
  uint64_t id_ = 0;
  const AbiVersion* abi_ = nullptr;
  ScopedFd ctl_;
  ScopedFd agent_online_;
};

}  // namespace ghost

#endif  // GHOST_LIB_GHOSTFS_ENCLAVE_H_
