// ghostctl get, set: the numbers of a running agent's policy that may be changed.
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "lib/tunable.h"
#include "nlohmann/json.hpp"
#include "util/ctl/agent_connection.h"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/options.h"

namespace ghost::ctl {
namespace {

using TunableView = AgentClient::TunableView;

constexpr char kGetHelp[] =
    R"(usage: ghostctl get [ENCLAVE] [NAME]...

Shows what may be changed of the policy that the agent of ENCLAVE runs: name, value, which values it takes, and what it
is. With NAMEs, only their values, one a line.

ENCLAVE is a number, a name (enclave_2) or a path; it may be left out if there is only one. An agent can be asked by
root and by its own user.

options:
  --json          print one object per name: value, range, what
  --ghostfs DIR   the ghostfs to use

examples:
  ghostctl get
  ghostctl get 1 preemption_time_slice
)";

constexpr char kSetHelp[] =
    R"(usage: ghostctl set [ENCLAVE] NAME=VALUE...

Changes numbers of the policy that the agent of ENCLAVE runs, while it schedules; from its next decision on they count.
All are set, or none if one of them is wrong. Prints what is set. Times have a unit: 500us, 1.5ms, inf. An agent that
takes over (--enclave) starts with the values of its own flags.

ENCLAVE is a number, a name (enclave_2) or a path; it may be left out if there is only one. An agent can be asked by
root and by its own user.

options:
  --ghostfs DIR   the ghostfs to use

examples:
  ghostctl set 1 preemption_time_slice=50us
  ghostctl set latency=6ms min_granularity=750us
)";

struct Arguments {
  std::string ghostfs;
  bool json = false;
  std::string enclave;
  std::vector<std::string> operands;
};

absl::Status Parse(const std::vector<std::string>& args, bool with_json, Arguments* result) {
  Options options;
  options.AddString("ghostfs", &result->ghostfs);
  if (with_json) options.AddFlag("json", &result->json);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  result->operands = options.operands();
  result->enclave = TakeEnclave(&result->operands);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AgentClient>> Connect(const Arguments& arguments) {
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(arguments.ghostfs));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, FindEnclave(*kernel, arguments.enclave));
  return ConnectToAgentOf(*enclave);
}

// Those of `all` that are named, in this order.
absl::StatusOr<std::vector<TunableView>> Choose(const std::vector<TunableView>& all,
                                                const std::vector<std::string>& names) {
  std::vector<TunableView> chosen;
  for (const std::string& name : names) {
    const auto is_it = [&name](const TunableView& view) { return view.name == name; };
    const auto found = std::find_if(all.begin(), all.end(), is_it);
    if (found == all.end()) {
      std::vector<std::string> known;
      for (const TunableView& view : all) known.push_back(view.name);
      return NoSuchTunable(name, "this agent", known);
    }
    chosen.push_back(*found);
  }
  return chosen;
}

void PrintTable(const std::vector<TunableView>& views) {
  int name = 0, value = 0, range = 0;
  for (const TunableView& view : views) {
    name = std::max(name, static_cast<int>(view.name.size()));
    value = std::max(value, static_cast<int>(view.value.size()));
    range = std::max(range, static_cast<int>(view.range.size()));
  }
  for (const TunableView& view : views) {
    absl::PrintF("%-*s  %-*s  %-*s  %s\n", name, view.name, value, view.value, range, view.range, view.what);
  }
}

void PrintJson(const std::vector<TunableView>& views) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const TunableView& view : views) {
    json[view.name] = {{"value", view.value}, {"range", view.range}, {"what", view.what}};
  }
  std::cout << json.dump(2) << std::endl;
}

absl::StatusOr<int> RunGet(const std::vector<std::string>& args) {
  Arguments arguments;
  GHOST_RETURN_IF_ERROR(Parse(args, /*with_json=*/true, &arguments));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<AgentClient> agent, Connect(arguments));
  GHOST_ASSIGN_OR_RETURN(std::vector<TunableView> views, agent->Tunables());
  const bool all = arguments.operands.empty();
  if (!all) {
    GHOST_ASSIGN_OR_RETURN(views, Choose(views, arguments.operands));
  }
  if (arguments.json) {
    PrintJson(views);
  } else if (!all) {
    for (const TunableView& view : views) absl::PrintF("%s\n", view.value);
  } else if (views.empty()) {
    absl::PrintF("this agent has no tunables\n");
  } else {
    PrintTable(views);
  }
  return 0;
}

absl::StatusOr<int> RunSet(const std::vector<std::string>& args) {
  Arguments arguments;
  GHOST_RETURN_IF_ERROR(Parse(args, /*with_json=*/false, &arguments));
  if (arguments.operands.empty()) return absl::InvalidArgumentError("no NAME=VALUE given");
  std::vector<std::string> names;
  for (const std::string& operand : arguments.operands) {
    const size_t equals = operand.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat("'", operand, "' is no NAME=VALUE"));
    }
    names.push_back(operand.substr(0, equals));
  }
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<AgentClient> agent, Connect(arguments));
  GHOST_RETURN_IF_ERROR(agent->Set(arguments.operands));
  GHOST_ASSIGN_OR_RETURN(std::vector<TunableView> views, agent->Tunables());
  GHOST_ASSIGN_OR_RETURN(views, Choose(views, names));
  for (const TunableView& view : views) absl::PrintF("%s=%s\n", view.name, view.value);
  return 0;
}

}  // namespace

const Command kGetCommand = {"get", "show the tunables of a running policy", kGetHelp, RunGet};
const Command kSetCommand = {"set", "change tunables of a running policy", kSetHelp, RunSet};

}  // namespace ghost::ctl
