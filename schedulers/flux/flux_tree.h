// The tree of sub-schedulers that agent_flux builds, from text to the table that its BPF programs go by.
//
//     roci(biff, idle)                   a FIFO that takes the CPUs it needs
//     roci(prov:2(biff, biff), idle)     two of them; the first, for threads with a negative nice value, has up to 2
//     CPUs
//
// A node is TYPE(child, …), TYPE:LIMIT(child, …) or a leaf's TYPE; third_party/bpf/flux.h lists the types. Nodes are
// numbered in the order of the text, from 1, the root. What it is not: it knows nothing of what the types do. Pure.
#ifndef GHOST_SCHEDULERS_FLUX_FLUX_TREE_H_
#define GHOST_SCHEDULERS_FLUX_FLUX_TREE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "third_party/bpf/flux.h"

namespace ghost {

class FluxTree {
 public:
  struct Node {
    uint32_t type = FLUX_TYPE_none;
    int parent = 0;      // a number; 0: it is the root
    uint32_t limit = 0;  // a branch's own number
    std::vector<int> children;
  };

  // InvalidArgument says what is wrong, and where: unknown types, leaves with children, branches with too few or too
  // many, too deep or too many, a number where none belongs, no `idle` as the root's last child, or `idle` elsewhere.
  static absl::StatusOr<FluxTree> Parse(absl::string_view text);
  // The types, such as "biff, idle".
  static std::string Leaves();
  static std::string Branches();
  static absl::string_view TypeName(uint32_t type);

  // Numbers 1 to size(), in the order of the text.
  int size() const { return static_cast<int>(nodes_.size()); }
  const Node& node(int number) const { return nodes_[static_cast<size_t>(number) - 1]; }
  bool is_leaf(int number) const { return node(number).type < FLUX_LEAVES_END; }
  // A node's type with the way to it, such as "roci/prov/biff"; where siblings are of one type they are counted
  // ("biff1", "biff2").
  std::string PathOf(int number) const;
  // Writes the configuration of all nodes.
  void Store(flux* state) const;

 private:
  class Parser;
  std::vector<Node> nodes_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_FLUX_FLUX_TREE_H_
