// ghostctl status: the kernel in use, its enclaves, and what its CPUs do.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "lib/program/control_socket.h"
#include "nlohmann/json.hpp"
#include "util/ctl/agent_connection.h"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/options.h"
#include "util/ctl/stats.h"

namespace ghost::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kHelp[] =
    R"(usage: ghostctl status [--json]

Shows the kernel in use, its enclaves (ABI, CPUs, whether an agent serves them, tasks), what their agents say of
themselves (of this user's agents; root's view has all) and, over ghostd, what it has scheduled so far, CPU by CPU.

options:
  --json          print one object: root, user_mode, abi, enclaves, stats; agents' counters CPU by CPU, too
  --ghostfs DIR   the ghostfs to use

examples:
  ghostctl status
  ghostctl status --json | jq '.enclaves[].tasks'
)";

// What the agent of an enclave says of itself goes into *enclave; nothing if it can't be asked.
void AddAgent(const EnclaveView& view, bool by_cpu, Json* enclave) {
  absl::StatusOr<ScopedFd> connection = ConnectToAgent(view.directory);
  if (!connection.ok()) return;
  AgentClient agent(*std::move(connection));
  absl::StatusOr<AgentClient::Description> description = agent.Describe();
  if (!description.ok()) return;
  (*enclave)["program"] = description->program;
  (*enclave)["pid"] = description->pid;
  if (absl::StatusOr<std::vector<AgentClient::TunableView>> tunables = agent.Tunables(); tunables.ok()) {
    Json values = Json::object();
    for (const AgentClient::TunableView& tunable : *tunables) values[tunable.name] = tunable.value;
    if (!values.empty()) (*enclave)["tunables"] = std::move(values);
  }
  for (const auto& [name, value] : description->counters) (*enclave)["counters"][name] = value;
  CpuSet cpus;
  if (!by_cpu || ParseCpuList(description->cpus, &cpus) != CpuParseError::kOk) return;
  for (int cpu : cpus) {
    absl::StatusOr<std::vector<uint64_t>> values = agent.Counters(cpu);
    if (!values.ok()) return;
    Json row = {{"cpu", cpu}};
    for (size_t i = 0; i < std::min(values->size(), description->counters.size()); ++i) {
      row[description->counters[i].first] = (*values)[i];
    }
    (*enclave)["counters_by_cpu"].push_back(std::move(row));
  }
}

Json Collect(Kernel& kernel, const std::vector<EnclaveView>& views, bool by_cpu) {
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
    if (view.online) AddAgent(view, by_cpu, &json["enclaves"].back());
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

// Without the counters that are zero.
Json Shortened(Json enclaves) {
  for (Json& enclave : enclaves) {
    if (!enclave.contains("counters")) continue;
    Json counted = Json::object();
    for (const auto& [name, value] : enclave["counters"].items()) {
      if (value != 0) counted[name] = value;
    }
    enclave["counters"] = std::move(counted);
  }
  return enclaves;
}

void PrintText(const Json& json) {
  absl::PrintF("%s: %s, ABI %d\n", json["root"].get<std::string>(),
               json["user_mode"].get<bool>() ? "ghostd" : "the ghost kernel", json["abi"].get<int>());
  if (json["enclaves"].empty()) absl::PrintF("no enclaves\n");
  absl::PrintF("%s", StatsToText({{"enclaves", Shortened(json["enclaves"])}}));
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
  const Json json = Collect(*kernel, views, /*by_cpu=*/as_json);
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
