#include "util/ctl/agent_connection.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"
#include "lib/program/control_socket.h"
#include "util/ctl/enclaves.h"

namespace ghost::ctl {
namespace {

// From an agent's saying that it is online until it can be asked.
constexpr absl::Duration kListenTimeout = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<AgentClient>> ConnectToAgentOf(KernelEnclave& enclave) {
  absl::StatusOr<ScopedFd> connection = ConnectToAgent(enclave.directory());
  absl::StatusOr<EnclaveView> view = EnclaveView();
  const auto settled = [&] {
    if (!absl::IsNotFound(connection.status())) return true;
    view = ViewEnclave(enclave);
    if (!view.ok() || !view->online) return true;
    connection = ConnectToAgent(enclave.directory());
    return connection.ok();
  };
  PollUntil(kListenTimeout, settled);
  if (connection.ok()) return std::make_unique<AgentClient>(*std::move(connection));
  if (!absl::IsNotFound(connection.status())) return connection.status();
  GHOST_RETURN_IF_ERROR(view.status());
  if (view->online) {
    return WithHint(absl::UnavailableError(absl::StrCat("the agent of ", view->directory, " does not listen")),
                    "it is none of this project's, or in another network namespace: nsenter --net --target ITS_PID");
  }
  return WithHint(absl::NotFoundError(absl::StrCat(view->directory, " has no agent")),
                  absl::StrCat("start one with --enclave ", view->directory, ", or: ghostctl enclave repair"));
}

std::string TakeEnclave(std::vector<std::string>* operands) {
  if (operands->empty()) return "";
  const std::string& first = operands->front();
  const bool is_number = !first.empty() && std::all_of(first.begin(), first.end(), absl::ascii_isdigit);
  if (absl::StrContains(first, '=')) return "";
  if (!is_number && !absl::StartsWith(first, "enclave_") && !absl::StrContains(first, '/')) return "";
  std::string enclave = first;
  operands->erase(operands->begin());
  return enclave;
}

}  // namespace ghost::ctl
