#include "util/ctl/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/capability.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

constexpr long kTmpfsMagic = 0x01021994;

Finding Ok(const std::string& name, const std::string& text) { return {name, Verdict::kOk, text, ""}; }
Finding Fix(const std::string& name, const std::string& text, const std::string& hint) {
  return {name, Verdict::kFix, text, hint};
}
Finding Info(const std::string& name, const std::string& text, const std::string& hint = "") {
  return {name, Verdict::kInfo, text, hint};
}

// The first line of a small file, or `missing`.
std::string FirstLine(const std::string& path, const std::string& missing) {
  absl::StatusOr<std::string> text = ReadFile(path);
  return text.ok() ? text->substr(0, text->find('\n')) : missing;
}

// Runs `body` in a child; what it returns (0 or an errno) comes back. ECHILD: the child could not be made or died.
int InChild(const std::function<int()>& body) {
  pid_t child = fork();
  if (child < 0) return errno;
  if (child == 0) _exit(body());
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return ECHILD;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

// What /proc/self/status says under `name`, or "".
std::string StatusLine(const std::string& name) {
  absl::StatusOr<std::string> status = ReadFile("/proc/self/status");
  if (!status.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*status, '\n')) {
    if (absl::ConsumePrefix(&line, absl::StrCat(name, ":\t"))) return std::string(line);
  }
  return "";
}

int TryMount() {
  if (unshare(CLONE_NEWNS) != 0) return errno;
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  return mount("ghostctl-doctor", "/tmp", "tmpfs", 0, nullptr) == 0 ? 0 : errno;
}

bool InPath(const std::string& program) {
  const char* path = getenv("PATH");
  for (absl::string_view directory : absl::StrSplit(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    if (access(absl::StrCat(directory, "/", program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// Loads "return 0" as a raw tracepoint program: what ghostd's detector needs at least. 0 or an errno.
int TryBpf() {
  bpf_insn program[2] = {};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = 0
  program[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attributes;
  memset(&attributes, 0, sizeof(attributes));
  attributes.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  attributes.insn_cnt = 2;
  attributes.insns = reinterpret_cast<uint64_t>(program);
  attributes.license = reinterpret_cast<uint64_t>("GPL");
  ScopedFd fd(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes))));
  return fd.valid() ? 0 : errno;
}

// Seizes a sibling, which Yama treats as any other process of this user. 0 or an errno.
int TrySeizeSibling() {
  pid_t target = fork();
  if (target < 0) return errno;
  if (target == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  const int error = InChild([target] {
    if (ptrace(PTRACE_SEIZE, target, nullptr, nullptr) != 0) return errno;
    if (ptrace(PTRACE_INTERRUPT, target, nullptr, nullptr) != 0) return errno;
    int status = 0;
    if (waitpid(target, &status, __WALL) != target) return errno;
    return WIFSTOPPED(status) ? 0 : ECHILD;
  });
  kill(target, SIGKILL);
  waitpid(target, nullptr, 0);
  return error;
}

int TryFifo() {
  sched_param param = {.sched_priority = 1};
  return sched_setscheduler(0, SCHED_FIFO, &param) == 0 ? 0 : errno;
}

}  // namespace

bool IsGhostKernel() {
  absl::StatusOr<std::string> types = ReadFile("/proc/filesystems");
  if (!types.ok()) return false;
  for (absl::string_view line : absl::StrSplit(*types, '\n')) {
    if (line == "nodev\tghost") return true;
  }
  return false;
}

bool HasCapSysNice() { return HasCapability(CAP_SYS_NICE); }

bool IsRealRoot() {
  // In the initial namespace, and in a container's whose root is the machine's, all ids mean what they say.
  absl::StatusOr<std::string> map = ReadFile("/proc/self/uid_map");
  std::vector<std::string> fields;
  if (map.ok()) fields = absl::StrSplit(*map, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  return geteuid() == 0 && (fields.size() != 3 || fields[1] == "0");
}

Finding ProbeKernel() {
  utsname name;
  uname(&name);
  const std::string release = absl::StrCat(name.sysname, " ", name.release, " ", name.machine);
  if (IsGhostKernel()) return Ok("kernel", absl::StrCat(release, ", a ghost kernel"));
  return Info("kernel", absl::StrCat(release, ", stock: ghostd stands in for a ghost kernel"));
}

Finding ProbeFuse() {
  absl::StatusOr<ScopedFd> fd = OpenFile("/dev/fuse", O_RDWR);
  if (fd.ok()) return Ok("/dev/fuse", "can be opened");
  const int error = ErrnoOf(fd.status());
  if (error == EACCES || error == EPERM) {
    return Fix("/dev/fuse", strerror(error), "run as root, or: chmod 666 /dev/fuse");
  }
  return Fix("/dev/fuse", strerror(error), "modprobe fuse; in a container: --device /dev/fuse");
}

Finding ProbeMount() {
  const int error = InChild(TryMount);
  if (error == 0) return Ok("mount", "allowed");
  if (InPath("fusermount3")) return Ok("mount", "through fusermount3");
  return Fix("mount", strerror(error), "run as root, or: apt-get install fuse3; in a container: --cap-add SYS_ADMIN");
}

Finding ProbeBpf() {
  const int error = TryBpf();
  if (error == 0) return Ok("BPF", "a tracing program loads");
  if (error == ENOSYS) return Fix("BPF", "this kernel has none", "use a kernel with CONFIG_BPF_SYSCALL");
  if (geteuid() == 0) {
    return Fix("BPF", strerror(error), "leave the sandbox or container, or give it CAP_BPF and CAP_PERFMON");
  }
  return Fix("BPF", strerror(error), "run as root (or with CAP_BPF and CAP_PERFMON)");
}

Finding ProbeBtf() {
  constexpr char kPath[] = "/sys/kernel/btf/vmlinux";
  if (access(kPath, R_OK) == 0) return Ok("BTF", kPath);
  return Fix("BTF", absl::StrCat(kPath, ": ", strerror(errno)),
             "use a kernel with CONFIG_DEBUG_INFO_BTF (Debian's has)");
}

Finding ProbePtrace() {
  const std::string yama = FirstLine("/proc/sys/kernel/yama/ptrace_scope", "");
  const std::string scope = yama.empty() ? "" : absl::StrCat(" (Yama ptrace_scope ", yama, ")");
  const std::string tracer = StatusLine("TracerPid");
  if (!tracer.empty() && tracer != "0") {
    return Info("ptrace", absl::StrCat("not tried: process ", tracer, " holds this one (is it under ghost itself?)"));
  }
  const int error = TrySeizeSibling();
  if (error != 0 && yama == "1" && !HasCapability(CAP_SYS_PTRACE)) {
    return Info("ptrace", absl::StrCat("only programs that `ghostctl run` starts", scope),
                "for others: run as root, or: sysctl kernel.yama.ptrace_scope=0");
  }
  if (error == 0) return Ok("ptrace", absl::StrCat("another process can be seized", scope));
  if (!yama.empty() && yama != "0" && !HasCapability(CAP_SYS_PTRACE)) {
    return Fix(
        "ptrace", absl::StrCat(strerror(error), scope),
        yama == "3" ? "Yama forbids it until the next boot" : "run as root, or: sysctl kernel.yama.ptrace_scope=0");
  }
  return Fix("ptrace", absl::StrCat(strerror(error), scope), "in a container: --cap-add SYS_PTRACE");
}

Finding ProbeRealTime() {
  const int error = InChild(TryFifo);
  if (!HasCapSysNice()) {
    return Info("real time", "no CAP_SYS_NICE: agents for a ghostd of this user only, and without priority",
                "run agents as root, or: setcap cap_sys_nice+ep PROGRAM");
  }
  if (error == 0) return Ok("real time", "CAP_SYS_NICE, SCHED_FIFO allowed");
  return Info("real time", absl::StrCat("SCHED_FIFO: ", strerror(error), "; agents run with nice -20 instead"),
              "give this cgroup real-time time (cpu.rt_runtime_us), or run outside of it");
}

Finding ProbeRtThrottling() {
  const std::string runtime = FirstLine("/proc/sys/kernel/sched_rt_runtime_us", "");
  const std::string period = FirstLine("/proc/sys/kernel/sched_rt_period_us", "");
  if (runtime.empty()) return Info("RT throttling", "unknown");
  if (runtime == "-1") return Ok("RT throttling", "off");
  return Info("RT throttling", absl::StrCat("spinning agents get ", runtime, " of every ", period, " us"),
              "for measurements: sysctl kernel.sched_rt_runtime_us=-1");
}

Finding ProbeSharedMemory() {
  struct statfs fs;
  if (statfs("/dev/shm", &fs) != 0) {
    return Fix("/dev/shm", strerror(errno), "mount -t tmpfs tmpfs /dev/shm");
  }
  if (fs.f_type != kTmpfsMagic) return Fix("/dev/shm", "not a tmpfs", "mount -t tmpfs tmpfs /dev/shm");
  const uint64_t free_mib = static_cast<uint64_t>(fs.f_bavail) * fs.f_bsize >> 20;
  // One enclave: a status-word region of 2 MiB, a page per CPU, and its queues (512 KiB each at most).
  constexpr uint64_t kWantedMib = 16;
  const std::string text = absl::StrCat("tmpfs, ", free_mib, " MiB free");
  if (free_mib < kWantedMib) return Fix("/dev/shm", text, "free some, or: mount -o remount,size=64M /dev/shm");
  return Ok("/dev/shm", text);
}

Finding ProbeCpus() {
  const std::string online = FirstLine("/sys/devices/system/cpu/online", "");
  CpuSet cpus;
  if (ParseCpuList(online, &cpus) != CpuParseError::kOk || cpus.empty()) return Info("CPUs", "unknown");
  const std::string text = absl::StrCat(cpus.size(), " online (", online, ")");
  if (cpus.size() > 1) return Ok("CPUs", text);
  return Info("CPUs", text, "centralized agents want two: ghostd --cpus 2 offers virtual ones");
}

Finding ProbeLockedMemory() {
  rlimit limit;
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY || HasCapability(CAP_IPC_LOCK)) return Ok("locked memory", "unlimited");
  return Info("locked memory", absl::StrCat(limit.rlim_cur >> 10, " KiB"), "ulimit -l unlimited");
}

}  // namespace ghost::ctl
