// What tests of hints share: gtids for threads of a machine without a ghost kernel, who records hints, and clients that
// are processes of their own.
#ifndef GHOST_SCHEDULERS_HINTS_HINTS_TEST_BASE_H_
#define GHOST_SCHEDULERS_HINTS_HINTS_TEST_BASE_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/time.h"
#include "lib/gtid.h"
#include "lib/work_hints.h"

namespace ghost {

// The gtid of a thread, as a kernel could have made it; one thread may stand for many tasks.
inline int64_t GtidOf(pid_t tid, int64_t sequence = 1) { return (int64_t{tid} << Gtid::SeqnumBits()) | sequence; }
inline pid_t OwnTid() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// Keeps the last hint of each task, and counts.
class HintRecorder : public HintSource::Visitor {
 public:
  void OnHint(int64_t gtid, const WorkHint& hint) override {
    ++count_;
    last_[gtid] = hint;
  }
  int count() const { return count_; }
  // How many since the last call.
  int TakeCount() { return std::exchange(count_, 0); }
  std::optional<WorkHint> Last(int64_t gtid) const {
    const auto found = last_.find(gtid);
    return found == last_.end() ? std::nullopt : std::optional<WorkHint>(found->second);
  }
  const std::map<int64_t, WorkHint>& all() const { return last_; }

 private:
  int count_ = 0;
  std::map<int64_t, WorkHint> last_;
};

// A child that runs `body` and takes turns with the test: what it Says the test Expects, and the other way round.
class TestClient {
 public:
  // One end of two pipes. When the other end is gone, it says nothing more, and Await is false.
  struct Line {
    ScopedFd in, out;
    bool Say(char word = '.') const { return write(out.get(), &word, 1) == 1; }
    std::optional<char> Hear() const {
      char word;
      if (read(in.get(), &word, 1) != 1) return std::nullopt;
      return word;
    }
    // Whether the other end is gone, or should be: a minute has passed since `start`.
    bool IsOver(Time start) const {
      pollfd end = {.fd = in.get(), .events = POLLIN};
      return poll(&end, 1, 0) != 0 || Time::Now() - start > absl::Minutes(1);
    }
  };

  explicit TestClient(absl::FunctionRef<void(const Line&)> body) {
    int to_client[2], to_test[2];
    EXPECT_EQ(pipe2(to_client, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(to_test, O_CLOEXEC), 0);
    Line theirs = {.in = ScopedFd(to_client[0]), .out = ScopedFd(to_test[1])};
    line_ = {.in = ScopedFd(to_test[0]), .out = ScopedFd(to_client[1])};
    absl::StatusOr<ChildProcess> child = ChildProcess::Fork([&] {
      line_ = Line{};
      body(theirs);
      return 0;
    });
    EXPECT_TRUE(child.ok()) << child.status();
    child_.emplace(*std::move(child));
    pid_ = child_->pid();
  }

  // Also when it has ended.
  pid_t pid() const { return pid_; }
  const ScopedFd& pidfd() const { return child_->pidfd(); }
  const Line& line() const { return line_; }
  // Lets it end: its next Hear is nothing.
  ExitState End() {
    line_.out.reset();
    return child_->Wait();
  }

 private:
  Line line_;
  std::optional<ChildProcess> child_;
  pid_t pid_ = 0;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_HINTS_HINTS_TEST_BASE_H_
