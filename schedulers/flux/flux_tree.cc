#include "schedulers/flux/flux_tree.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

struct Type {
  absl::string_view name;
  uint32_t type;
  size_t least_children;  // 0: a leaf
  uint32_t limit;         // if none is given; 0: it has none
};

constexpr Type kTypes[] = {
#define LEAF(name) {#name, FLUX_TYPE_##name, 0, 0},
#define BRANCH(name, least, limit) {#name, FLUX_TYPE_##name, least, limit},
    FLUX_LEAVES(LEAF) FLUX_BRANCHES(BRANCH)
#undef LEAF
#undef BRANCH
};

std::string Names(bool leaves) {
  std::vector<absl::string_view> names;
  for (const Type& type : kTypes) {
    if ((type.least_children == 0) == leaves) names.push_back(type.name);
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace

// By recursive descent, no deeper than FLUX_MAX_DEPTH.
class FluxTree::Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<FluxTree> Parse() {
    GHOST_RETURN_IF_ERROR(ParseNode(/*parent=*/0, /*depth=*/1));
    if (at_ != text_.size()) return Error("nothing more");
    const Node& root = tree_.node(FLUX_ROOT);
    if (root.children.empty() || tree_.node(root.children.back()).type != FLUX_TYPE_idle) {
      return absl::InvalidArgumentError("the root's last child must be idle: it takes the CPUs that nobody wants");
    }
    return std::move(tree_);
  }

 private:
  absl::Status ParseNode(int parent, int depth) {
    const Type* type = ReadType();
    if (type == nullptr) return Error(absl::StrCat("one of ", Leaves(), ", ", Branches()));
    if (depth > FLUX_MAX_DEPTH) return Error(absl::StrCat("no node below ", FLUX_MAX_DEPTH, " others"));
    if (tree_.size() + 1 >= FLUX_MAX_SCHEDS) return Error(absl::StrCat("at most ", FLUX_MAX_SCHEDS - 1, " nodes"));
    Node node = {.type = type->type, .parent = parent, .limit = type->limit, .children = {}};
    if (Take(':')) GHOST_RETURN_IF_ERROR(ReadLimit(*type, &node.limit));
    tree_.nodes_.push_back(std::move(node));
    const int number = tree_.size();
    if (parent != 0) tree_.nodes_[static_cast<size_t>(parent) - 1].children.push_back(number);
    if (type->least_children == 0) return absl::OkStatus();
    return ParseChildren(*type, number, depth);
  }

  absl::Status ParseChildren(const Type& type, int number, int depth) {
    if (!Take('(')) return Error(absl::StrCat("'(' and the children of ", type.name));
    do {
      GHOST_RETURN_IF_ERROR(ParseNode(number, depth + 1));
    } while (Take(','));
    if (!Take(')')) return Error("',' or ')'");
    const std::vector<int>& children = tree_.node(number).children;
    if (children.size() < type.least_children || children.size() > FLUX_MAX_CHILDREN) {
      return absl::InvalidArgumentError(
          absl::StrCat(type.name, " has ", type.least_children, " to ", FLUX_MAX_CHILDREN, " children"));
    }
    for (int child : children) {
      if (tree_.node(child).type == FLUX_TYPE_idle && (number != FLUX_ROOT || child != children.back())) {
        return absl::InvalidArgumentError("idle runs no threads: it can only be the root's last child");
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadLimit(const Type& type, uint32_t* limit) {
    if (type.limit == 0) return absl::InvalidArgumentError(absl::StrCat(type.name, " takes no number"));
    const size_t at = at_;
    if (absl::SimpleAtoi(ReadWord(), limit) && *limit > 0) return absl::OkStatus();
    at_ = at;
    return Error("a number from 1 on");
  }
  absl::string_view ReadWord() {
    SkipSpace();
    const size_t begin = at_;
    while (at_ < text_.size() && (absl::ascii_isalnum(text_[at_]) || text_[at_] == '_')) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  // Null: none; nothing is read then.
  const Type* ReadType() {
    const size_t at = at_;
    const absl::string_view name = ReadWord();
    for (const Type& type : kTypes) {
      if (type.name == name) return &type;
    }
    at_ = at;
    return nullptr;
  }
  bool Take(char c) {
    SkipSpace();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    SkipSpace();
    return true;
  }
  void SkipSpace() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }
  absl::Status Error(absl::string_view expected) const {
    return absl::InvalidArgumentError(absl::StrCat("expected ", expected, " at '", text_.substr(at_), "'"));
  }

  const absl::string_view text_;
  size_t at_ = 0;
  FluxTree tree_;
};

absl::StatusOr<FluxTree> FluxTree::Parse(absl::string_view text) { return Parser(text).Parse(); }

std::string FluxTree::Leaves() { return Names(/*leaves=*/true); }
std::string FluxTree::Branches() { return Names(/*leaves=*/false); }

absl::string_view FluxTree::TypeName(uint32_t type) {
  for (const Type& known : kTypes) {
    if (known.type == type) return known.name;
  }
  return "?";
}

std::string FluxTree::PathOf(int number) const {
  const Node& its = node(number);
  std::string name(TypeName(its.type));
  if (its.parent == 0) return name;
  int like_it = 0, place = 0;
  for (int sibling : node(its.parent).children) {
    if (node(sibling).type != its.type) continue;
    ++like_it;
    if (sibling == number) place = like_it;
  }
  if (like_it > 1) absl::StrAppend(&name, place);
  return absl::StrCat(PathOf(its.parent), "/", name);
}

void FluxTree::Store(flux* state) const {
  for (int number = 1; number <= size(); ++number) {
    const Node& its = node(number);
    flux_sched& sched = state->scheds[number];
    sched.type = its.type;
    sched.parent = static_cast<uint32_t>(its.parent);
    sched.limit = its.limit;
    for (size_t i = 0; i < its.children.size(); ++i) sched.child[i] = static_cast<uint32_t>(its.children[i]);
    for (int at = number; at != 0; at = node(at).parent) sched.path |= uint32_t{1} << at;
  }
  state->idle = static_cast<uint32_t>(node(FLUX_ROOT).children.back());
}

}  // namespace ghost
