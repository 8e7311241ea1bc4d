#include "bpf/tools/programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"

namespace ghost::tools {
namespace {

constexpr char kLockdown[] = "/sys/kernel/security/lockdown";
constexpr char kLatchedSection[] = "tp_btf/sched_ghost_latched";

// The type of a tracepoint's function; null: this kernel does not have the tracepoint.
const btf_type* Tracepoint(const btf* kernel, const char* name) {
  const int id = btf__find_by_name_kind(kernel, absl::StrCat("btf_trace_", name).c_str(), BTF_KIND_TYPEDEF);
  if (id < 0) return nullptr;
  const btf_type* pointer = btf__type_by_id(kernel, btf__type_by_id(kernel, id)->type);
  if (pointer == nullptr || !btf_is_ptr(pointer)) return nullptr;
  const btf_type* function = btf__type_by_id(kernel, pointer->type);
  return function != nullptr && btf_is_func_proto(function) ? function : nullptr;
}

bool IsTask(const btf* kernel, const btf_type* type) {
  if (type == nullptr || !btf_is_ptr(type)) return false;
  const btf_type* pointed = btf__type_by_id(kernel, type->type);
  return pointed != nullptr && btf_is_struct(pointed) &&
         std::string_view(btf__name_by_offset(kernel, pointed->name_off)) == "task_struct";
}

// sched_ghost_latched(…, task, flags): the last task is the one that is latched. The function's first parameter is no
// argument of the tracepoint.
void FindLatchedArguments(const btf* kernel, const btf_type* function, tool_options* options) {
  const btf_param* parameters = btf_params(function);
  for (uint32_t index = 1; index < btf_vlen(function); ++index) {
    if (IsTask(kernel, btf__type_by_id(kernel, parameters[index].type))) {
      options->latched_task_argument = index - 1;
      options->latched_flags_argument = index < btf_vlen(function) - 1u ? index : 0;
    }
  }
}

// All ordinary tasks are sched_ext's if a scheduler is loaded that has not asked for some of them only.
bool FairIsExt() {
  absl::StatusOr<std::string> state = ReadFile("/sys/kernel/sched_ext/state");
  absl::StatusOr<std::string> all = ReadFile("/sys/kernel/sched_ext/switch_all");
  return state.ok() && all.ok() && absl::StartsWith(*state, "enabled") && absl::StartsWith(*all, "1");
}

bool IsConfidential() {
  absl::StatusOr<std::string> lockdown = ReadFile(kLockdown);
  return lockdown.ok() && absl::StrContains(*lockdown, "[confidentiality]");
}

// The last line of the verifier's log that is neither an instruction, a line of the source, nor a count. Empty: it has
// said nothing.
std::string VerifiersReason(const std::string& log) {
  std::string reason;
  if (!absl::StrContains(log, "PROG LOAD LOG")) return reason;
  for (absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    const bool other = absl::StartsWith(line, "libbpf") || absl::StartsWith(line, "processed ") ||
                       absl::StartsWith(line, "-- ") || line[0] == ';' || absl::ascii_isdigit(line[0]);
    if (!other) reason = std::string(line);
  }
  return reason;
}

}  // namespace

absl::Status ProgramsError(int error, const char* what, const std::string& log) {
  if (IsConfidential()) {
    return WithHint(WithExitCode(absl::PermissionDeniedError(absl::StrCat(what, ": the kernel is locked down")),
                                 ExitCode::kPermission),
                    absl::StrCat("programs may not read the kernel's memory while ", kLockdown,
                                 " says confidentiality: boot with lockdown=integrity or none"));
  }
  const std::string reason = VerifiersReason(log);
  const absl::Status status = ErrnoStatus(error, what);
  if (!reason.empty()) {
    return WithExitCode(WithHint(status, absl::StrCat("this kernel's verifier says: ", reason)), ExitCode::kFailed);
  }
  if (error == EPERM || error == EACCES) {
    return WithExitCode(WithHint(status, "run as root, or with CAP_BPF and CAP_PERFMON"), ExitCode::kPermission);
  }
  if (error == ENOMEM) return WithHint(status, "some 10 MiB of kernel memory must fit in this cgroup's memory limit");
  return WithHint(status, "these programs need Linux 5.10 or newer with CONFIG_BPF_SYSCALL; see: ghostctl doctor");
}

absl::Status FitToKernel(tool_options* options, bpf_object* object) {
  rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  const std::unique_ptr<btf, void (*)(btf*)> kernel(btf__load_vmlinux_btf(), btf__free);
  if (kernel == nullptr || Tracepoint(kernel.get(), "sched_switch") == nullptr) {
    return WithHint(absl::FailedPreconditionError("this kernel does not say how its data are laid out: it has no BTF"),
                    "use a kernel with CONFIG_DEBUG_INFO_BTF (Debian's has), with /sys mounted");
  }
  struct stat space;
  if (stat("/proc/self/ns/pid", &space) == 0) options->pid_namespace = static_cast<uint32_t>(space.st_ino);
  options->has_prev_state = btf_vlen(Tracepoint(kernel.get(), "sched_switch")) > 4;
  options->fair_is_ext = FairIsExt();
  const btf_type* latched = Tracepoint(kernel.get(), "sched_ghost_latched");
  if (latched != nullptr) FindLatchedArguments(kernel.get(), latched, options);
  bpf_program* program;
  bpf_object__for_each_program(program, object) {
    if (std::string_view(bpf_program__section_name(program)) == kLatchedSection) {
      bpf_program__set_autoload(program, latched != nullptr);
    }
  }
  return absl::OkStatus();
}

std::vector<uint64_t> ReadPerCpu(const bpf_map* map, uint32_t index) {
  std::vector<uint64_t> words(bpf_map__value_size(map) / sizeof(uint64_t) * libbpf_num_possible_cpus());
  if (bpf_map_lookup_elem(bpf_map__fd(map), &index, words.data()) != 0) words.clear();
  return words;
}

std::vector<uint64_t> ReadSums(const bpf_map* map) {
  const size_t words_per_entry = bpf_map__value_size(map) / sizeof(uint64_t);
  std::vector<uint64_t> sums(words_per_entry * bpf_map__max_entries(map));
  for (uint32_t entry = 0; entry < bpf_map__max_entries(map); ++entry) {
    const std::vector<uint64_t> words = ReadPerCpu(map, entry);
    for (size_t index = 0; index < words.size(); ++index) {
      sums[entry * words_per_entry + index % words_per_entry] += words[index];
    }
  }
  return sums;
}

}  // namespace ghost::tools
