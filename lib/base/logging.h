// CHECK: what must hold unless this project has a bug. Never for user errors, the environment, or another process's
// data: those are absl::Status (lib/base/status.h).
//
//     GHOST_CHECK(task != nullptr) << "gtid " << gtid;      GHOST_DCHECK(…): only without NDEBUG
#ifndef GHOST_LIB_BASE_LOGGING_H_
#define GHOST_LIB_BASE_LOGGING_H_

#include <sstream>

namespace ghost {

class FatalMessage {
 public:
  FatalMessage(const char* file, int line, const char* condition);
  [[noreturn]] ~FatalMessage();  // prints one line and a backtrace to stderr, aborts
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

}  // namespace ghost

#define GHOST_CHECK(condition) \
  while (__builtin_expect(!(condition), 0)) ::ghost::FatalMessage(__FILE__, __LINE__, #condition).stream()

#ifdef NDEBUG
#define GHOST_DCHECK(condition) GHOST_CHECK(true || (condition))
#else
#define GHOST_DCHECK(condition) GHOST_CHECK(condition)
#endif

#endif  // GHOST_LIB_BASE_LOGGING_H_
