// The two processes of `ghostctl run`: a front that the user sees, and a keeper that is the parent of everything
// started.
//
// The front only waits, and hands the keeper what signals it gets. Because the keeper outlives it, everything is still
// taken down in order when the front is killed with SIGKILL; and because what was started dies with its parent, also
// when the keeper is.
//
//     shell ── front ═══ socket ═══ keeper ─┬─ ghostd
//                                           ├─ agent
//                                           └─ the user's program (in the front's process group)
#ifndef GHOST_UTIL_CTL_FRONT_H_
#define GHOST_UTIL_CTL_FRONT_H_

#include <signal.h>

#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "lib/base/file.h"

namespace ghost::ctl {

// The keeper's end.
class FrontLink {
 public:
  FrontLink(ScopedFd socket, const sigset_t& original_mask) : socket_(std::move(socket)), mask_(original_mask) {}

  struct Signal {
    int number = 0;
    // A key at the terminal: every process of the foreground group got it, the user's program too.
    bool from_terminal = false;
  };
  // What to poll for, until gone().
  int fd() const { return socket_.get(); }
  // The next signal that the front got, if there is one; looks whether the front is gone.
  std::optional<Signal> Read();
  bool gone() const { return gone_; }
  // Ends the front with this exit status: at once, or (unless the keeper stays for what it has started) after the
  // keeper.
  void Finish(int exit_status, bool keeper_stays);

  // The signal mask that ghostctl was started with, for what is started.
  const sigset_t& original_mask() const { return mask_; }

 private:
  ScopedFd socket_;
  sigset_t mask_;
  bool gone_ = false;
};

// Forks the keeper, which runs `keep` and exits with it, and is its front. Returns the exit status that the keeper
// gave; an error if the keeper died without a word. The caller must be single-threaded.
absl::StatusOr<int> RunBehindFront(const std::function<void(FrontLink*)>& keep);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_FRONT_H_
