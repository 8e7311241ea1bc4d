// The BPF programs of a scheduling tool, from a skeleton: opened for the running kernel, loaded, attached; gone when
// the object is, or the process. For the tool's one thread.
//
//     Programs<schedrun> programs;
//     GHOST_RETURN_IF_ERROR(programs.Load(options));
//     ReadPerCpu(programs->maps.histograms, …)
#ifndef GHOST_BPF_TOOLS_PROGRAMS_H_
#define GHOST_BPF_TOOLS_PROGRAMS_H_

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/status.h"
#include "lib/bpf/libbpf_log.h"
#include "third_party/bpf/sched_tool.h"

namespace ghost::tools {

// What of the options, and of an object, depends on the kernel. Also raises the limit on locked memory, by which
// kernels before 5.11 count maps. Errors: no BTF.
absl::Status FitToKernel(tool_options* options, bpf_object* object);
// For errno of a failed load or attachment, and what libbpf said: with a hint, and the exit code.
absl::Status ProgramsError(int error, const char* what, const std::string& log);

inline constexpr uint32_t kInitialPidNamespace = 0xEFFFFFFC;

template <typename Skeleton>
class Programs {
 public:
  Programs() = default;
  ~Programs() { Skeleton::destroy(skeleton_); }
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  absl::Status Load(tool_options options) {
    skeleton_ = Skeleton::open(nullptr);
    if (skeleton_ == nullptr) return Error("cannot open the BPF programs");
    GHOST_RETURN_IF_ERROR(FitToKernel(&options, skeleton_->obj));
    skeleton_->rodata->options = options;
    if (options.pid_namespace == kInitialPidNamespace) skeleton_->data->pid_level = 0;
    if (Skeleton::load(skeleton_) != 0) return Error("cannot load the BPF programs");
    return absl::OkStatus();
  }
  absl::Status Attach() {
    if (Skeleton::attach(skeleton_) != 0) return Error("cannot attach the BPF programs");
    return absl::OkStatus();
  }

  Skeleton* operator->() const { return skeleton_; }

 private:
  absl::Status Error(const char* what) const { return ProgramsError(errno, what, log_.text()); }

  const LibbpfLog log_;
  Skeleton* skeleton_ = nullptr;
};

// The 64-bit words of entry `index` of a per-CPU array, CPU after CPU. Empty if it can't be read.
std::vector<uint64_t> ReadPerCpu(const bpf_map* map, uint32_t index);
// The same, of all entries, added up over the CPUs: entry after entry.
std::vector<uint64_t> ReadSums(const bpf_map* map);

}  // namespace ghost::tools

#endif  // GHOST_BPF_TOOLS_PROGRAMS_H_
