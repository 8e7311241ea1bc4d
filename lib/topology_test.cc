#include "lib/topology.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

using ::testing::HasSubstr;

// A sysfs of a made-up machine, in a directory of its own.
struct Machine {
  int cpus = 1;
  int nodes = 1;
  CpuSet offline = {};
  std::function<std::string(int)> siblings = [](int cpu) { return absl::StrCat(cpu); };
  std::function<std::string(int)> l3 = nullptr;  // none: no level-3 cache
  std::function<int(int)> node = [](int) { return 0; };
};

// Thousands of small files: in memory if possible.
std::filesystem::path ScratchDirectory() {
  const std::filesystem::path memory = "/dev/shm";
  const std::filesystem::path base =
      access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::path(::testing::TempDir());
  return base / absl::StrCat("ghost_topology_test.", getpid());
}

class TopologyTest : public ::testing::Test {
 protected:
  TopologyTest() : sys_(ScratchDirectory()) { std::filesystem::remove_all(sys_); }
  ~TopologyTest() override { std::filesystem::remove_all(sys_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = sys_ / "devices/system" / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }

  absl::StatusOr<Topology> Read(const Machine& machine) {
    const CpuSet online = CpuSet::FirstN(machine.cpus) - machine.offline;
    Write("cpu/present", absl::StrCat("0-", machine.cpus - 1));
    Write("cpu/online", ToCpuList(online));
    std::vector<CpuSet> nodes(machine.nodes);
    for (int cpu : online) {
      const std::string directory = absl::StrCat("cpu/cpu", cpu);
      Write(directory + "/topology/thread_siblings_list", machine.siblings(cpu));
      if (cpu == 0) Write(directory + "/cache/index0/level", "1");
      if (machine.l3) {
        // Not index3: the level counts, not the number of the directory.
        Write(directory + "/cache/index2/level", "3");
        Write(directory + "/cache/index2/shared_cpu_list", machine.l3(cpu));
      }
      nodes[machine.node(cpu)].Add(cpu);
    }
    for (int node = 0; node < machine.nodes; ++node) {
      Write(absl::StrCat("node/node", node, "/cpulist"), ToCpuList(nodes[node]));
    }
    return Topology::FromSysfs(sys_.string());
  }

  std::filesystem::path sys_;
};

// 112 CPUs, two sockets, siblings half the machine apart, one L3 a socket.
Machine TwoSockets() {
  Machine machine;
  machine.cpus = 112;
  machine.nodes = 2;
  machine.siblings = [](int cpu) { return absl::StrCat(cpu % 56, ",", cpu % 56 + 56); };
  machine.node = [](int cpu) { return cpu % 56 / 28; };
  machine.l3 = [](int cpu) { return cpu % 56 < 28 ? "0-27,56-83" : "28-55,84-111"; };
  return machine;
}

TEST_F(TopologyTest, TwoSocketsWithSmt) {
  absl::StatusOr<Topology> topology = Read(TwoSockets());
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_cpus(), 112);
  EXPECT_EQ(topology->all_cpus(), CpuSet::FirstN(112));
  EXPECT_EQ(topology->num_cores(), 56);
  EXPECT_EQ(topology->all_cores(), CpuSet::FirstN(56));
  EXPECT_EQ(topology->smt_count(), 2);
  EXPECT_FALSE(topology->consecutive_smt_numbering());
  EXPECT_EQ(topology->num_numa_nodes(), 2);
  EXPECT_EQ(topology->highest_numa_node(), 1);
  EXPECT_EQ(ToCpuList(topology->CpusOnNode(1)), "28-55,84-111");
  EXPECT_TRUE(topology->CpusOnNode(2).empty());
  EXPECT_TRUE(topology->CpusOnNode(-1).empty());

  const Topology::Cpu cpu = topology->cpu(90);
  ASSERT_TRUE(cpu.valid());
  EXPECT_EQ(cpu.id(), 90);
  EXPECT_EQ(cpu.core(), 34);
  EXPECT_EQ(cpu.smt_index(), 1);
  EXPECT_EQ(cpu.numa_node(), 1);
  EXPECT_EQ(cpu.siblings(), CpuSet({34, 90}));
  EXPECT_EQ(cpu.l3_siblings(), topology->CpusOnNode(1));
  EXPECT_EQ(cpu.ToString(), "cpu 90 (core 34, smt 1, node 1)");
}

TEST_F(TopologyTest, CpusThatDoNotExist) {
  absl::StatusOr<Topology> topology = Read(TwoSockets());
  ASSERT_TRUE(topology.ok()) << topology.status();
  for (int cpu : {-1, 112, CpuSet::kMaxCpus - 1, CpuSet::kMaxCpus, 1 << 20}) {
    EXPECT_FALSE(topology->cpu(cpu).valid()) << cpu;
    EXPECT_EQ(topology->cpu(cpu).ToString(), "no cpu");
  }
}

TEST_F(TopologyTest, NoL3) {
  absl::StatusOr<Topology> topology = Read({.cpus = 4});
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->smt_count(), 1);
  EXPECT_TRUE(topology->consecutive_smt_numbering());
  for (int cpu : topology->all_cpus()) {
    EXPECT_TRUE(topology->cpu(cpu).l3_siblings().empty());
    EXPECT_EQ(topology->cpu(cpu).siblings(), CpuSet({cpu}));
    EXPECT_EQ(topology->cpu(cpu).core(), cpu);
  }
}

TEST_F(TopologyTest, OfflineCpus) {
  Machine machine = TwoSockets();
  machine.offline = {0, 57, 111};
  absl::StatusOr<Topology> topology = Read(machine);
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_cpus(), 109);
  EXPECT_EQ(topology->offline_cpus(), machine.offline);
  EXPECT_FALSE(topology->cpu(0).valid());
  // The lists that sysfs gives still name the sibling that is away.
  EXPECT_EQ(topology->cpu(56).siblings(), CpuSet({56}));
  EXPECT_EQ(topology->cpu(56).smt_index(), 0);
  EXPECT_EQ(topology->cpu(1).siblings(), CpuSet({1}));
  EXPECT_FALSE(topology->cpu(28).l3_siblings().Contains(111));
  EXPECT_FALSE(topology->CpusOnNode(1).Contains(111));
  EXPECT_EQ(topology->num_cores(), 56);
}

TEST_F(TopologyTest, FourThreadsACore) {
  Machine machine;
  machine.cpus = 32;
  machine.siblings = [](int cpu) { return absl::StrCat(cpu / 4 * 4, "-", cpu / 4 * 4 + 3); };
  absl::StatusOr<Topology> topology = Read(machine);
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->smt_count(), 4);
  EXPECT_EQ(topology->num_cores(), 8);
  EXPECT_TRUE(topology->consecutive_smt_numbering());
  EXPECT_EQ(ToCpuList(topology->all_cores()), "0,4,8,12,16,20,24,28");
  EXPECT_EQ(topology->cpu(7).siblings(), CpuSet({4, 5, 6, 7}));
  EXPECT_EQ(topology->cpu(7).smt_index(), 3);
  EXPECT_EQ(topology->cpu(7).core(), 1);
}

TEST_F(TopologyTest, MoreThan512Cpus) {
  Machine machine;
  machine.cpus = 768;
  machine.nodes = 8;
  machine.siblings = [](int cpu) { return absl::StrCat(cpu % 384, ",", cpu % 384 + 384); };
  machine.node = [](int cpu) { return cpu % 384 / 48; };
  machine.l3 = [](int cpu) {
    const int first = cpu % 384 / 8 * 8;
    return absl::StrCat(first, "-", first + 7, ",", first + 384, "-", first + 391);
  };
  absl::StatusOr<Topology> topology = Read(machine);
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_cpus(), 768);
  EXPECT_EQ(topology->num_numa_nodes(), 8);
  EXPECT_EQ(topology->cpu(767).numa_node(), 7);
  EXPECT_EQ(topology->cpu(767).siblings(), CpuSet({383, 767}));
  EXPECT_EQ(ToCpuList(topology->cpu(767).l3_siblings()), "376-383,760-767");
}

TEST_F(TopologyTest, SingleCpu) {
  absl::StatusOr<Topology> topology = Read({});
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_cpus(), 1);
  EXPECT_EQ(topology->num_cores(), 1);
  EXPECT_EQ(topology->ToString(), "Core map\n(  0 )\n");
}

TEST_F(TopologyTest, OnlyTheListOfCpus) {
  Write("cpu/online", "0-2");
  absl::StatusOr<Topology> topology = Topology::FromSysfs(sys_.string());
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->Export(), Topology::Flat(3).Export());
}

TEST_F(TopologyTest, CpusBeyondTheCapacityAreLeftOut) {
  Write("cpu/online", "0-2047,4000");
  absl::StatusOr<Topology> topology = Topology::FromSysfs(sys_.string());
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_cpus(), CpuSet::kMaxCpus);
}

TEST_F(TopologyTest, NoSysfsIsAnErrorWithAHint) {
  absl::StatusOr<Topology> topology = Topology::FromSysfs(sys_.string());
  ASSERT_FALSE(topology.ok());
  EXPECT_FALSE(HintOf(topology.status()).empty());
  Write("cpu/online", "what?");
  EXPECT_FALSE(Topology::FromSysfs(sys_.string()).ok());
}

// CPU 1 says that it shares a core with 0, 0 says that it doesn't; 2 names a CPU that isn't there.
TEST_F(TopologyTest, ContradictionsAreMadeConsistent) {
  Machine machine;
  machine.cpus = 3;
  machine.siblings = [](int cpu) { return cpu == 1 ? "0-1" : cpu == 2 ? "2,77" : "5-"; };
  absl::StatusOr<Topology> topology = Read(machine);
  ASSERT_TRUE(topology.ok()) << topology.status();
  CpuSet seen;
  for (int cpu : topology->all_cpus()) {
    const CpuSet& siblings = topology->cpu(cpu).siblings();
    EXPECT_TRUE(siblings.Contains(cpu));
    for (int sibling : siblings) EXPECT_EQ(topology->cpu(sibling).siblings(), siblings);
    seen |= siblings;
  }
  EXPECT_EQ(seen, topology->all_cpus());
}

TEST(TopologyOfRecords, ExportRoundTrip) {
  std::vector<Topology::Record> records;
  for (int cpu : {9, 2, 3, 8}) {
    const bool low = cpu < 8;
    records.push_back({.cpu = cpu,
                       .numa_node = low ? 0 : 3,
                       .siblings = low ? CpuSet({2, 3}) : CpuSet({8, 9}),
                       .l3_siblings = low ? CpuSet() : CpuSet({8, 9})});
  }
  absl::StatusOr<Topology> topology = Topology::Custom(records, {0});
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_cpus(), 4);
  EXPECT_EQ(topology->cpu(9).core(), 1);
  EXPECT_EQ(topology->num_numa_nodes(), 2);
  EXPECT_EQ(topology->highest_numa_node(), 3);
  EXPECT_TRUE(topology->CpusOnNode(1).empty());
  EXPECT_EQ(topology->CpusOnNode(3), CpuSet({8, 9}));

  absl::StatusOr<Topology> again = Topology::Custom(topology->Export(), topology->offline_cpus());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Export(), topology->Export());
  EXPECT_EQ(again->offline_cpus(), CpuSet({0}));
}

TEST(TopologyOfRecords, BadRecords) {
  EXPECT_FALSE(Topology::Custom({{.cpu = -1}}).ok());
  EXPECT_FALSE(Topology::Custom({{.cpu = CpuSet::kMaxCpus}}).ok());
  EXPECT_FALSE(Topology::Custom({{.cpu = 1}, {.cpu = 1}}).ok());
  EXPECT_FALSE(Topology::Custom({{.cpu = 1, .numa_node = -1}}).ok());
  EXPECT_FALSE(Topology::Custom({{.cpu = 1, .numa_node = 1 << 30}}).ok());
}

TEST(TopologyFlat, Shape) {
  const Topology topology = Topology::Flat(8);
  EXPECT_EQ(topology.all_cpus(), CpuSet::FirstN(8));
  EXPECT_EQ(topology.num_cores(), 8);
  EXPECT_EQ(topology.num_numa_nodes(), 1);
  EXPECT_EQ(topology.CpusOnNode(0), CpuSet::FirstN(8));
  EXPECT_EQ(Topology::Flat(0).num_cpus(), 0);
  EXPECT_EQ(Topology::Flat(1 << 20).num_cpus(), CpuSet::kMaxCpus);
}

TEST(TopologyFlat, StaysValidWhenMoved) {
  Topology topology = Topology::Flat(4);
  const Topology::Cpu cpu = topology.cpu(2);
  const Topology moved = std::move(topology);
  EXPECT_EQ(cpu.id(), 2);
  EXPECT_EQ(moved.cpu(2).siblings(), CpuSet({2}));
}

TEST(TopologyFlat, CoreMap) {
  EXPECT_EQ(Topology::Flat(10).ToString(),
            "Core map\n(  0 )\t(  1 )\t(  2 )\t(  3 )\t(  4 )\t(  5 )\t(  6 )\t(  7 )\n(  8 )\t(  9 )\n");
  absl::StatusOr<Topology> smt = Topology::Custom({{.cpu = 0, .siblings = {0, 4}}, {.cpu = 4, .siblings = {0, 4}}});
  ASSERT_TRUE(smt.ok());
  EXPECT_EQ(smt->ToString(), "Core map\n(  0  4 )\n");
}

TEST(ParseCpus, Good) {
  const Topology topology = Topology::Flat(8);
  const struct {
    const char* text;
    CpuSet cpus;
  } cases[] = {
      {"0", {0}}, {"0-3", {0, 1, 2, 3}}, {"0-1,7", {0, 1, 7}}, {"5,5", {5}}, {"0-7:1/4", {0, 4}}, {" 1-2\n", {1, 2}},
  };
  for (const auto& c : cases) {
    absl::StatusOr<CpuSet> cpus = topology.ParseCpus(c.text);
    ASSERT_TRUE(cpus.ok()) << c.text << ": " << cpus.status();
    EXPECT_EQ(*cpus, c.cpus) << c.text;
  }
}

TEST(ParseCpus, ErrorsNameWhatIsWrong) {
  absl::StatusOr<Topology> topology = Topology::Custom({{.cpu = 0}, {.cpu = 1}, {.cpu = 2}}, {3});
  ASSERT_TRUE(topology.ok());
  const struct {
    const char* text;
    const char* message;
    const char* hint;
  } cases[] = {
      {"", "no CPUs are given", "0-3,8"},
      {" ", "no CPUs are given", "0-3,8"},
      {"foo", "\"foo\" is not a CPU or a range of CPUs", "0-3,8"},
      {"0,1-", "\"1-\" is not a CPU or a range of CPUs", "0-3,8"},
      {"-1", "\"-1\" is not a CPU or a range of CPUs", "0-3,8"},
      {"3-1", "the range \"3-1\" runs backwards", "0-3,8"},
      {"0-99999", "CPU 99999 does not exist", "the CPUs here are 0-2"},
      {"0-9", "CPU 9 does not exist", "the CPUs here are 0-2"},
      {"7", "CPU 7 does not exist", "the CPUs here are 0-2"},
      {"0,,1", "\"0,,1\" has an empty part", "0-3,8"},
      {"0-3", "CPU 3 is offline", "/sys/devices/system/cpu/cpu3/online"},
      {"99999999999999999999", "", ""},
      {"0x1", "\"0x1\" is not a CPU or a range of CPUs", "0-3,8"},
  };
  for (const auto& c : cases) {
    absl::StatusOr<CpuSet> cpus = topology->ParseCpus(c.text);
    ASSERT_FALSE(cpus.ok()) << c.text;
    EXPECT_THAT(std::string(cpus.status().message()), HasSubstr(c.message)) << c.text;
    EXPECT_THAT(HintOf(cpus.status()), HasSubstr(c.hint)) << c.text;
    EXPECT_EQ(ExitCodeOf(cpus.status()), ExitCode::kUsage) << c.text;
  }
}

TEST(ThisMachine, IsUnderstood) {
  absl::StatusOr<Topology> topology = Topology::FromSysfs();
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_cpus(), sysconf(_SC_NPROCESSORS_ONLN));
  for (int cpu : topology->all_cpus()) EXPECT_TRUE(topology->cpu(cpu).siblings().Contains(cpu));
}

}  // namespace
}  // namespace ghost
