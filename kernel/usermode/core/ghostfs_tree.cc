#include "kernel/usermode/core/ghostfs_tree.h"

#include <algorithm>
#include <utility>

#include "kernel/usermode/core/kernel.h"
#include "lib/base/logging.h"

namespace ghost::usermode {

GhostfsTree::GhostfsTree(Kernel& kernel) : kernel_(kernel) {
  auto root = std::make_unique<Node>();
  root->id = ++last_node_;
  root->mode = 0555;
  root->uid = kernel.state.options.uid;
  root->gid = kernel.state.options.gid;
  nodes_[root->id] = std::move(root);
}

Node* GhostfsTree::Find(uint64_t id) {
  auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : found->second.get();
}

Node* GhostfsTree::FindChild(uint64_t directory, std::string_view name) {
  Node* node = Find(directory);
  if (node == nullptr) return nullptr;
  for (uint64_t id : node->children) {
    if (Node* child = Find(id); child->name == name) return child;
  }
  return nullptr;
}

uint64_t GhostfsTree::Add(uint64_t directory, Node node) {
  Node* parent = Find(directory);
  GHOST_CHECK(parent != nullptr) << node.name;
  node.id = ++last_node_;
  node.parent = directory;
  parent->children.push_back(node.id);
  nodes_[node.id] = std::make_unique<Node>(std::move(node));
  return last_node_;
}

void GhostfsTree::Remove(uint64_t id) {
  auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  std::unique_ptr<Node> node = std::move(found->second);
  nodes_.erase(found);
  if (Node* parent = Find(node->parent); parent != nullptr) std::erase(parent->children, id);
  for (uint64_t child : std::exchange(node->children, {})) Remove(child);
  kernel_.state.driver->NotifyNode(id);
}

void GhostfsTree::Notify(uint64_t id) {
  Node* node = Find(id);
  if (node == nullptr) return;
  ++node->notifications;
  kernel_.state.driver->NotifyNode(id);
}

uint64_t GhostfsTree::Open(Handle handle) {
  handles_[++last_handle_] = std::make_unique<Handle>(std::move(handle));
  return last_handle_;
}

Handle* GhostfsTree::FindHandle(uint64_t id) {
  auto found = handles_.find(id);
  return found == handles_.end() ? nullptr : found->second.get();
}

}  // namespace ghost::usermode
