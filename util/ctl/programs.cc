#include "util/ctl/programs.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/base/status.h"
#include "util/ctl/policies.h"

namespace ghost::ctl {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Folders() {
  std::vector<fs::path> folders;
  std::error_code ignored;
  const fs::path self = fs::read_symlink("/proc/self/exe", ignored);
  if (!self.empty()) {
    folders.push_back(self.parent_path());
    folders.push_back(self.parent_path().parent_path());
  }
  if (const char* path = getenv("PATH"); path != nullptr) {
    for (absl::string_view folder : absl::StrSplit(path, ':', absl::SkipEmpty())) {
      folders.push_back(std::string(folder));
    }
  }
  return folders;
}

// "" if there is none.
std::string Find(const std::string& name) {
  for (const fs::path& folder : Folders()) {
    const fs::path path = folder / name;
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0) return path.string();
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  std::string path = Find(name);
  if (!path.empty()) return path;
  return WithHint(absl::NotFoundError(absl::StrCat("there is no program ", name, " beside ghostctl or in $PATH")),
                  absl::StrCat("bazel build -c opt ", name));
}

absl::StatusOr<std::string> FindAgent(const std::string& policy) {
  if (const PolicyName* known = FindPolicy(policy)) return FindProgram(known->agent);
  const std::string names[] = {absl::StrCat(policy, "_agent"), absl::StrCat("agent_", policy), policy};
  for (const std::string& name : names) {
    if (std::string path = policy.empty() ? "" : Find(name); !path.empty()) return path;
  }
  const auto append_name = [](std::string* out, const PolicyName& known) { out->append(known.name); };
  return WithHint(absl::InvalidArgumentError(absl::StrCat("there is no policy '", policy, "', nor a program ", names[0],
                                                          " or ", names[1], " beside ghostctl or in $PATH")),
                  absl::StrCat("policies are ", absl::StrJoin(Policies(), ", ", append_name)));
}

}  // namespace ghost::ctl
