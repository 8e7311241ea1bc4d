#include "lib/run_request.h"

#include <iterator>

#include "lib/base/spin.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

// A transaction that its CPU is committing takes microseconds. One that nobody commits for this long never will be: its
// CPU has left the enclave.
constexpr int64_t kFinishTimeoutNs = 100'000'000;
constexpr int kSpinsPerClockRead = 256;

}  // namespace

Outcome OutcomeOf(ghost_txn_state state) {
  switch (state) {
    case GHOST_TXN_COMPLETE:
      return Outcome::kRunning;
    case GHOST_TXN_ABORTED:      // by ourselves
    case GHOST_TXN_AGENT_STALE:  // a message came after the agent's barrier was read
    case GHOST_TXN_POISONED:     // another one of the same ioctl failed
      return Outcome::kRetry;
    case GHOST_TXN_TARGET_STALE:
    case GHOST_TXN_TARGET_NOT_RUNNABLE:
      return Outcome::kTaskChanged;
    case GHOST_TXN_TARGET_ONCPU:
      return Outcome::kTaskBusy;
    case GHOST_TXN_TARGET_NOT_FOUND:
      return Outcome::kTaskGone;
    case GHOST_TXN_INVALID_TARGET:  // also: a task that has just left for another class
      return Outcome::kTaskGone;
    case GHOST_TXN_CPU_OFFLINE:
    case GHOST_TXN_CPU_UNAVAIL:
      return Outcome::kCpuUnavailable;
    case GHOST_TXN_NO_AGENT:
      return Outcome::kNoAgent;
    case GHOST_TXN_READY:
    case GHOST_TXN_INVALID_FLAGS:
    case GHOST_TXN_NOT_PERMITTED:
    case GHOST_TXN_INVALID_CPU:
    case GHOST_TXN_UNSUPPORTED_VERSION:
      break;
  }
  return Outcome::kInvalid;
}

const char* OutcomeName(Outcome outcome) {
  constexpr const char* kNames[] = {"running",         "retry",    "task changed", "task busy", "task gone",
                                    "cpu unavailable", "no agent", "kernel gone",  "invalid"};
  return kNames[static_cast<int>(outcome)];
}

const char* TxnStateName(int32_t state) {
  constexpr const char* kNames[] = {
      "COMPLETE",    "ABORTED",     "TARGET_ONCPU",        "TARGET_STALE",  "TARGET_NOT_FOUND", "TARGET_NOT_RUNNABLE",
      "AGENT_STALE", "CPU_OFFLINE", "CPU_UNAVAIL",         "INVALID_FLAGS", "INVALID_TARGET",   "NOT_PERMITTED",
      "INVALID_CPU", "NO_AGENT",    "UNSUPPORTED_VERSION", "POISONED"};
  if (state == GHOST_TXN_READY) return "READY";
  if (state >= 0) return "CLAIMED";
  const int64_t index = int64_t{state} - GHOST_TXN_COMPLETE;
  return index < static_cast<int64_t>(std::size(kNames)) ? kNames[index] : "UNKNOWN";
}

bool RunRequest::TakeOwnership(int owner) {
  int32_t expected = GHOST_TXN_NO_OWNER;
  return ExchangeShared(txn_->sync_group_owner, &expected, int32_t{owner}) || expected == owner;
}

bool RunRequest::Abort() {
  int32_t expected = GHOST_TXN_READY;
  return ExchangeShared(txn_->state, &expected, int32_t{GHOST_TXN_ABORTED});
}

Outcome RunRequest::FinishSlow(int32_t now) {
  if (now >= 0) {
    const Time start = Time::Now();
    for (int spins = 1; (now = state()) >= 0; ++spins) {
      Pause();
      if (spins % kSpinsPerClockRead != 0) continue;
      if (Time::NanosecondsBetween(start, Time::Now()) < kFinishTimeoutNs) continue;
      if (Abort()) return Outcome::kCpuUnavailable;
      if (state() >= 0) return Outcome::kKernelGone;  // claimed, and never finished
    }
  }
  return OutcomeOf(static_cast<ghost_txn_state>(now));
}

int RunRequest::Ping() {
  ghost_ioc_run argument = {
      .gtid = GHOST_AGENT_GTID, .agent_barrier = 0, .task_barrier = 0, .run_cpu = cpu_, .run_flags = 0};
  return enclave_->Ioctl(GHOST_IOC_RUN, &argument);
}

}  // namespace ghost
