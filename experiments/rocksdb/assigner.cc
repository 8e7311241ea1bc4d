#include "experiments/rocksdb/assigner.h"

#include <algorithm>
#include <utility>

namespace ghost {

Assigner::Assigner(std::vector<SyntheticNetwork*> networks, std::vector<Worker*> workers, SchedulerHints* hints)
    : networks_(std::move(networks)), hints_(hints), busy_(std::move(workers)), free_(busy_.size()) {}

Assigner::Result Assigner::AssignOne(Time now) {
  if (!HasWaiting()) return Result::kNoRequest;
  Result result = Result::kNoWorker;
  Worker* const worker = FindFree(&result);
  if (worker == nullptr) return result;
  std::vector<Request>& requests = worker->mailbox().requests();
  int count = 0;
  while (count < static_cast<int>(requests.size()) && Receive(now, &requests[count])) ++count;
  const Time assigned = Time::Now();
  for (int i = 0; i < count; ++i) requests[i].assigned = assigned;
  hints_->SetRunnable(worker->index());
  worker->mailbox().Put(count);
  busy_.push_back(worker);
  return Result::kAssigned;
}

Worker* Assigner::FindFree(Result* result) {
  if (num_free_ == 0) CollectFree(result);
  if (num_free_ == 0) return nullptr;
  Worker* const worker = free_[first_free_];
  first_free_ = (first_free_ + 1) % free_.size();
  --num_free_;
  return worker;
}

void Assigner::CollectFree(Result* result) {
  const auto still_busy = [&](Worker* worker) {
    if (!worker->mailbox().IsEmpty()) return true;
    if (!hints_->IsIdle(worker->index())) {
      *result = Result::kWorkerFinishing;
      return true;
    }
    free_[(first_free_ + num_free_++) % free_.size()] = worker;
    return false;
  };
  busy_.erase(std::remove_if(busy_.begin(), busy_.end(), [&](Worker* worker) { return !still_busy(worker); }),
              busy_.end());
}

bool Assigner::Receive(Time now, Request* request) {
  for (size_t i = 0; i < networks_.size(); ++i) {
    SyntheticNetwork* const network = networks_[next_network_];
    next_network_ = (next_network_ + 1) % networks_.size();
    if (network->Receive(now, request)) return true;
  }
  return false;
}

bool Assigner::HasWaiting() {
  return std::any_of(networks_.begin(), networks_.end(),
                     [](SyntheticNetwork* network) { return network->HasWaiting(); });
}

}  // namespace ghost
