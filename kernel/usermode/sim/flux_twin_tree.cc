// The tree of flux's twin: what third_party/bpf/flux_tree.bpf.h and the sub-schedulers' headers are.
#include "kernel/usermode/sim/flux_twin.h"

namespace ghost::sim {

// ---- Nodes ----

bool FluxTwin::Node::Wants(int cpu) const {
  auto found = pinned.find(cpu);
  return waiting > 0 || (found != pinned.end() && found->second > 0);
}

bool FluxTwin::Node::IsAbove(const Node* other) const {
  while (other != nullptr && other != this) other = other->parent;
  return other == this;
}

FluxTwin::Node* FluxTwin::Node::ChildForThreads(size_t i) const {
  Node* found = nullptr;
  for (size_t j = 0; j <= i && j < children.size(); ++j) {
    if (children[j]->type != Type::kIdle) found = children[j];
  }
  return found;
}

FluxTwin::Node* FluxTwin::Node::FirstThatWants(size_t i, int cpu) const {
  for (; i < children.size(); ++i) {
    if (children[i]->Wants(cpu)) return children[i];
  }
  return nullptr;
}

// ---- What differs between the types ----

FluxTwin::Node* FluxTwin::Choose(const Node& branch, int cpu) const {
  if (branch.type != Type::kProv) return branch.FirstThatWants(0, cpu);
  Node* first = branch.children[0];
  if (first->cpus.size() < branch.limit && first->Wants(cpu)) return first;
  if (Node* other = branch.FirstThatWants(1, cpu); other != nullptr) return other;
  return first->Wants(cpu) ? first : nullptr;
}

bool FluxTwin::Takes(const Node& branch, const Node* to, const Node* from) const {
  if (from == Idle()) return true;
  if (branch.type != Type::kProv) return to < from;
  const Node* first = branch.children[0];
  if (to == first) return first->cpus.size() < branch.limit;
  if (from == first) return first->cpus.size() > branch.limit;
  return to < from;
}

FluxTwin::Node* FluxTwin::RouteStep(const Node& branch, int nice) {
  if (branch.type != Type::kProv) return branch.ChildForThreads(0);
  return branch.ChildForThreads(nice < 0 ? 0 : nice == 0 ? 1 : 2);
}

FluxTwin::Found FluxTwin::LeafFirst(const Node& leaf, int cpu) const {
  if (leaf.type == Type::kIdle) return {.keep = !Root()->Wants(cpu)};
  return {.task = leaf.queue.empty() ? nullptr : leaf.queue.front()};
}

bool FluxTwin::TurnIsOver(const Node& leaf, int cpu, int64_t ran_ns) const {
  return leaf.type != Type::kIdle && ran_ns >= slice_.Get() && leaf.Wants(cpu);
}

// ---- The tree ----

void FluxTwin::GiveCpu(Node* node, int cpu) {
  node->cpus.insert(cpu);
  cpus_[cpu].at = node;
}

void FluxTwin::ReturnCpu(int cpu) {
  Node* node = cpus_[cpu].at;
  node->cpus.erase(cpu);
  cpus_[cpu].at = node->parent;
}

void FluxTwin::TakeCpuUp(int cpu, Node* top) {
  while (cpus_[cpu].at != nullptr && cpus_[cpu].at != top) ReturnCpu(cpu);
}

void FluxTwin::Enqueue(Task* task) {
  if (task->waits != Task::kNot || !task->runnable || task->nowhere || task->cpu >= 0) return;
  task->order = order_++;
  if (task->home >= 0) {
    task->waits = Task::kAtHome;
    task->leaf->pinned_queue[task->home].push_back(task);
    for (Node* node = task->leaf; node != nullptr; node = node->parent) ++node->pinned[task->home];
  } else {
    task->waits = Task::kAnywhere;
    task->leaf->queue.push_back(task);
    for (Node* node = task->leaf; node != nullptr; node = node->parent) ++node->waiting;
  }
}

void FluxTwin::Dequeue(Task* task) {
  if (task->waits == Task::kAtHome) {
    task->leaf->pinned_queue[task->home].remove(task);
    for (Node* node = task->leaf; node != nullptr; node = node->parent) --node->pinned[task->home];
  } else if (task->waits == Task::kAnywhere) {
    task->leaf->queue.remove(task);
    for (Node* node = task->leaf; node != nullptr; node = node->parent) --node->waiting;
  }
  task->waits = Task::kNot;
}

void FluxTwin::ForgetCpu(Task* task) {
  if (task->cpu >= 0 && cpus_[task->cpu].current == task) cpus_[task->cpu].current = nullptr;
  task->cpu = -1;
}

FluxTwin::Node* FluxTwin::Route(int nice) {
  Node* at = Root();
  while (!at->is_leaf()) at = RouteStep(*at, nice);
  return at;
}

FluxTwin::Found FluxTwin::FirstOf(const Node& leaf, int cpu) const {
  const Found first = LeafFirst(leaf, cpu);
  auto found = leaf.pinned_queue.find(cpu);
  if (found == leaf.pinned_queue.end() || found->second.empty()) return first;
  Task* pinned = found->second.front();
  return first.task == nullptr || pinned->order < first.task->order ? Found{.task = pinned} : first;
}

FluxTwin::Found FluxTwin::StepOf(int cpu) {
  Node* at = cpus_[cpu].at;
  if (at == nullptr) {
    GiveCpu(Root(), cpu);
    return {};
  }
  if (at->is_leaf()) {
    const Found first = FirstOf(*at, cpu);
    if (first.task == nullptr && !first.keep) ReturnCpu(cpu);
    return first;
  }
  Node* child = Choose(*at, cpu);
  if (child == nullptr && at == Root()) child = Idle();
  child != nullptr ? GiveCpu(child, cpu) : ReturnCpu(cpu);
  return {};
}

FluxTwin::Node* FluxTwin::WhoGives(Node* leaf, int cpu) {
  Node* at = cpus_[cpu].at;
  const Node* from = nullptr;
  while (at != nullptr && !at->IsAbove(leaf)) {
    from = at;
    at = at->parent;
  }
  if (at == nullptr || from == nullptr) return nullptr;
  const Node* to = leaf;
  while (to->parent != at) to = to->parent;
  return Takes(*at, to, from) ? at : nullptr;
}

bool FluxTwin::WantsMore(const Node* to) {
  size_t on_their_way = to->parent->cpus.size();
  for (const Node* child : to->parent->children) on_their_way -= child->cpus.size();
  return to->waiting > on_their_way;
}

FluxTwin::Node* FluxTwin::FindGiver(Node* leaf, Node** top) {
  for (Node* child = leaf; child->parent != nullptr && WantsMore(child); child = child->parent) {
    const std::vector<Node*>& siblings = child->parent->children;
    for (auto from = siblings.rbegin(); from != siblings.rend(); ++from) {
      if (*from == child || (*from)->cpus.empty() || !Takes(*child->parent, child, *from)) continue;
      *top = child->parent;
      return *from;
    }
  }
  return nullptr;
}

FluxTwin::Node* FluxTwin::WhoWouldTake(int cpu) {
  for (Node* from = cpus_[cpu].at; from != nullptr && from->parent != nullptr; from = from->parent) {
    for (Node* to : from->parent->children) {
      if (to == from || !to->Wants(cpu) || !Takes(*from->parent, to, from)) continue;
      if (to->pinned[cpu] > 0 || WantsMore(to)) return from->parent;
    }
  }
  return nullptr;
}

}  // namespace ghost::sim
