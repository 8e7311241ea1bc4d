#include "lib/base/logging.h"

#include <execinfo.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

namespace ghost {

FatalMessage::FatalMessage(const char* file, int line, const char* condition) {
  stream_ << file << ':' << line << ": check failed: " << condition << ' ';
}

FatalMessage::~FatalMessage() {
  std::cerr << stream_.str() << std::endl;
  void* frames[32];
  backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
  std::abort();
}

}  // namespace ghost
