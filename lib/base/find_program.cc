#include "lib/base/find_program.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status.h"

namespace ghost {

namespace fs = std::filesystem;

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  std::vector<fs::path> folders;
  std::error_code ignored;
  const fs::path self = fs::read_symlink("/proc/self/exe", ignored);
  fs::path folder = self.parent_path();
  for (int i = 0; i < 3 && !folder.empty(); ++i, folder = folder.parent_path()) folders.push_back(folder);
  if (const char* path = getenv("PATH"); path != nullptr) {
    for (absl::string_view entry : absl::StrSplit(path, ':', absl::SkipEmpty())) folders.push_back(std::string(entry));
  }
  for (const fs::path& place : folders) {
    const fs::path path = place / name;
    if (fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0) return path.string();
  }
  return WithHint(absl::NotFoundError(
                      absl::StrCat("there is no program ", name, " beside ", self.filename().string(), " or in $PATH")),
                  absl::StrCat("bazel build -c opt ", name));
}

}  // namespace ghost
