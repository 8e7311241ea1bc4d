#include "lib/ghostfs.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/dialect.h"
#include "lib/base/file.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"
#include "lib/ghostfs_enclave.h"

namespace ghost {
namespace {

constexpr char kEnclavePrefix[] = "enclave_";
constexpr char kNoKernelHint[] = "start ghostd (then this works on any Linux kernel), or boot a ghost kernel";

// A destroyed enclave gives its CPUs back a little later than its destroyer returns.
constexpr absl::Duration kDyingEnclaveTimeout = absl::Seconds(2);

enum class Served { kNothing, kByKernel, kByGhostd, kStale };

Served WhoServes(const std::string& path) {
  struct statfs status;
  if (statfs(path.c_str(), &status) != 0) return errno == ENOTCONN ? Served::kStale : Served::kNothing;
  if (status.f_type == kGhostMagic) return Served::kByKernel;
  if (status.f_type == kFuseMagic) return Served::kByGhostd;
  return Served::kNothing;
}

absl::Status NoKernel(absl::string_view what, absl::string_view hint = kNoKernelHint) {
  return WithExitCode(WithHint(absl::NotFoundError(what), hint), ExitCode::kNoKernel);
}

absl::Status NotServed(const std::string& path, Served served, absl::string_view source) {
  if (served == Served::kStale) {
    return NoKernel(absl::StrCat("the ghostd that served ", path, source, " is gone"), "start ghostd again");
  }
  return NoKernel(absl::StrCat("no ghostfs at ", path, source));
}

// A ghost kernel makes the directory; mounting is left to user space.
absl::Status MountKernelGhostfs() {
  struct stat status;
  if (stat(kGhostfsMount, &status) != 0 || !S_ISDIR(status.st_mode)) return absl::OkStatus();
  if (WhoServes(kGhostfsMount) != Served::kNothing) return absl::OkStatus();
  if (mount("ghost", kGhostfsMount, "ghost", 0, nullptr) == 0 || errno == EBUSY || errno == ENODEV) {
    return absl::OkStatus();
  }
  const int error = errno;
  return WithHint(ErrnoStatus(error, absl::StrCat("cannot mount ghostfs at ", kGhostfsMount)),
                  absl::StrCat("as root: mount -t ghost ghost ", kGhostfsMount));
}

absl::StatusOr<std::string> FindAt(const std::string& path, absl::string_view source) {
  const Served served = WhoServes(path);
  if (served == Served::kByKernel || served == Served::kByGhostd) return path;
  return NotServed(path, served, source);
}

absl::StatusOr<std::vector<uint32_t>> ReadVersions(const std::string& root) {
  GHOST_ASSIGN_OR_RETURN(std::string text, ReadFile(absl::StrCat(root, "/version")));
  std::vector<uint32_t> versions;
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n\t"), absl::SkipEmpty())) {
    uint32_t version;
    if (!absl::SimpleAtoi(word, &version)) return NoKernel(absl::StrCat(root, " is no ghostfs: its version is ", word));
    versions.push_back(version);
  }
  return versions;
}

// The id in "enclave_7".
bool ParseEnclaveName(absl::string_view name, uint64_t* id) {
  return absl::ConsumePrefix(&name, kEnclavePrefix) && absl::SimpleAtoi(name, id);
}

class GhostfsKernel : public Kernel {
 public:
  GhostfsKernel(std::string root, bool user_mode, std::vector<uint32_t> versions, const AbiVersion* abi)
      : root_(std::move(root)), user_mode_(user_mode), versions_(std::move(versions)), abi_(abi) {}

  const std::string& root() const override { return root_; }
  bool user_mode() const override { return user_mode_; }
  const std::vector<uint32_t>& versions() const override { return versions_; }
  const AbiVersion& abi() const override { return *abi_; }
  absl::StatusOr<int> PossibleCpus() override;
  absl::StatusOr<std::vector<EnclaveInfo>> ListEnclaves() override;
  absl::StatusOr<std::unique_ptr<KernelEnclave>> CreateEnclave(const CpuSet& cpus) override;
  absl::StatusOr<std::unique_ptr<KernelEnclave>> AttachEnclave(absl::string_view directory) override;

 private:
  absl::StatusOr<std::string> CreateDirectory();
  absl::Status SetCpus(KernelEnclave* enclave, const CpuSet& cpus);
  // Who has some of `cpus`, other than `self`: as an error that names it. Ok: nobody that lives.
  absl::Status FindHolder(const CpuSet& cpus, const std::string& self);

  const std::string root_;
  const bool user_mode_;
  const std::vector<uint32_t> versions_;
  const AbiVersion* const abi_;
};

absl::StatusOr<int> CountCpuData(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/cpu_data");
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return ErrnoStatus(errno, absl::StrCat("cannot stat ", path));
  return static_cast<int>(std::min<off_t>(status.st_size / sizeof(ghost_cpu_data), CpuSet::kMaxCpus));
}

absl::StatusOr<int> GhostfsKernel::PossibleCpus() {
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveInfo> enclaves, ListEnclaves());
  for (const EnclaveInfo& enclave : enclaves) {
    // One may vanish meanwhile.
    if (absl::StatusOr<int> count = CountCpuData(enclave.directory); count.ok()) return count;
  }
  // Only an enclave knows: its cpu_data has a page for each CPU.
  GHOST_ASSIGN_OR_RETURN(std::string directory, CreateDirectory());
  absl::StatusOr<int> count = CountCpuData(directory);
  GHOST_RETURN_IF_ERROR(WriteFile(absl::StrCat(directory, "/ctl"), "destroy"));
  return count;
}

absl::StatusOr<std::vector<EnclaveInfo>> GhostfsKernel::ListEnclaves() {
  DIR* listing = opendir(root_.c_str());
  if (listing == nullptr) return ErrnoStatus(errno, absl::StrCat("cannot list ", root_));
  auto closer = absl::MakeCleanup([listing] { closedir(listing); });
  std::vector<EnclaveInfo> enclaves;
  while (const dirent* entry = readdir(listing)) {
    EnclaveInfo info;
    if (!ParseEnclaveName(entry->d_name, &info.id)) continue;
    info.name = entry->d_name;
    info.directory = absl::StrCat(root_, "/", info.name);
    enclaves.push_back(std::move(info));
  }
  std::sort(enclaves.begin(), enclaves.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return enclaves;
}

absl::StatusOr<std::string> GhostfsKernel::CreateDirectory() {
  for (uint64_t id = 1;; ++id) {
    absl::Status status = WriteFile(absl::StrCat(root_, "/ctl"), absl::StrCat("create ", id, " ", abi_->number));
    if (status.ok()) return absl::StrCat(root_, "/", kEnclavePrefix, id);
    const int error = ErrnoOf(status);
    if (error == EEXIST) continue;
    status = ErrnoStatus(error, absl::StrCat("cannot create an enclave in ", root_));
    return error == EACCES || error == EPERM ? WithHint(status, "run it as root, or as the user who runs ghostd")
                                             : status;
  }
}

absl::Status GhostfsKernel::FindHolder(const CpuSet& cpus, const std::string& self) {
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveInfo> enclaves, ListEnclaves());
  for (const EnclaveInfo& enclave : enclaves) {
    if (enclave.directory == self) continue;
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(enclave.directory, "/cpulist"));
    CpuSet theirs;
    if (!text.ok() || ParseCpuList(*text, &theirs) != CpuParseError::kOk) continue;
    theirs &= cpus;
    // Without ctl it is being destroyed: its CPUs are about to be free.
    if (theirs.empty() || access(absl::StrCat(enclave.directory, "/ctl").c_str(), F_OK) != 0) continue;
    absl::Status status = absl::UnavailableError(
        absl::StrCat("CPUs ", ToCpuList(theirs), " are busy: they belong to ", enclave.directory));
    return WithExitCode(WithHint(std::move(status), absl::StrCat("stop its agent, or: echo destroy > ",
                                                                 enclave.directory, "/ctl (its tasks go back to CFS)")),
                        ExitCode::kBusy);
  }
  return absl::OkStatus();
}

absl::Status GhostfsKernel::SetCpus(KernelEnclave* enclave, const CpuSet& cpus) {
  absl::Status status;
  PollUntil(kDyingEnclaveTimeout, [&] {
    status = enclave->WriteFile("cpulist", ToCpuList(cpus));
    if (ErrnoOf(status) != EBUSY) return true;
    absl::Status holder = FindHolder(cpus, enclave->directory());
    if (!holder.ok()) status = holder;
    return !holder.ok();
  });
  if (ErrnoOf(status) == ENODEV) {
    return WithExitCode(WithHint(ErrnoStatus(ENODEV, absl::StrCat("cannot take CPUs ", ToCpuList(cpus))),
                                 "some of them are offline: see /sys/devices/system/cpu/online"),
                        ExitCode::kUsage);
  }
  return status;
}

absl::StatusOr<std::unique_ptr<KernelEnclave>> GhostfsKernel::CreateEnclave(const CpuSet& cpus) {
  GHOST_ASSIGN_OR_RETURN(std::string directory, CreateDirectory());
  auto undo = absl::MakeCleanup([&] { WriteFile(absl::StrCat(directory, "/ctl"), "destroy").IgnoreError(); });
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, GhostfsEnclave::Open(directory, user_mode_));
  GHOST_RETURN_IF_ERROR(SetCpus(enclave.get(), cpus));
  // CPUs that the kernel does not have are silently left out by it.
  GHOST_ASSIGN_OR_RETURN(std::string text, enclave->ReadFile("cpulist"));
  CpuSet got;
  if (ParseCpuList(text, &got) != CpuParseError::kOk || got != cpus) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot take CPUs ", ToCpuList(cpus), ": the kernel gave ", absl::StripAsciiWhitespace(text)));
  }
  std::move(undo).Cancel();
  return enclave;
}

absl::StatusOr<std::unique_ptr<KernelEnclave>> GhostfsKernel::AttachEnclave(absl::string_view directory) {
  std::string path(absl::StripSuffix(directory, "/"));
  if (path.find('/') == std::string::npos) path = absl::StrCat(root_, "/", path);
  const std::string hint = absl::StrCat("the enclaves are: ls -d ", root_, "/", kEnclavePrefix, "*");
  struct stat status;
  if (stat(path.c_str(), &status) != 0) {
    return WithExitCode(WithHint(ErrnoStatus(errno, absl::StrCat("no enclave ", path)), hint), ExitCode::kUsage);
  }
  const Served served = WhoServes(path);
  if ((served != Served::kByKernel && served != Served::kByGhostd) ||
      access(absl::StrCat(path, "/abi_version").c_str(), F_OK) != 0) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat(path, " is not an enclave")), hint);
  }
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave,
                         GhostfsEnclave::Open(path, served == Served::kByGhostd));
  return enclave;
}

}  // namespace

std::string DefaultGhostdMount() {
  const char* runtime_directory = std::getenv("XDG_RUNTIME_DIR");
  if (geteuid() == 0 || runtime_directory == nullptr || *runtime_directory == '\0') return "/run/ghost";
  return absl::StrCat(runtime_directory, "/ghost");
}

absl::StatusOr<std::string> FindGhostfs(absl::string_view path) {
  if (!path.empty()) return FindAt(std::string(path), "");
  if (const char* variable = std::getenv("GHOSTFS"); variable != nullptr && *variable != '\0') {
    return FindAt(variable, " (from $GHOSTFS)");
  }
  const absl::Status mounted = MountKernelGhostfs();
  if (absl::StatusOr<std::string> found = FindAt(kGhostfsMount, ""); found.ok()) return found;
  // A ghost kernel, but no right to mount: say that, unless a ghostd helps.
  const std::string ghostd = DefaultGhostdMount();
  const Served served = WhoServes(ghostd);
  if (served == Served::kByGhostd) return ghostd;
  if (!mounted.ok()) return mounted;
  if (served == Served::kStale) return NotServed(ghostd, served, "");
  return NoKernel(
      absl::StrCat("no ghost kernel and no ghostd: looked for ghostfs at ", kGhostfsMount, " and ", ghostd));
}

absl::StatusOr<std::unique_ptr<Kernel>> OpenGhostfs(absl::string_view path) {
  GHOST_ASSIGN_OR_RETURN(std::string root, FindGhostfs(path));
  GHOST_ASSIGN_OR_RETURN(std::vector<uint32_t> versions, ReadVersions(root));
  const std::optional<uint32_t> common = NewestCommonAbi(versions);
  if (!common.has_value()) {
    return NoKernel(absl::StrCat("no common ABI: the kernel at ", root, " offers ", absl::StrJoin(versions, ", "),
                                 "; this program knows ", KnownAbis()),
                    "use a ghost kernel or a ghostd of one of these versions");
  }
  return std::make_unique<GhostfsKernel>(root, WhoServes(root) == Served::kByGhostd, std::move(versions),
                                         FindAbi(*common));
}

}  // namespace ghost
