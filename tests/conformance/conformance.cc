// conformance: does this kernel do what a ghost kernel does, rule by rule?
//
// The rules are in rules_*.cc and *_recording.cc; docs/conformance.md lists them with what the simulation and ghostd
// do.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernel/abi/abi_version.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "tests/conformance/real_world.h"
#include "tests/conformance/report.h"
#include "tests/conformance/rule.h"
#include "tests/conformance/runner.h"
#include "tests/conformance/sim_world.h"
#include "tests/conformance/slots.h"

ABSL_FLAG(
    std::string, kernel, "",
    "What to test: sim (the simulation), ghostd (started by this program), ghostfs (what --ghostfs or $GHOSTFS names). "
    "Several, as a list: with --markdown. Empty: ghostfs if it is named, else ghostd.");
ABSL_FLAG(std::string, ghostfs, "", "The ghostfs to test. Empty: $GHOSTFS.");
ABSL_FLAG(std::string, ghostd, "", "The ghostd to start. Empty: the one of this build.");
ABSL_FLAG(std::string, abi, "69,84,91", "ABI versions, 69 to 91, as a list.");
ABSL_FLAG(std::string, filter, "", "Only rules whose section and text contain this.");
ABSL_FLAG(bool, list, false, "Only list the rules.");
ABSL_FLAG(bool, quiet, false, "Print only what differs, and the totals.");
ABSL_FLAG(std::string, markdown, "", "Also write the tables of docs/conformance.md to this file.");
ABSL_FLAG(std::string, xml, "", "Also write the verdicts as JUnit's XML to this file (with one kernel and ABI).");

namespace ghost::conformance {
namespace {

constexpr char kName[] = "conformance";

std::string Ghostfs() {
  const std::string flag = absl::GetFlag(FLAGS_ghostfs);
  const char* environment = getenv("GHOSTFS");
  return !flag.empty() ? flag : environment != nullptr ? environment : "";
}

// bazel-bin/ghostd, from bazel-bin/tests/conformance/conformance.
std::string GhostdPath() {
  if (const std::string flag = absl::GetFlag(FLAGS_ghostd); !flag.empty()) return flag;
  if (const char* sources = getenv("TEST_SRCDIR"); sources != nullptr) {
    return absl::StrCat(sources, "/", getenv("TEST_WORKSPACE"), "/ghostd");
  }
  char self[4096];
  const ssize_t size = readlink("/proc/self/exe", self, sizeof(self));
  const std::string path(self, size > 0 ? static_cast<size_t>(size) : 0);
  return absl::StrCat(path.substr(0, path.rfind('/')), "/../../ghostd");
}

std::vector<std::string> Kernels() {
  std::string flag = absl::GetFlag(FLAGS_kernel);
  if (flag.empty()) flag = Ghostfs().empty() ? "ghostd" : "ghostfs";
  return absl::StrSplit(flag, ',');
}

absl::StatusOr<std::vector<uint32_t>> Abis() {
  std::vector<uint32_t> abis;
  for (const auto& part : absl::StrSplit(absl::GetFlag(FLAGS_abi), ',')) {
    uint32_t number = 0;
    if (!absl::SimpleAtoi(part, &number) || FindAbi(number) == nullptr) {
      return WithHint(absl::InvalidArgumentError(absl::StrCat("--abi ", part, ": no such version")),
                      absl::StrCat("known are ", KnownAbis()));
    }
    abis.push_back(number);
  }
  return abis;
}

absl::StatusOr<std::unique_ptr<World>> OpenWorld(const std::string& kernel, uint32_t abi) {
  if (kernel == "sim") return MakeSimWorld(abi);
  if (kernel == "ghostd") return StartGhostd(GhostdPath(), abi);
  if (kernel != "ghostfs") {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("--kernel ", kernel, ": there is no such")),
                    "one of sim, ghostd, ghostfs");
  }
  if (Ghostfs().empty()) {
    return WithHint(WithExitCode(absl::FailedPreconditionError("no ghostfs is named"), ExitCode::kNoKernel),
                    "say where it is mounted: --ghostfs /sys/fs/ghost");
  }
  return OpenRealWorld(Ghostfs(), abi);
}

absl::StatusOr<Column> Test(const std::string& kernel, uint32_t abi) {
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<World> world, OpenWorld(kernel, abi));
  const bool quiet = absl::GetFlag(FLAGS_quiet);
  Column column =
      RunRules(*world, *FindAbi(abi), absl::GetFlag(FLAGS_filter), [quiet](const Rule& rule, const Verdict& verdict) {
        if (quiet && verdict.kind != Verdict::Kind::kDiffers) return;
        PrintLine(std::cout, rule, verdict);
        std::cout.flush();
      });
  const Totals totals = Count(column);
  std::cout << kernel << ", ABI " << abi << ": " << totals.ok << " ok, " << totals.differ << " differ, "
            << totals.skipped << " skipped, " << totals.not_here << " not of this ABI" << std::endl;
  return column;
}

absl::Status WriteReports(const std::vector<Column>& columns) {
  if (const std::string path = absl::GetFlag(FLAGS_markdown); !path.empty()) {
    std::ofstream file(path);
    WriteMarkdown(file, columns);
    if (!file.flush()) return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  if (const std::string path = absl::GetFlag(FLAGS_xml); !path.empty()) {
    std::ofstream file(path);
    WriteXml(file, columns.front());
    if (!file.flush()) return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

int List() {
  for (const Rule& rule : AllRules()) {
    if (rule.Name().find(absl::GetFlag(FLAGS_filter)) != std::string::npos) std::cout << rule.Name() << "\n";
  }
  return 0;
}

ProgramInfo Program() {
  return {
      .name = kName,
      .summary = "Tests, rule by rule, whether a kernel does what a ghost kernel does.",
      .examples = {"conformance                               # ghostd, at ABI 69, 84 and 91",
                   "conformance --ghostfs /sys/fs/ghost --abi 69   # a real ghost kernel",
                   "conformance --filter 'CREATE_QUEUE' --abi 91   # some of the rules", "conformance --list"},
      .notes =
          "A line for each rule: ok, DIFFERS (what was expected, what was seen), skipped (why) or n/a. Needs root.\n"
          "Exit codes: 0 nothing differs, 1 something does, 2 usage, 3 no ghost kernel or not this ABI.\n",
  };
}

int Main(int argc, char** argv) {
  const CommandLine line = ParseCommandLine(Program(), argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  if (absl::GetFlag(FLAGS_list)) return List();
  std::vector<Column> columns;
  absl::StatusOr<std::vector<uint32_t>> abis = Abis();
  if (!abis.ok()) return Report(kName, abis.status());
  for (const std::string& kernel : Kernels()) {
    for (uint32_t abi : *abis) {
      absl::StatusOr<Column> column = Test(kernel, abi);
      if (!column.ok()) return Report(kName, column.status());
      columns.push_back(*std::move(column));
    }
  }
  if (absl::Status written = WriteReports(columns); !written.ok()) return Report(kName, written);
  for (const Column& column : columns) {
    const Totals totals = Count(column);
    if (totals.differ > 0 || totals.ok + totals.skipped == 0) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace ghost::conformance

int main(int argc, char** argv) {
  ghost::conformance::MaybeActorMain(argc, argv);
  return ghost::conformance::Main(argc, argv);
}
