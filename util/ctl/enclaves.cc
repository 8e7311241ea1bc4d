#include "util/ctl/enclaves.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

std::string BaseName(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

bool IsNumber(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return isdigit(c); });
}

}  // namespace

absl::StatusOr<EnclaveView> ViewEnclave(KernelEnclave& enclave) {
  EnclaveView view;
  view.id = enclave.id();
  view.directory = enclave.directory();
  view.name = BaseName(view.directory);
  view.abi = enclave.abi().number;
  GHOST_ASSIGN_OR_RETURN(std::string cpus, enclave.ReadFile("cpulist"));
  view.cpus = std::string(absl::StripAsciiWhitespace(cpus));
  GHOST_ASSIGN_OR_RETURN(std::string status, enclave.ReadFile("status"));
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (line == "active yes") view.online = true;
    if (absl::ConsumePrefix(&line, "nr_tasks ") && !absl::SimpleAtoi(line, &view.num_tasks)) view.num_tasks = 0;
  }
  return view;
}

absl::StatusOr<std::vector<EnclaveView>> ViewEnclaves(Kernel& kernel) {
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveInfo> infos, kernel.ListEnclaves());
  std::vector<EnclaveView> views;
  for (const EnclaveInfo& info : infos) {
    absl::StatusOr<std::unique_ptr<KernelEnclave>> enclave = kernel.AttachEnclave(info.directory);
    if (!enclave.ok()) continue;
    absl::StatusOr<EnclaveView> view = ViewEnclave(**enclave);
    if (view.ok()) views.push_back(*std::move(view));
  }
  std::sort(views.begin(), views.end(), [](const EnclaveView& a, const EnclaveView& b) { return a.id < b.id; });
  return views;
}

absl::StatusOr<std::unique_ptr<KernelEnclave>> FindEnclave(Kernel& kernel, const std::string& text) {
  if (!text.empty()) return kernel.AttachEnclave(IsNumber(text) ? absl::StrCat("enclave_", text) : text);
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveView> views, ViewEnclaves(kernel));
  if (views.size() == 1) return kernel.AttachEnclave(views[0].directory);
  if (views.empty()) {
    return WithHint(absl::NotFoundError(absl::StrCat("there is no enclave in ", kernel.root())),
                    "start an agent (fifo_per_cpu_agent --ghost_cpus 0-1), or: ghostctl enclave create");
  }
  std::vector<std::string> names;
  for (const EnclaveView& view : views) names.push_back(view.name);
  return WithHint(absl::InvalidArgumentError(absl::StrCat("there are several enclaves: ", absl::StrJoin(names, ", "))),
                  absl::StrCat("choose one: --enclave ", views[0].id));
}

absl::StatusOr<std::vector<pid_t>> TasksOf(KernelEnclave& enclave) {
  GHOST_ASSIGN_OR_RETURN(std::string text, enclave.ReadFile("tasks"));
  std::vector<pid_t> tids;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t tid = 0;
    if (absl::SimpleAtoi(line, &tid)) tids.push_back(tid);
  }
  return tids;
}

}  // namespace ghost::ctl
