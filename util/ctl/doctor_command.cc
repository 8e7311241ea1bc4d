// ghostctl doctor: what this machine can do, requirement by requirement.
#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "kernel/abi/abi_version.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "nlohmann/json.hpp"
#include "util/ctl/command.h"
#include "util/ctl/ladder.h"
#include "util/ctl/options.h"
#include "util/ctl/probes.h"

namespace ghost::ctl {
namespace {

constexpr char kHelp[] =
    R"(usage: ghostctl doctor [--json]

Tries everything that ghost programs need of this machine and prints one line for each:
  ok    it is there
  fix   it is missing; the line says what to do
  info  good to know

The line "ladder" says which kernel this machine and this user can have, from 1, a ghost kernel, to 5, the simulation
only, and what would lift them to a better one.

Exit status: 0 if programs can be scheduled here (over a ghost kernel, or over ghostd), 1 if a kernel is there but
something that it needs is not, 3 if neither kind of kernel can be had.

options:
  --ghostfs DIR   look at this ghostfs
  --json          print an array of {name, verdict, text, hint}

examples:
  ghostctl doctor
  ghostctl doctor --json | jq '.[] | select(.verdict == "fix")'
)";

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kFix:
      return "fix";
    case Verdict::kInfo:
      return "info";
  }
  return "?";
}

// What is served now.
struct Served {
  std::string mount;  // "": none
  bool ghostd = false;
  bool usable = false;  // and speaks an ABI that we know
};

// A ghostd that died without its guardian leaves a mount behind whose every access fails.
Finding NotServed(const absl::Status& status, const std::string& path) {
  struct statfs fs;
  const std::string mount = path.empty() ? DefaultGhostdMount() : path;
  if (statfs(mount.c_str(), &fs) != 0 && errno == ENOTCONN) {
    return {"ghostfs", Verdict::kFix, absl::StrCat("stale mount at ", mount), absl::StrCat("umount -l ", mount)};
  }
  if (IsGhostKernel()) {
    return {"ghostfs", Verdict::kFix, std::string(status.message()),
            absl::StrCat("mount -t ghost ghost ", kGhostfsMount)};
  }
  return {"ghostfs", Verdict::kInfo, "none is served now", "start ghostd (ghostctl run does so by itself)"};
}

Finding CheckVersions(Served* served) {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat(served->mount, "/version"));
  if (!text.ok()) {
    return {"ABI", Verdict::kFix, std::string(text.status().message()), "is this directory a ghostfs?"};
  }
  std::vector<uint32_t> versions;
  CpuSet numbers;  // the same notation for sets of small numbers: "69,84-91"
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    uint32_t version = 0;
    if (!absl::SimpleAtoi(line, &version)) continue;
    versions.push_back(version);
    if (CpuSet::InRange(static_cast<int>(version))) numbers.Add(static_cast<int>(version));
  }
  const std::string offered = ToCpuList(numbers);
  const std::optional<uint32_t> common = NewestCommonAbi(versions);
  if (!common.has_value()) {
    return {"ABI", Verdict::kFix, absl::StrCat("the kernel offers ", offered, "; these programs know ", KnownAbis()),
            "boot a kernel with one of these versions, or use ghostd"};
  }
  served->usable = true;
  return {"ABI", Verdict::kOk, absl::StrCat(*common, " (the kernel offers ", offered, "; we know ", KnownAbis(), ")"),
          ""};
}

// The mount, who serves it, and its ABI.
Served CheckGhostfs(const std::string& path, std::vector<Finding>* findings) {
  Served served;
  absl::StatusOr<std::string> mount = FindGhostfs(path);
  if (!mount.ok()) {
    findings->push_back(NotServed(mount.status(), path));
    return served;
  }
  served.mount = *mount;
  struct statfs fs;
  served.ghostd = statfs(mount->c_str(), &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC;
  findings->push_back({"ghostfs", Verdict::kOk,
                       absl::StrCat(*mount, served.ghostd ? ", served by ghostd" : ", the ghost kernel's"), ""});
  findings->push_back(CheckVersions(&served));
  return served;
}

void PrintText(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    absl::PrintF("%-4s  %-13s  %s%s\n", VerdictName(finding.verdict), finding.name, finding.text,
                 finding.hint.empty() ? "" : absl::StrCat("  ->  ", finding.hint));
  }
}

void PrintJson(const std::vector<Finding>& findings) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    json.push_back({{"name", finding.name},
                    {"verdict", VerdictName(finding.verdict)},
                    {"text", finding.text},
                    {"hint", finding.hint}});
  }
  std::cout << json.dump(2) << std::endl;
}

LadderInput ProbeLadder() {
  LadderInput input;
  input.ghost_kernel = IsGhostKernel();
  input.root = IsRealRoot();
  input.fuse = ProbeFuse();
  input.mount = ProbeMount();
  input.bpf = ProbeBpf();
  input.btf = ProbeBtf();
  input.ptrace = ProbePtrace();
  input.shared_memory = ProbeSharedMemory();
  return input;
}

bool IsForBpf(const Finding& finding) { return finding.name == "BPF" || finding.name == "BTF"; }

// Without CAP_SYS_NICE nobody becomes an agent of a ghost kernel, or of another user's ghostd.
Finding RealTime(const Served& served) {
  Finding finding = ProbeRealTime();
  struct stat mount;
  const bool own = served.ghostd && stat(served.mount.c_str(), &mount) == 0 && mount.st_uid == geteuid();
  const bool needed = IsGhostKernel() || (!served.mount.empty() && !own);
  if (needed && !HasCapSysNice()) finding.verdict = Verdict::kFix;
  return finding;
}

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs;
  bool json = false;
  Options options;
  options.AddString("ghostfs", &ghostfs).AddFlag("json", &json);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  if (!options.operands().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("what is '", options.operands()[0], "'?"));
  }

  std::vector<Finding> findings = {ProbeKernel()};
  const Served served = CheckGhostfs(ghostfs, &findings);
  const LadderInput ladder = ProbeLadder();
  const LadderResult result = Climb(ladder);
  const bool ghostd_can_run = result.step < Step::kSimulation && result.step > Step::kGhostKernel;
  for (Finding finding : {ladder.fuse, ladder.mount, ladder.bpf, ladder.btf, ladder.ptrace, ladder.shared_memory}) {
    // What only ghostd needs does not matter over a ghost kernel, nor BPF where ghostd runs without.
    const bool matters = !served.ghostd && result.step == Step::kSimulation && !IsForBpf(finding);
    if (finding.verdict == Verdict::kFix && !matters) finding.verdict = Verdict::kInfo;
    findings.push_back(finding);
  }
  // What agents need, over either.
  const Finding real_time = RealTime(served);
  findings.push_back(real_time);
  for (Finding (*probe)() : {ProbeRtThrottling, ProbeCpus, ProbeLockedMemory}) findings.push_back(probe());
  findings.push_back(result.finding);

  json ? PrintJson(findings) : PrintText(findings);
  const bool kernel = served.mount.empty() ? ghostd_can_run || IsGhostKernel() : served.usable;
  if (!kernel) return static_cast<int>(ExitCode::kNoKernel);
  const bool works = (served.usable || ghostd_can_run) && real_time.verdict != Verdict::kFix;
  return static_cast<int>(works ? ExitCode::kOk : ExitCode::kFailed);
}

}  // namespace

const Command kDoctorCommand = {"doctor", "say what this machine can do and what it lacks", kHelp, Run};

}  // namespace ghost::ctl
