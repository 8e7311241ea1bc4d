// The CPUs that a kernel offers and how they lie together: SMT siblings, shared L3 caches, NUMA nodes.
//
// A Topology is an immutable value made from the real machine's sysfs, from a directory that looks like it (tests),
// from explicit records, or flat (ghostd's virtual CPUs). It describes the CPUs that are online when it is made; CPUs
// that exist but are offline are known by number only, so that a message can say so. What it is not: it isn't a
// singleton and doesn't follow hotplug. Whatever a machine says is accepted: missing files mean no SMT, no shared
// cache, or one node, and groups that contradict each other are made consistent. CPUs from CpuSet::kMaxCpus on are left
// out.
//
// Thread-safe: immutable. All queries are O(1) and fit for a schedule pass, unless said otherwise.
//
//     GHOST_ASSIGN_OR_RETURN(Topology topology, Topology::FromSysfs("/sys"));
//     GHOST_ASSIGN_OR_RETURN(CpuSet cpus, topology.ParseCpus("0-3,8"));
//     for (int cpu : topology.cpu(0).l3_siblings()) …
#ifndef GHOST_LIB_TOPOLOGY_H_
#define GHOST_LIB_TOPOLOGY_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/cpu_set.h"
#include "lib/kernel.h"

namespace ghost {

class Topology {
 public:
  // What is known of one CPU.
  struct Record {
    int cpu = -1;
    int core = -1;      // cores are numbered 0, 1, … in the order of their lowest CPU
    int smt_index = 0;  // its place among its siblings, 0 = the lowest CPU
    int numa_node = 0;
    CpuSet siblings = {};     // the CPUs of its core, itself included
    CpuSet l3_siblings = {};  // the CPUs that share its L3 cache, itself included; empty if there is no L3

    friend bool operator==(const Record&, const Record&) = default;
  };

  // A handle of one CPU, as cheap as a pointer; valid while its Topology lives.
  class Cpu {
   public:
    Cpu() = default;
    explicit Cpu(const Record* record) : record_(record) {}
    // False for a CPU that doesn't exist or is offline; no other call is allowed then but ToString.
    bool valid() const { return record_ != nullptr; }
    int id() const { return record_->cpu; }
    int core() const { return record_->core; }
    int smt_index() const { return record_->smt_index; }
    int numa_node() const { return record_->numa_node; }
    const CpuSet& siblings() const { return record_->siblings; }
    const CpuSet& l3_siblings() const { return record_->l3_siblings; }
    // "cpu 3 (core 1, smt 1, node 0)", or "no cpu".
    std::string ToString() const;

   private:
    const Record* record_ = nullptr;
  };

  // Reads <sys>/devices/system/{cpu,node}. Fails only if not even the list of CPUs can be read.
  static absl::StatusOr<Topology> FromSysfs(const std::string& sys = "/sys");
  // From explicit records, each CPU once; `core` and `smt_index` are computed from the siblings.
  static absl::StatusOr<Topology> Custom(const std::vector<Record>& records, const CpuSet& offline = {});
  // CPUs 0..num_cpus-1, each a core of its own, one node, no L3 (virtual CPUs share nothing that is known of).
  static Topology Flat(int num_cpus);
  // Of the kernel in use: this machine's for a ghost kernel, flat with as many CPUs as it offers for ghostd.
  static absl::StatusOr<Topology> OfKernel(Kernel* kernel);

  const CpuSet& all_cpus() const { return all_cpus_; }  // those online
  const CpuSet& offline_cpus() const { return offline_cpus_; }
  int num_cpus() const { return static_cast<int>(records_.size()); }
  Cpu cpu(int id) const { return CpuSet::InRange(id) && slots_[id] >= 0 ? Cpu(&records_[slots_[id]]) : Cpu(); }

  int num_cores() const { return num_cores_; }
  // The lowest CPU of each core.
  const CpuSet& all_cores() const { return all_cores_; }
  // The greatest number of siblings of any CPU.
  int smt_count() const { return smt_count_; }
  // Whether the siblings of each core have consecutive numbers (0,1 rather than 0,56).
  bool consecutive_smt_numbering() const { return consecutive_smt_numbering_; }

  int num_numa_nodes() const { return num_numa_nodes_; }
  int highest_numa_node() const { return static_cast<int>(nodes_.size()) - 1; }
  // Empty for a node that doesn't exist.
  const CpuSet& CpusOnNode(int node) const;

  // A user's CPU list, such as --ghost_cpus'. The error is one line that names the part that is wrong (exit code 2).
  absl::StatusOr<CpuSet> ParseCpus(absl::string_view text) const;

  // What this topology was made of, in ascending order of CPUs: Custom(Export()) equals it. Not for a schedule pass.
  std::vector<Record> Export() const { return records_; }
  // The map of cores as the agents print it: a line "Core map", then "(  0  4 )" for each core, eight a line.
  std::string ToString() const;

 private:
  Topology() { slots_.fill(-1); }
  // Takes records in ascending order of CPUs; makes their groups consistent and derives all else.
  static Topology Build(std::vector<Record> records, const CpuSet& offline);
  void GroupCores();
  absl::Status CheckExists(const CpuSet& cpus) const;

  std::vector<Record> records_;
  std::array<int16_t, CpuSet::kMaxCpus> slots_;  // CPU -> index in records_, or -1
  std::vector<CpuSet> nodes_;
  CpuSet all_cpus_;
  CpuSet offline_cpus_;
  CpuSet all_cores_;
  int num_cores_ = 0;
  int num_numa_nodes_ = 0;
  int smt_count_ = 0;
  bool consecutive_smt_numbering_ = true;
};

}  // namespace ghost

#endif  // GHOST_LIB_TOPOLOGY_H_
