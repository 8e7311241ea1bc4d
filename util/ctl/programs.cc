#include "util/ctl/programs.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/find_program.h"
#include "lib/base/status.h"
#include "util/ctl/policies.h"

namespace ghost::ctl {

absl::StatusOr<std::string> FindAgent(const std::string& policy) {
  if (const PolicyName* known = FindPolicy(policy)) return FindProgram(known->agent);
  const std::string names[] = {absl::StrCat(policy, "_agent"), absl::StrCat("agent_", policy), policy};
  for (const std::string& name : names) {
    if (policy.empty()) break;
    if (absl::StatusOr<std::string> path = FindProgram(name); path.ok()) return path;
  }
  const auto append_name = [](std::string* out, const PolicyName& known) { out->append(known.name); };
  return WithHint(absl::InvalidArgumentError(absl::StrCat("there is no policy '", policy, "', nor a program ", names[0],
                                                          " or ", names[1], " beside ghostctl or in $PATH")),
                  absl::StrCat("policies are ", absl::StrJoin(Policies(), ", ", append_name)));
}

}  // namespace ghost::ctl
