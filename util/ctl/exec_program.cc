#include <errno.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "util/ctl/command.h"

namespace ghost::ctl {

int ExecProgram(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const std::string& arg : argv) pointers.push_back(const_cast<char*>(arg.c_str()));
  pointers.push_back(nullptr);
  execvp(pointers[0], pointers.data());
  const int error = errno;
  Report("ghostctl", ErrnoStatus(error, absl::StrCat("cannot run ", argv[0])));
  return error == ENOENT ? 127 : 126;
}

}  // namespace ghost::ctl
