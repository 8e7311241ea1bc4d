// ioctl_test: what a call into the ghost kernel costs at least, beside Linux's smallest system call.
//
// The null ioctl goes to a ghost kernel as a system call, to ghostd as a FUSE request: two context switches, and
// ghostd's turn between them. A google-benchmark program, with its --benchmark_… options.
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "benchmark/benchmark.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghostfs.h"
#include "lib/kernel.h"

namespace ghost {
namespace {

constexpr char kName[] = "ioctl_test";

void GhostNullIoctl(benchmark::State& state, KernelEnclave* enclave) {
  for (auto _ : state) {
    if (const int result = enclave->Ioctl(GHOST_IOC_NULL, nullptr); result != 0) {
      return state.SkipWithError(ErrnoStatus(-result, "ioctl").ToString().c_str());
    }
  }
}

void GetPid(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(syscall(SYS_getpid));
}

// An enclave to ask: the one of --enclave, or one of its own without CPUs, which goes with the object.
class AnyEnclave {
 public:
  absl::Status Open() {
    GHOST_ASSIGN_OR_RETURN(kernel_, OpenGhostfs(absl::GetFlag(FLAGS_ghostfs)));
    const std::string name = absl::GetFlag(FLAGS_enclave);
    own_ = name.empty();
    GHOST_ASSIGN_OR_RETURN(enclave_, own_ ? kernel_->CreateEnclave(CpuSet()) : kernel_->AttachEnclave(name));
    return absl::OkStatus();
  }
  ~AnyEnclave() {
    if (enclave_ != nullptr && own_) enclave_->WriteFile("ctl", "destroy").IgnoreError();
  }
  KernelEnclave* get() const { return enclave_.get(); }

 private:
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<KernelEnclave> enclave_;
  bool own_ = false;
};

bool AsksForHelp(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view word = argv[i];
    if (word == "--help" || word == "-help" || word == "-h") return true;
  }
  return false;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  // It takes its own options out of the line; its --help would hide ours.
  if (!ghost::AsksForHelp(argc, argv)) benchmark::Initialize(&argc, argv);
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "what a call into the ghost kernel costs at least, beside Linux's smallest system call",
       .examples = {"ioctl_test", "ioctl_test --benchmark_format=json --benchmark_repetitions=5",
                    "ioctl_test --ghostfs /run/ghost --enclave enclave_1"},
       .notes = "Options of google-benchmark are taken: --benchmark_filter, --benchmark_out, …\n"
                "Without a ghost kernel it measures getpid alone, and ends with exit code 3.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  ghost::AnyEnclave enclave;
  const absl::Status status = enclave.Open();
  if (status.ok()) benchmark::RegisterBenchmark("BM_ghost_null_ioctl", ghost::GhostNullIoctl, enclave.get());
  benchmark::RegisterBenchmark("BM_getpid", ghost::GetPid);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
