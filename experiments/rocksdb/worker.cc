#include "experiments/rocksdb/worker.h"

#include "lib/base/time.h"

namespace ghost {

void Worker::Run() {
  hints_->Begin(index());
  do {
    DoRequests();  // none, at first
    // In this order: from SetIdle on it may get no CPU, see scheduler_hints.h.
    mailbox_.Done();
    dispatcher_->Ring();
    hints_->SetIdle(index());
  } while (mailbox_.Wait(options_.waiting));
  ended_.store(true, std::memory_order_release);
}

void Worker::DoRequests() {
  Time now = Time::Now();
  for (Request& request : mailbox_.taken()) {
    request.started = now;
    if (!handler_->Handle(request, &scratch_)) ++failed_;
    now = Time::Now();
    request.finished = now;
    stats_->Add(request);
  }
}

}  // namespace ghost
