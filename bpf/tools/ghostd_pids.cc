#include "bpf/tools/ghostd_pids.h"

#include <limits.h>
#include <stdlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"

namespace ghost::tools {
namespace {

namespace fs = std::filesystem;

// As their links in /proc/PID/fd read: "socket:[12345]".
absl::flat_hash_set<std::string> LocksOf(const std::string& mount) {
  absl::flat_hash_set<std::string> locks;
  absl::StatusOr<std::string> sockets = ReadFile("/proc/net/unix");
  char resolved[PATH_MAX];
  if (!sockets.ok() || realpath(mount.c_str(), resolved) == nullptr) return locks;
  for (absl::string_view line : absl::StrSplit(*sockets, '\n')) {
    // Num RefCount Protocol Flags Type St Inode Path
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() == 8 && absl::StartsWith(words[7], "@ghostd-") && absl::EndsWith(words[7], resolved)) {
      locks.insert(absl::StrCat("socket:[", words[6], "]"));
    }
  }
  return locks;
}

bool HoldsOneOf(const fs::path& process, const absl::flat_hash_set<std::string>& locks) {
  std::error_code error;
  for (fs::directory_iterator fd(process / "fd", error), end; !error && fd != end; fd.increment(error)) {
    std::error_code gone;
    if (locks.contains(fs::read_symlink(fd->path(), gone).string())) return true;
  }
  return false;
}

}  // namespace

std::vector<pid_t> PidsOfGhostd(const std::string& mount) {
  std::vector<pid_t> pids;
  const absl::flat_hash_set<std::string> locks = LocksOf(mount);
  if (locks.empty()) return pids;
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
    int pid;
    if (absl::SimpleAtoi(process->path().filename().string(), &pid) && HoldsOneOf(process->path(), locks)) {
      pids.push_back(pid);
    }
  }
  return pids;
}

std::vector<pid_t> AgentsOfGhostd(const std::string& mount) {
  std::vector<pid_t> agents;
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat(mount, "/stats"));
  if (!text.ok()) return agents;
  const nlohmann::json stats = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!stats.is_object() || !stats.contains("cpus") || !stats["cpus"].is_array()) return agents;
  for (const nlohmann::json& cpu : stats["cpus"]) {
    if (cpu.is_object() && cpu.contains("agent") && cpu["agent"].is_number_integer()) {
      agents.push_back(cpu["agent"].get<pid_t>());
    }
  }
  return agents;
}

}  // namespace ghost::tools
