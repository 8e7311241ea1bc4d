#include "lib/bpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/capability.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"
#include "lib/bpf/libbpf_log.h"
#include "lib/bpf/sections.h"

namespace ghost {
namespace {

bool IsUserMode(const std::string& enclave) {
  struct statfs status;
  return statfs(enclave.c_str(), &status) == 0 && status.f_type == kFuseMagic;
}

// CAP_SYS_ADMIN includes it.
bool HasPerfmon() { return HasCapability(CAP_PERFMON) || HasCapability(CAP_SYS_ADMIN); }

uint64_t MapMebibytes(const bpf_object* object) {
  uint64_t bytes = 0;
  const bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    bytes += uint64_t{bpf_map__max_entries(map)} * (bpf_map__key_size(map) + bpf_map__value_size(map));
  }
  return (bytes >> 20) + 1;
}

int LinkCreate(int program, int target, uint32_t attach_type) {
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof(attr));
  attr.link_create.prog_fd = static_cast<__u32>(program);
  attr.link_create.target_fd = static_cast<__u32>(target);
  attr.link_create.attach_type = attach_type;
  return static_cast<int>(syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BpfPrograms>> BpfPrograms::Load(absl::string_view name,
                                                               std::span<const BpfObjectFile> files,
                                                               const std::string& enclave, const AbiVersion& abi) {
  return LoadFor(IsUserMode(enclave), name, files, enclave, abi);
}

absl::StatusOr<std::unique_ptr<BpfPrograms>> BpfPrograms::LoadFor(bool user_mode, absl::string_view name,
                                                                  std::span<const BpfObjectFile> files,
                                                                  const std::string& enclave, const AbiVersion& abi) {
  const BpfObjectFile* file = ChooseBpfObject(files, abi.number, user_mode);
  if (file == nullptr) {
    return WithExitCode(
        absl::FailedPreconditionError(absl::StrCat(name, " has no BPF programs for ABI ", abi.number, " of ", enclave)),
        ExitCode::kNoKernel);
  }
  // Before 5.11 BPF memory counts against this limit.
  const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  std::unique_ptr<BpfPrograms> programs(new BpfPrograms(name, enclave, abi, user_mode));
  GHOST_RETURN_IF_ERROR(programs->Open(*file));
  return programs;
}

absl::Status BpfPrograms::Open(const BpfObjectFile& file) {
  LibbpfLog log;
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name_.c_str());
  object_ = bpf_object__open_mem(file.data, file.size, &options);
  if (object_ == nullptr) return LoadError(errno, log.text());
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object_) {
    const std::optional<BpfProgramKind> kind =
        KindOfBpfProgram(bpf_program__section_name(program), abi_.number, user_mode_);
    if (!kind.has_value()) continue;
    if (!kind->loaded) {
      bpf_program__set_autoload(program, false);
      continue;
    }
    bpf_program__set_type(program, static_cast<bpf_prog_type>(kind->type));
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(kind->expected_attach_type));
    bpf_program__set_flags(program, kind->flags);
    programs_.push_back({program, kind->attach_type});
  }
  if (bpf_object__load(object_) != 0) return LoadError(errno, log.text());
  return absl::OkStatus();
}

absl::Status BpfPrograms::LoadError(int error, const std::string& log) const {
  const absl::Status status = ErrnoStatus(error, absl::StrCat("cannot load the BPF programs of ", name_));
  // Without CAP_PERFMON the verifier refuses what it otherwise takes, for reasons that mislead.
  if (error == EPERM || (error != ENOMEM && error != ENOSYS && !HasPerfmon())) {
    return WithExitCode(WithHint(status,
                                 "run as root, or with CAP_BPF and CAP_PERFMON; a locked-down kernel (see "
                                 "/sys/kernel/security/lockdown) or `disable my bpf_prog_load` forbids it to all"),
                        ExitCode::kPermission);
  }
  if (error == ENOSYS) return WithHint(status, "this kernel has no BPF: CONFIG_BPF_SYSCALL is needed");
  if (error == ENOMEM) {
    return WithHint(status, absl::StrCat("its maps take ", MapMebibytes(object_),
                                         " MiB: free some memory, or raise the memory cgroup's limit"));
  }
  if (!log.empty()) fputs(log.c_str(), stderr);
  return WithHint(
      status, user_mode_ ? "the verifier's reason stands above; Linux 5.17 or newer with CONFIG_BPF_SYSCALL is needed"
                         : absl::StrCat("the verifier's reason stands above; the kernel offers ABI ", abi_.number));
}

BpfPrograms::~BpfPrograms() {
  Detach();
  if (object_ != nullptr) bpf_object__close(object_);
}

int BpfPrograms::MapFd(const char* name) const {
  const bpf_map* map = bpf_object__find_map_by_name(object_, name);
  return map == nullptr ? -1 : bpf_map__fd(map);
}

int BpfPrograms::ProgramFd(const char* name) const {
  const bpf_program* program = bpf_object__find_program_by_name(object_, name);
  return program == nullptr ? -1 : bpf_program__fd(program);
}

ghostd_ioc_bpf_attach BpfPrograms::AttachRequest(int program_fd, uint32_t attach_type) const {
  return {.prog_fd = program_fd,
          .tasks_fd = MapFd("ghost_tasks"),
          .cpus_fd = MapFd("ghost_cpus"),
          .effects_fd = MapFd("ghost_effects"),
          .attach_type = attach_type,
          .flags = 0};
}

void* BpfPrograms::MapGlobals(size_t size) {
  if (globals_.data() != nullptr) return globals_.size() >= size ? globals_.data() : nullptr;
  const bpf_map* map = bpf_object__find_map_by_name(object_, ".bss");
  if (map == nullptr || bpf_map__value_size(map) < size) return nullptr;
  absl::StatusOr<Mapping> mapping = Mapping::Map(bpf_map__fd(map), bpf_map__value_size(map), /*writable=*/true);
  if (!mapping.ok()) return nullptr;
  globals_ = *std::move(mapping);
  return globals_.data();
}

int BpfPrograms::Link(const Program& program, ScopedFd* link) const {
  // A file of its own for each: closing it is what detaches a user-mode kernel's program.
  absl::StatusOr<ScopedFd> ctl = OpenFile(absl::StrCat(enclave_, "/ctl"), O_RDWR);
  if (!ctl.ok()) return -ErrnoOf(ctl.status());
  if (!user_mode_) {
    const int fd = LinkCreate(bpf_program__fd(program.program), ctl->get(), program.attach_type);
    if (fd < 0) return -errno;
    link->reset(fd);
    return 0;
  }
  ghostd_ioc_bpf_attach attach = AttachRequest(bpf_program__fd(program.program), program.attach_type);
  if (ioctl(ctl->get(), GHOSTD_IOC_BPF_ATTACH, &attach) != 0) return -errno;
  *link = *std::move(ctl);
  return 0;
}

absl::Status BpfPrograms::Attach(absl::Duration timeout) {
  for (const Program& program : programs_) {
    ScopedFd link;
    int result = 0;
    PollUntil(timeout, [&] {
      result = Link(program, &link);
      return result != -EBUSY;
    });
    if (result == 0) {
      links_.push_back(std::move(link));
      continue;
    }
    Detach();
    const absl::Status status =
        ErrnoStatus(-result, absl::StrCat("cannot attach ", bpf_program__name(program.program), " to ", enclave_));
    switch (result) {
      case -EBUSY:
        return WithExitCode(WithHint(status, "another agent's BPF programs are attached to it: end that agent first"),
                            ExitCode::kBusy);
      case -EOPNOTSUPP:
      case -ENOTTY:
        return WithExitCode(WithHint(status, "this ghostd runs no BPF programs: start a newer one"),
                            ExitCode::kNoKernel);
      case -EPERM:
        return WithExitCode(WithHint(status, "run as root, or as the user whose ghostd it is"), ExitCode::kPermission);
      default:
        return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace ghost
