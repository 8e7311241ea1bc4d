#include "lib/enclave.h"

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/logging.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr uint32_t kFirstRegion = 0;
constexpr int kNumaNode = 0;

// How often a task may change while it is taken over before it is left to its messages.
constexpr int kDiscoverRetries = 8;

}  // namespace

absl::StatusOr<std::unique_ptr<Enclave>> Enclave::Create(Kernel* kernel, const CpuSet& cpus) {
  if (cpus.empty()) return absl::InvalidArgumentError("an enclave needs at least one CPU");
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> handle, kernel->CreateEnclave(cpus));
  auto enclave = std::unique_ptr<Enclave>(new Enclave(std::move(handle), /*created_here=*/true));
  GHOST_RETURN_IF_ERROR(enclave->Init());
  return enclave;
}

absl::StatusOr<std::unique_ptr<Enclave>> Enclave::Attach(Kernel* kernel, absl::string_view directory) {
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> handle, kernel->AttachEnclave(directory));
  auto enclave = std::unique_ptr<Enclave>(new Enclave(std::move(handle), /*created_here=*/false));
  GHOST_RETURN_IF_ERROR(enclave->Init());
  return enclave;
}

Enclave::Enclave(std::unique_ptr<KernelEnclave> kernel, bool created_here)
    : kernel_(std::move(kernel)), created_here_(created_here), status_words_(kernel_.get()) {}

Enclave::~Enclave() {
  WithdrawOnline();
  // Nobody is left to tell of a failure; an enclave that is gone already is what was wanted.
  if (created_here_ && !destroyed_) Destroy().IgnoreError();
}

absl::Status Enclave::Init() {
  GHOST_ASSIGN_OR_RETURN(std::string list, kernel_->ReadFile("cpulist"));
  if (ParseCpuList(list, &cpus_) != CpuParseError::kOk) {
    return absl::FailedPreconditionError(absl::StrCat(directory(), "/cpulist reads ", list));
  }
  if (cpus_.empty()) {
    return WithHint(absl::FailedPreconditionError(absl::StrCat(directory(), " has no CPUs")),
                    absl::StrCat("give it some: echo 0-1 > ", directory(), "/cpulist"));
  }
  GHOST_ASSIGN_OR_RETURN(cpu_data_, kernel_->MapCpuData());
  const int num_slots = static_cast<int>(cpu_data_.size / sizeof(ghost_cpu_data));
  if (cpus_.Last() >= num_slots) {
    return absl::FailedPreconditionError(absl::StrCat(directory(), "/cpu_data has only ", num_slots, " CPUs"));
  }
  auto* cpu_data = reinterpret_cast<ghost_cpu_data*>(cpu_data_.data);
  run_requests_.resize(cpus_.Last() + 1);
  for (int cpu : cpus_) run_requests_[cpu] = RunRequest(cpu, &cpu_data[cpu].txn, kernel_.get());
  return status_words_.AddRegion(kFirstRegion, kNumaNode);
}

absl::StatusOr<Channel> Enclave::CreateChannel(int elems, int numa_node, const CpuSet& wakeup) {
  return Channel::Create(kernel_.get(), elems, numa_node, wakeup);
}

absl::Status Enclave::WaitForOldAgent(absl::Duration timeout) {
  absl::Status status = kernel_->WaitAgentOnline(false, timeout);
  if (!absl::IsDeadlineExceeded(status)) return status;
  return WithExitCode(WithHint(absl::UnavailableError(absl::StrCat(directory(), " is still served by another agent")),
                               "end that agent (Ctrl-C, or kill it), then start this one again"),
                      ExitCode::kBusy);
}

absl::Status Enclave::AdvertiseOnline() {
  GHOST_RETURN_IF_ERROR(kernel_->AdvertiseOnline());
  online_ = true;
  return absl::OkStatus();
}

void Enclave::WithdrawOnline() {
  if (online_) kernel_->WithdrawOnline();
  online_ = false;
}

bool Enclave::DiscoverOne(const StatusWord& word, Channel* channel,
                          const std::function<void(const DiscoveredTask&)>& visit) {
  // Of somebody who is gone. His gtid must not be asked for: he may be back, with another word, whose barrier may be
  // the same by chance; until this word is freed, nothing is told of him.
  if (word.can_free()) {
    status_words_.Free(word);
    return false;
  }
  DiscoveredTask task;
  // The barrier first: whatever the rest says is at least as new, and Associate refuses it if more has happened.
  task.barrier = word.barrier();
  const uint32_t flags = word.flags();
  task.gtid = word.gtid();
  task.runtime_ns = word.runtime_ns();
  task.status_word = word;
  task.runnable = (flags & GHOST_SW_TASK_RUNNABLE) != 0;
  task.on_cpu = (flags & GHOST_SW_TASK_ONCPU) != 0;
  const int result = channel->Associate(task.gtid, task.barrier);
  if (result == -ENOENT || (result == -ESTALE && word.can_free())) {
    if (word.can_free()) status_words_.Free(word);
    return false;
  }
  if (result == -ESTALE) return true;
  // A task whose messages came here already, or whose TASK_NEW is still to come, tells of itself.
  if (result == 0) visit(task);
  return false;
}

absl::Status Enclave::Discover(Channel* channel, const std::function<void(const DiscoveredTask&)>& visit) {
  status_words_.ForEachTask([&](const StatusWord& word) {
    for (int i = 0; i < kDiscoverRetries && DiscoverOne(word, channel, visit); ++i) {
    }
  });
  return absl::OkStatus();
}

absl::Status Enclave::SetTunable(absl::string_view name, bool on) { return kernel_->WriteFile(name, on ? "1" : "0"); }

absl::Status Enclave::SetRunnableTimeout(absl::Duration timeout) {
  return kernel_->WriteFile("runnable_timeout", absl::StrCat(absl::ToInt64Milliseconds(timeout)));
}

absl::Status Enclave::DisableMyBpfProgLoad() { return kernel_->WriteFile("ctl", "disable my bpf_prog_load"); }

absl::Status Enclave::Destroy() {
  destroyed_ = true;
  return kernel_->WriteFile("ctl", "destroy");
}

int CommitGroup::CommitSync() {
  if (empty()) return 1;
  const int result = Ioctl(GHOST_IOC_SYNC_GROUP_TXN);
  if (result == 1) return 1;  // the kernel has given the transactions back
  ForEach([](RunRequest& request) {
    // The first one that failed poisons the rest; one that was never claimed is still open.
    request.Abort();
    request.Finish();
    request.ReleaseOwnership();
  });
  return result;
}

}  // namespace ghost
