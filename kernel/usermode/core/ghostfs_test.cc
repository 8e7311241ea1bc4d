// The files of ghostfs. The tables are what a shell saw on a real ABI-69 kernel with 4 CPUs and NR_CPUS 64.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "kernel/usermode/core/core_harness.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

CoreOptions RecordedMachine() {
  CoreOptions options = Harness::Defaults();
  options.nr_cpus = 64;
  return options;
}

// One write, and what the file (if it can be read) says afterwards.
struct Row {
  const char* path;
  const char* text;
  int error;
  const char* after = nullptr;
};

void Replay(Harness& harness, std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.path) + " <- " + row.text);
    const int64_t size = static_cast<int64_t>(std::string_view(row.text).size());
    EXPECT_EQ(harness.Write(row.path, row.text), row.error == 0 ? size : -row.error);
    if (row.after != nullptr) {
      EXPECT_EQ(harness.Read(row.path), row.after);
    }
  }
}

constexpr std::initializer_list<Row> kCreates = {
    {"ctl", "create\n", EINVAL},        {"ctl", "create 1\n", EINVAL},      {"ctl", "create x 69\n", EINVAL},
    {"ctl", "create 1 68\n", ESRCH},    {"ctl", "create 1 69\n", 0},        {"ctl", "create 1 69\n", EEXIST},
    {"ctl", "create 2 69 100\n", 0},    {"ctl", "create 3 69 junk\n", 0},   {"ctl", "create4 69\n", 0},
    {"ctl", "  create 5 69\n", EINVAL}, {"ctl", "create 0x6 69\n", EINVAL}, {"ctl", "create -1 69\n", EINVAL},
    {"ctl", "destroy\n", EINVAL},
};

TEST(GhostfsTest, Create) {
  Harness harness(RecordedMachine());
  EXPECT_THAT(harness.List(""), UnorderedElementsAre("ctl", "version", "stats"));
  EXPECT_EQ(harness.Read("ctl"), "-13");
  Replay(harness, kCreates);
  EXPECT_THAT(harness.List(""),
              UnorderedElementsAre("ctl", "version", "stats", "enclave_1", "enclave_2", "enclave_3", "enclave_4"));
  NodeAttr attr;
  harness.core.GetAttr(static_cast<uint64_t>(harness.Node("enclave_2")), &attr);
  EXPECT_EQ(attr.gid, 100u);
  EXPECT_EQ(attr.mode, 0555u);
  harness.core.GetAttr(static_cast<uint64_t>(harness.Node("enclave_2/ctl")), &attr);
  EXPECT_EQ(attr.gid, 100u);
}

TEST(GhostfsTest, CreateOptions) {
  Harness harness;
  Replay(harness, {
                      {"ctl", "create 1 91 gid=7", 0},
                      {"ctl", "create 2 91 ephemeral gid=8", 0},
                      {"ctl", "create 3 91 9", 0},
                      {"ctl", "create 4 91 junk", ENOENT},
                      {"ctl", "create 4 91 gid=x", EINVAL},
                      {"ctl", "create 4 91 gid=", EINVAL},
                      {"ctl", "create 4 90", ESRCH},
                      {"ctl", "create 18446744073709551615 91", 0},
                  });
  FakeCaller user(50, 50);
  user.user = 1000;
  EXPECT_EQ(harness.Write("ctl", "create 5 91", &user), 11);
  NodeAttr attr;
  harness.core.GetAttr(static_cast<uint64_t>(harness.Node("enclave_2/tasks")), &attr);
  EXPECT_EQ(attr.gid, 8u);
  harness.core.GetAttr(static_cast<uint64_t>(harness.Node("enclave_5/tasks")), &attr);
  EXPECT_EQ(attr.uid, 1000u);
  EXPECT_GT(harness.Node("enclave_18446744073709551615"), 0);
}

struct Listed {
  std::string name;
  uint32_t mode;
  uint64_t size;
};
void PrintTo(const Listed& listed, std::ostream* out) { *out << listed.name << " " << std::oct << listed.mode; }
bool operator==(const Listed& a, const Listed& b) { return a.name == b.name && a.mode == b.mode && a.size == b.size; }

std::vector<Listed> LongList(Harness& harness, const std::string& path) {
  std::vector<Listed> listed;
  for (const std::string& name : harness.List(path)) {
    NodeAttr attr;
    EXPECT_EQ(harness.core.GetAttr(static_cast<uint64_t>(harness.Node(path + "/" + name)), &attr), 0);
    listed.push_back({name, attr.mode, attr.size});
  }
  return listed;
}

TEST(GhostfsTest, ListingOfTheRecording) {
  Harness harness(RecordedMachine());
  Replay(harness, {{"ctl", "create 1 69\n", 0}, {"enclave_1/ctl", "create sw_region 7 0 trailing\n", 0}});
  EXPECT_THAT(LongList(harness, "enclave_1"),
              UnorderedElementsAre(Listed{"abi_version", 0444, 0}, Listed{"agent_online", 0664, 0},
                                   Listed{"commit_at_tick", 0664, 0}, Listed{"cpu_data", 0660, 16384},
                                   Listed{"cpulist", 0664, 0}, Listed{"cpumask", 0664, 0}, Listed{"ctl", 0664, 0},
                                   Listed{"deliver_ticks", 0664, 0}, Listed{"live_dangerously", 0664, 0},
                                   Listed{"runnable_timeout", 0664, 0}, Listed{"status", 0444, 0},
                                   Listed{"sw_regions", 0555, 0}, Listed{"switchto_disabled", 0664, 0},
                                   Listed{"tasks", 0666, 0}, Listed{"wake_on_waker_cpu", 0664, 0}));
  EXPECT_THAT(LongList(harness, "enclave_1/sw_regions"), ElementsAre(Listed{"sw_7", 0440, 2097152}));
}

TEST(GhostfsTest, FilesOfNewerVersions) {
  Harness harness;
  Replay(harness, {{"ctl", "create 1 91\n", 0}});
  EXPECT_EQ(harness.Read("enclave_1/deliver_cpu_availability"), "0");
  EXPECT_EQ(harness.Read("enclave_1/deliver_agent_runnability"), "0");
}

TEST(GhostfsTest, FreshContents) {
  Harness harness(RecordedMachine());
  EXPECT_EQ(harness.Read("version"), "69\n75\n84\n91\n");
  harness.Write("ctl", "create 1 69\n");
  for (auto& [name, text] :
       std::initializer_list<std::pair<std::string, std::string>>{{"abi_version", "69\n"},
                                                                  {"agent_online", "0"},
                                                                  {"commit_at_tick", "0"},
                                                                  {"cpulist", "\n"},
                                                                  {"cpumask", "0\n"},
                                                                  {"ctl", "1"},
                                                                  {"deliver_ticks", "0"},
                                                                  {"live_dangerously", "0"},
                                                                  {"runnable_timeout", "0"},
                                                                  {"status", "version 69\nactive no\nnr_tasks 0\n"},
                                                                  {"switchto_disabled", "0"},
                                                                  {"tasks", ""},
                                                                  {"wake_on_waker_cpu", "0"},
                                                                  {"cpu_data", "-22"}}) {
    EXPECT_EQ(harness.Read("enclave_1/" + name), text) << name;
  }
}

TEST(GhostfsTest, CpuLists) {
  Harness harness(RecordedMachine());
  Replay(harness, kCreates);
  constexpr const char* kList = "enclave_1/cpulist";
  constexpr const char* kMask = "enclave_1/cpumask";
  Replay(harness, {
                      {kList, "0-1\n", 0, "0-1\n"},
                      {kList, "0,2-3\n", 0, "0,2-3\n"},
                      {kList, "\n", 0, "\n"},
                      {kList, "5\n", 0, "\n"},
                      {kList, "63\n", 0, "\n"},
                      {kList, "64\n", ERANGE, "\n"},
                      {kList, "9999\n", ERANGE, "\n"},
                      {kList, "0-9\n", 0, "0-3\n"},
                      {kList, "abc\n", EINVAL, "0-3\n"},
                      {kList, "1-\n", EINVAL, "0-3\n"},
                      {kList, "3-1\n", EINVAL, "0-3\n"},
                      {kList, "0-3:1/2\n", 0, "0,2\n"},
                      {kList, "all\n", EINVAL, "0,2\n"},
                      {kList, "0-1", 0, "0-1\n"},
                      {kMask, "f\n", 0, "f\n"},
                      {kMask, "5\n", 0, "5\n"},
                      {kMask, "0x3\n", EINVAL, "5\n"},
                      {kMask, "3\n", 0, "3\n"},
                      {kMask, "zz\n", EINVAL, "3\n"},
                      {kMask, "10\n", 0, "0\n"},
                      {kMask, "ffffffff\n", 0, "f\n"},
                      {kMask, "1ffffffff\n", EOVERFLOW, "f\n"},
                      {kMask, "0,00000003\n", 0, "3\n"},
                      {kMask, "00000000,00000003\n", 0, "3\n"},
                      {kMask, "1,00000000,00000000\n", EOVERFLOW, "3\n"},
                      {kMask, "\n", 0, "0\n"},
                      {kList, "0-1\n", 0},
                      {"enclave_2/cpulist", "1-2\n", EBUSY, "\n"},
                      {"enclave_2/cpulist", "2\n", 0, "2\n"},
                      {kList, "0-2\n", EBUSY, "0-1\n"},
                  });
  // A CPU that joins gets its transaction wiped; one outside every enclave was never written.
  EXPECT_EQ(harness.Txn(1, 0)->state, GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness.Txn(1, 1)->cpu, 1);
  EXPECT_EQ(harness.Txn(1, 0)->sync_group_owner, -1);
  EXPECT_EQ(harness.Txn(1, 2)->cpu, 2) << "was in it for a while";
  EXPECT_EQ(harness.Txn(2, 3)->state, 0);
}

TEST(GhostfsTest, Tunables) {
  Harness harness(RecordedMachine());
  Replay(harness, {{"ctl", "create 1 69\n", 0}});
  for (const char* name :
       {"commit_at_tick", "deliver_ticks", "live_dangerously", "switchto_disabled", "wake_on_waker_cpu"}) {
    const std::string path = std::string("enclave_1/") + name;
    const char* file = path.c_str();
    Replay(harness, {{file, "1\n", 0, "1"},
                     {file, "0\n", 0, "0"},
                     {file, "2\n", 0, "1"},
                     {file, "-1\n", 0, "1"},
                     {file, "0x0\n", 0, "0"},
                     {file, "010\n", 0, "1"},
                     {file, "abc\n", EINVAL, "1"},
                     {file, "\n", EINVAL, "1"},
                     {file, " 1\n", EINVAL, "1"},
                     {file, "99999999999\n", EINVAL, "1"}});
  }
  constexpr const char* kTimeout = "enclave_1/runnable_timeout";
  Replay(harness, {{kTimeout, "50\n", 0, "50"},
                   {kTimeout, "0x10\n", 0, "16"},
                   {kTimeout, "-1\n", EINVAL, "16"},
                   {kTimeout, "1.5\n", EINVAL, "16"},
                   {kTimeout, "\n", EINVAL, "16"},
                   {kTimeout, "18446744073709551615\n", 0, "-1"},
                   {kTimeout, "0\n", 0, "0"}});
}

TEST(GhostfsTest, ReadOnlyAndWriteOnly) {
  Harness harness(RecordedMachine());
  Replay(harness, {{"ctl", "create 1 69\n", 0},
                   {"enclave_1/ctl", "create sw_region 0 0\n", 0},
                   {"enclave_1/abi_version", "1\n", EACCES},
                   {"enclave_1/status", "1\n", EACCES},
                   {"version", "1\n", EACCES},
                   {"stats", "1\n", EACCES},
                   {"enclave_1/sw_regions/sw_0", "1\n", EACCES},
                   {"enclave_1/sw_regions", "1\n", EISDIR},
                   {"enclave_1/agent_online", "1\n", EINVAL},
                   {"enclave_1/cpu_data", "1\n", EINVAL}});
  EXPECT_EQ(harness.Open("ctl", O_RDONLY), -EACCES);
  EXPECT_EQ(harness.Open("ctl", O_RDWR), -EACCES);
  EXPECT_EQ(harness.Read("enclave_1/sw_regions/sw_0"), "-22");
}

TEST(GhostfsTest, AgentOnline) {
  Harness harness;
  Replay(harness, {{"ctl", "create 1 69\n", 0}});
  const auto watcher = static_cast<uint64_t>(harness.Open("enclave_1/agent_online", O_RDONLY));
  EXPECT_EQ(harness.core.Poll(watcher), static_cast<uint32_t>(POLLIN | POLLOUT));
  const int64_t online = harness.Open("enclave_1/agent_online", O_RDWR);
  ASSERT_GT(online, 0);
  EXPECT_EQ(harness.core.Poll(watcher), static_cast<uint32_t>(POLLIN | POLLOUT | POLLERR | POLLPRI));
  std::string text;
  EXPECT_EQ(harness.core.Read(watcher, 0, 10, &text), 1);
  EXPECT_EQ(text, "1");
  EXPECT_EQ(harness.core.Poll(watcher), static_cast<uint32_t>(POLLIN | POLLOUT)) << "reading re-arms";
  EXPECT_EQ(harness.Read("enclave_1/status"), "version 69\nactive yes\nnr_tasks 0\n");
  EXPECT_EQ(harness.Open("enclave_1/agent_online", O_RDWR), -EBUSY);
  EXPECT_EQ(harness.Read("enclave_1/agent_online"), "1");
  harness.core.Release(static_cast<uint64_t>(online));
  EXPECT_EQ(harness.core.Poll(watcher), static_cast<uint32_t>(POLLIN | POLLOUT | POLLERR | POLLPRI));
  EXPECT_EQ(harness.Read("enclave_1/agent_online"), "0");
}

TEST(GhostfsTest, CtlCommands) {
  Harness harness(RecordedMachine());
  constexpr const char* kCtl = "enclave_1/ctl";
  Replay(harness, {{"ctl", "create 1 69\n", 0}, {"enclave_1/cpulist", "0-1\n", 0}});
  harness.root.cpu = 0;
  Replay(harness, {{kCtl, "create sw_region 0 0\n", 0},
                   {kCtl, "create sw_region 0 0\n", EEXIST},
                   {kCtl, "create sw_region 1 1\n", ENODEV},
                   {kCtl, "create sw_region 7 0 trailing\n", 0},
                   {kCtl, "create sw_region x\n", EINVAL},
                   {kCtl, "become agent\n", EINVAL},
                   {kCtl, "become agent -2\n", EBADF},
                   {kCtl, "become agent -1\n", ENXIO},
                   {kCtl, "become agent 0\n", EBADF},
                   {kCtl, "become agent 77\n", EBADF},
                   {kCtl, "discover tasks\n", 0},
                   {kCtl, "discover tasks x\n", EINVAL},
                   {kCtl, "disable my bpf_prog_load\n", 0},
                   {kCtl, "destroyx\n", EINVAL},
                   {kCtl, "\n", EINVAL},
                   {kCtl, "bogus\n", EINVAL}});
  EXPECT_THAT(harness.driver.TakeLog(),
              ElementsAre("log gf_ctl_write: bad cmd :create sw_region x:", "log gf_ctl_write: bad cmd :become agent:",
                          "log gf_ctl_write: bad cmd :discover tasks x:", "log gf_ctl_write: bad cmd :destroyx:",
                          "log gf_ctl_write: bad cmd ::", "log gf_ctl_write: bad cmd :bogus:"));
}

TEST(GhostfsTest, TasksFile) {
  Harness harness(RecordedMachine());
  constexpr const char* kTasks = "enclave_1/tasks";
  harness.driver.may_attach = {{999999, ESRCH}, {2, EINVAL}, {60, EPERM}};
  harness.driver.attach[309] = {.state = AttachResult::State::kBlocked};
  Replay(harness, {{"ctl", "create 1 69\n", 0},
                   {"ctl", "create 2 69\n", 0},
                   {"enclave_1/ctl", "create sw_region 0 0\n", 0},
                   {kTasks, "999999\n", ESRCH},
                   {kTasks, "abc\n", EINVAL},
                   {kTasks, "-5\n", ESRCH},
                   {kTasks, "\n", EINVAL},
                   {kTasks, "0x\n", EINVAL},
                   {kTasks, "99999999999\n", ERANGE},
                   {kTasks, "2\n", EINVAL},
                   {kTasks, "60\n", EPERM},
                   {kTasks, "309\n", 0, "309\n"},
                   {kTasks, "309\n", EPERM},
                   {"enclave_2/tasks", "310\n", ENOMEM}});
  EXPECT_EQ(harness.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 1\n");
  const int64_t gtid = harness.GtidOf(309);
  harness.core.OnTaskDeparted(gtid);
  EXPECT_EQ(harness.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 0\n");
  Replay(harness, {{kTasks, "309\n", 0}});
  EXPECT_EQ(harness.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 1\n");
  EXPECT_EQ(harness.GtidOf(309), gtid) << "a thread keeps its gtid";
}

TEST(GhostfsTest, TasksTakeGtidsFrom70On) {
  Harness harness;
  harness.MakeEnclave(1, "0");
  const int64_t gtid = harness.GtidOf(100);
  EXPECT_GT(harness.Write("enclave_1/tasks", std::to_string(gtid)), 0);
  EXPECT_EQ(harness.Read("enclave_1/tasks"), "100\n");
  EXPECT_EQ(harness.Write("enclave_1/tasks", std::to_string(gtid + 1)), -ESRCH);
  EXPECT_EQ(harness.Write("enclave_1/tasks", "0"), 1);
  EXPECT_EQ(harness.Read("enclave_1/tasks"), "100\n1\n");
}

TEST(GhostfsTest, KernfsManners) {
  Harness harness;
  Replay(harness, {{"ctl", "create 1 69\n", 0}});
  // Longer writes are cut.
  const std::string text = "0" + std::string(5000, '\n');
  EXPECT_EQ(harness.Write("enclave_1/cpulist", text), 4096);
  // A read starts anew at offset 0 only, and ends at the end.
  const auto handle = static_cast<uint64_t>(harness.Open("enclave_1/cpulist", O_RDWR));
  std::string out;
  EXPECT_EQ(harness.core.Read(handle, 0, 1, &out), 1);
  EXPECT_EQ(harness.core.Write(handle, "1-3", harness.root), 3);
  EXPECT_EQ(harness.core.Read(handle, 1, 100, &out), 1);
  EXPECT_EQ(out, "\n");
  EXPECT_EQ(harness.core.Read(handle, 2, 100, &out), 0);
  EXPECT_EQ(harness.core.Read(handle, 4097, 100, &out), -EINVAL);
  EXPECT_EQ(harness.core.Read(handle, 0, 100, &out), 4);
  EXPECT_EQ(out, "1-3\n");
  EXPECT_EQ(harness.core.Read(99999, 0, 1, &out), -EBADF);
  EXPECT_EQ(harness.Node("nothing"), -ENOENT);
  EXPECT_EQ(harness.Node("version/x"), -ENOTDIR);
}

TEST(GhostfsTest, AfterTheEnclave) {
  Harness harness;
  harness.MakeEnclave(1, "0-1", 69);
  const auto ctl = static_cast<uint64_t>(harness.Open("enclave_1/ctl", O_RDWR));
  const auto status = static_cast<uint64_t>(harness.Open("enclave_1/status", O_RDONLY));
  EXPECT_EQ(harness.Write("enclave_1/ctl", "destroy\n"), 8);
  EXPECT_THAT(harness.List(""), UnorderedElementsAre("ctl", "version", "stats"));
  std::string text;
  EXPECT_EQ(harness.core.Read(status, 0, 100, &text), -ENODEV);
  EXPECT_EQ(harness.core.Write(ctl, "destroy\n", harness.root), -ENODEV);
  EXPECT_EQ(harness.core.Ioctl(ctl, GHOST_IOC_NULL, {}, harness.root, 1).result, -ENODEV);
  EXPECT_EQ(harness.core.Poll(status), static_cast<uint32_t>(POLLIN | POLLOUT | POLLERR | POLLPRI));
  harness.core.Release(ctl);
  harness.core.Release(status);
  EXPECT_THAT(harness.driver.region_names, IsEmpty());
  // Its CPUs and its name are free.
  harness.MakeEnclave(1, "0-3");
}

TEST(GhostfsTest, StatsAreJson) {
  Harness harness;
  harness.MakeEnclave(1, "0-1");
  TestAgent agent(&harness, 1, 0, 7);
  harness.Enter(1, 100);
  const std::string stats = harness.Read("stats");
  EXPECT_THAT(stats, ::testing::HasSubstr("\"tasks\": 1, \"queues\": 1"));
  EXPECT_THAT(stats, ::testing::HasSubstr("{\"cpu\": 0, \"enclave\": 1, \"agent\": 7, \"agent_running\": true"));
  EXPECT_THAT(stats, ::testing::HasSubstr("\"messages\": {\"TASK_NEW\": 1}, \"dropped\": 0"));
}

TEST(GhostfsTest, Limits) {
  CoreOptions options = Harness::Defaults();
  options.max_enclaves = 2;
  options.max_status_word_regions = 2;
  Harness harness(options);
  Replay(harness, {{"ctl", "create 1 91", 0}, {"ctl", "create 2 91", 0}, {"ctl", "create 3 91", ENOMEM}});
  Replay(harness, {{"enclave_1/ctl", "create sw_region 0 0", 0},
                   {"enclave_2/ctl", "create sw_region 0 0", 0},
                   {"enclave_2/ctl", "create sw_region 1 0", ENOMEM},
                   {"enclave_1/ctl", "destroy", 0},
                   {"enclave_2/ctl", "create sw_region 1 0", 0},
                   {"ctl", "create 1 91", 0}});
  harness.driver.regions_left = 0;
  Replay(harness, {{"enclave_1/ctl", "create sw_region 0 0", ENOMEM}, {"enclave_1/ctl", "destroy", 0}});
  Replay(harness, {{"ctl", "create 3 91", ENOMEM}});
}

}  // namespace
}  // namespace ghost::usermode
