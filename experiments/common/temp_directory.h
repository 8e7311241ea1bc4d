// TempDirectory: a directory that is gone when the program is, however that ends.
//
// A small child process makes the directory, waits for the end of this one, kill -9 included, and removes it; nothing
// else does, so there is one way only, and no moment without it. It has a session of its own and ignores what can be
// ignored, so that a Ctrl-C does not take both. What it can't survive is that its whole cgroup is killed. Make it while
// the process has one thread.
#ifndef GHOST_EXPERIMENTS_COMMON_TEMP_DIRECTORY_H_
#define GHOST_EXPERIMENTS_COMMON_TEMP_DIRECTORY_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/file.h"
#include "lib/base/process.h"

namespace ghost {

class TempDirectory {
 public:
  // A new directory "<name>.XXXXXX" in $TMPDIR, or in /tmp.
  static absl::StatusOr<TempDirectory> Make(absl::string_view name);

  // Removes it with all that is in it, and waits until that is done.
  ~TempDirectory();
  TempDirectory(TempDirectory&&) noexcept = default;
  TempDirectory& operator=(TempDirectory&&) = delete;
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  TempDirectory(std::string path, ChildProcess remover, ScopedFd pipe)
      : path_(std::move(path)), remover_(std::move(remover)), pipe_(std::move(pipe)) {}

  std::string path_;
  ChildProcess remover_;
  ScopedFd pipe_;  // its closing is the order to remove
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_TEMP_DIRECTORY_H_
