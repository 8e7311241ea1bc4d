#include "util/ctl/agent_enclave.h"

#include <unistd.h>

#include <cctype>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ghost::ctl {
namespace {

namespace fs = std::filesystem;

// The "enclave_N" component of a path, or "".
std::string EnclaveIn(const fs::path& path) {
  constexpr char kPrefix[] = "enclave_";
  for (const fs::path& part : path) {
    const std::string name = part.string();
    if (name.rfind(kPrefix, 0) == 0 && isdigit(static_cast<unsigned char>(name[sizeof(kPrefix) - 1]))) return name;
  }
  return "";
}

std::string EnclaveOfProcess(pid_t pid) {
  std::error_code error;
  for (fs::directory_iterator it(absl::StrCat("/proc/", pid, "/fd"), error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    std::string name = EnclaveIn(fs::read_symlink(it->path(), ignored));
    if (!name.empty()) return name;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> EnclaveOfAgent(pid_t leader) {
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(it->path().filename().string(), &pid) || getsid(pid) != leader) continue;
    std::string name = EnclaveOfProcess(pid);
    if (!name.empty()) return name;
  }
  return absl::NotFoundError(absl::StrCat("agent ", leader, " says that it is active but holds no enclave open"));
}

}  // namespace ghost::ctl
