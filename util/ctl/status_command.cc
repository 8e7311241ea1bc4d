// ghostctl status: the kernel in use, its enclaves, and what its CPUs do.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "nlohmann/json.hpp"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/options.h"
#include "util/ctl/stats.h"

namespace ghost::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kHelp[] =
    R"(usage: ghostctl status [--json]

Shows the kernel in use, its enclaves (ABI, CPUs, whether an agent serves them, tasks) and, over ghostd, what it has
scheduled so far, CPU by CPU.

options:
  --json          print one object: root, user_mode, abi, enclaves, stats
  --ghostfs DIR   the ghostfs to use

examples:
  ghostctl status
  ghostctl status --json | jq '.enclaves[].tasks'
)";

Json Collect(Kernel& kernel, const std::vector<EnclaveView>& views) {
  Json json;
  json["root"] = kernel.root();
  json["user_mode"] = kernel.user_mode();
  json["abi"] = kernel.abi().number;
  json["enclaves"] = Json::array();
  for (const EnclaveView& view : views) {
    json["enclaves"].push_back({{"id", view.id},
                                {"abi", view.abi},
                                {"cpus", view.cpus},
                                {"agent", view.online ? "online" : "none"},
                                {"tasks", view.num_tasks},
                                {"directory", view.directory}});
  }
  if (absl::StatusOr<Json> stats = ReadKernelStats(kernel); stats.ok()) json["stats"] = *std::move(stats);
  return json;
}

// Of the enclaves, only the groups of counters: the table of ours has said the rest.
void KeepWhatIsNew(Json* stats) {
  const auto enclaves = stats->find("enclaves");
  if (enclaves == stats->end() || !enclaves->is_array()) return;
  Json groups = Json::array();
  for (const Json& enclave : *enclaves) {
    if (!enclave.is_object()) continue;
    Json kept = Json::object();
    if (enclave.contains("id")) kept["enclave"] = enclave["id"];
    for (const auto& [key, value] : enclave.items()) {
      if (value.is_object() && !value.empty()) kept[key] = value;
    }
    groups.push_back(std::move(kept));
  }
  stats->erase("enclaves");
  if (!groups.empty()) (*stats)["by enclave"] = std::move(groups);
}

void PrintText(const Json& json) {
  absl::PrintF("%s: %s, ABI %d\n", json["root"].get<std::string>(),
               json["user_mode"].get<bool>() ? "ghostd" : "the ghost kernel", json["abi"].get<int>());
  if (json["enclaves"].empty()) absl::PrintF("no enclaves\n");
  absl::PrintF("%s", StatsToText({{"enclaves", json["enclaves"]}}));
  if (!json.contains("stats")) return;
  Json stats = json["stats"];
  if (stats.is_object()) KeepWhatIsNew(&stats);
  absl::PrintF("%s", StatsToText(stats));
}

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs;
  bool as_json = false;
  Options options;
  options.AddString("ghostfs", &ghostfs).AddFlag("json", &as_json);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  if (!options.operands().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("what is '", options.operands()[0], "'?"));
  }
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(ghostfs));
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveView> views, ViewEnclaves(*kernel));
  const Json json = Collect(*kernel, views);
  if (as_json) {
    std::cout << json.dump(2) << std::endl;
  } else {
    PrintText(json);
  }
  return 0;
}

}  // namespace

const Command kStatusCommand = {"status", "show the kernel in use, its enclaves and what was scheduled", kHelp, Run};

}  // namespace ghost::ctl
