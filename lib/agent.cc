#include "lib/agent.h"

#include <pthread.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/logging.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// The last agent of a CPU that is being killed, or whose process has just withdrawn, takes this long at most.
constexpr absl::Duration kDyingAgentTimeout = absl::Seconds(5);
// The kernel lets go of an agent a moment after its thread can be joined.
constexpr absl::Duration kReleaseTimeout = absl::Seconds(5);

}  // namespace

Agent::Agent(Enclave* enclave, int cpu, Channel* channel, Body body)
    : enclave_(enclave), cpu_(cpu), channel_(channel), body_(std::move(body)) {}

Agent::~Agent() { Terminate(); }

void Agent::SetStage(Stage stage) {
  std::lock_guard<std::mutex> lock(mutex_);
  stage_ = stage;
  stage_changed_.notify_all();
}

void Agent::StartBegin() {
  SetStage(Stage::kStarting);
  thread_ = std::thread([this] { ThreadMain(); });
}

absl::Status Agent::StartComplete() {
  std::unique_lock<std::mutex> lock(mutex_);
  stage_changed_.wait(lock, [this] { return stage_ != Stage::kStarting; });
  return start_status_;
}

void Agent::Release() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stage_ == Stage::kAgent) stage_ = Stage::kReleased;
  stage_changed_.notify_all();
}

absl::Status Agent::BecomeAgent() {
  const int queue_fd = channel_ == nullptr ? -1 : channel_->fd();
  int result = 0;
  PollUntil(kDyingAgentTimeout, [&] {
    result = enclave_->kernel().BecomeAgent(cpu_, queue_fd);
    return result != -EBUSY || finished();
  });
  if (result == 0) {
    GHOST_ASSIGN_OR_RETURN(StatusWord word, enclave_->status_words().OfAgent(cpu_));
    std::lock_guard<std::mutex> lock(mutex_);
    status_word_ = word;
    return absl::OkStatus();
  }
  absl::Status status =
      ErrnoStatus(-result, absl::StrCat("cannot become the agent of cpu ", cpu_, " in ", enclave_->directory()));
  switch (result) {
    case -EBUSY:
      return WithExitCode(WithHint(status, "another agent process still holds it: end that one first"),
                          ExitCode::kBusy);
    case -EPERM:
      return WithExitCode(WithHint(status, "run it as root, or with CAP_SYS_NICE"), ExitCode::kPermission);
    default:
      return status;
  }
}

void Agent::ThreadMain() {
  char name[16];
  std::snprintf(name, sizeof(name), "ap_task_%d", cpu_);
  pthread_setname_np(pthread_self(), name);
  absl::Status status = BecomeAgent();
  const bool ok = status.ok();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    start_status_ = std::move(status);
  }
  SetStage(ok ? Stage::kAgent : Stage::kFailed);
  if (!ok) return;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    stage_changed_.wait(lock, [this] { return stage_ == Stage::kReleased || finished(); });
  }
  body_(*this);
}

void Agent::TerminateBegin() {
  // Under the lock, so that a thread that is about to wait for Release sees it.
  std::lock_guard<std::mutex> lock(mutex_);
  finished_.store(true, std::memory_order_release);
  stage_changed_.notify_all();
  // Fails if the kernel is gone or the thread has left already: then there is nobody to wake.
  if (thread_.joinable() && status_word_.valid()) run_request().Ping();
}

void Agent::TerminateComplete() {
  if (!thread_.joinable()) return;
  thread_.join();
  if (!status_word_.valid()) return;
  // Only a kernel that still has the enclave sets can_free; with any other there is nothing to free.
  const bool released = PollUntil(kReleaseTimeout, [this] {
    return status_word_.can_free() || !status_word_.in_use() || !enclave_->kernel().ReadFile("abi_version").ok();
  });
  if (released && status_word_.can_free()) enclave_->status_words().Free(status_word_);
  status_word_ = StatusWord();
}

}  // namespace ghost
