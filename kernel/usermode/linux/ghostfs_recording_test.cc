// Replays what a shell saw on a real ghost kernel (testdata/ghostfs_abi69.txt) on a mounted ghostfs of ours: the core
// with a fake driver, the FUSE server, and the kernel's VFS between it and the shell.
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/fake_driver.h"
#include "kernel/usermode/linux/event_loop.h"
#include "kernel/usermode/linux/fuse_mount.h"
#include "kernel/usermode/linux/fuse_server.h"
#include "kernel/usermode/linux/region_store.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/status.h"

namespace ghost::usermode {
namespace {

constexpr char kRecording[] = "kernel/usermode/linux/testdata/ghostfs_abi69.txt";
constexpr char kMount[] = "/mnt/ghost";

class MemoryDriver : public FakeDriver {
 public:
  explicit MemoryDriver(RegionStore* regions) : regions_(regions) {}
  std::optional<Region> AllocateRegion(const std::string& name, size_t size) override {
    return regions_->Allocate(name, size);
  }
  void FreeRegion(uint64_t id) override { regions_->Free(id); }

 private:
  RegionStore* const regions_;
};

// In the child: until it is killed, or unmounted.
int Serve(int ready_fd) {
  auto regions = RegionStore::Create();
  if (!regions.ok()) return Report("server", regions.status());
  MemoryDriver driver(regions->get());
  CoreOptions options;
  options.num_cpus = 4;
  options.nr_cpus = 64;
  options.abi_versions = {69};
  Core core(options, &driver);
  auto mount = FuseMount::Create(kMount);
  if (!mount.ok()) return Report("server", mount.status());
  EventLoop loop;
  FuseServer server(mount->TakeDevice(), &core, regions->get(), &loop, [&loop] { loop.Stop(); });
  if (write(ready_fd, "r", 1) != 1) return 1;
  loop.Run();
  core.CheckInvariants();
  return 0;
}

struct Step {
  std::string command;
  std::vector<std::string> output;
};

// What may differ between two machines, shells and file systems, and what ghostd documents as different, goes.
std::string Normalized(std::string line) {
  // Of an error only what it is: who says it, and how, is the shell's.
  static const std::regex error(
      "^.*: (Invalid argument|Permission denied|File exists|No such process|No such device.*|"
      "Device or resource busy|Is a directory|Numerical result out of range|"
      "Value too large for.*|Bad file descriptor|Cannot allocate memory)$");
  static const std::regex date(" [A-Z][a-z]{2} +[0-9]+ [0-9:]+ ");
  line = std::regex_replace(line, error, "$1");
  line = std::regex_replace(line, date, " DATE ");
  line = absl::StrReplaceAll(line, {{kMount, "$G"}});
  line = std::regex_replace(line, std::regex(" +"), " ");
  return std::string(absl::StripAsciiWhitespace(line));
}

// Blocks in use (`total`): a file in tmpfs has some. `stats` is ghostd's own.
bool Differs(absl::string_view line) { return absl::StartsWith(line, "total ") || absl::EndsWith(line, "stats"); }

std::vector<Step> Parse(const std::string& text) {
  std::vector<Step> steps;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, "+ ")) {
      steps.push_back({std::string(line), {}});
    } else if (!steps.empty() && !line.empty() && !Differs(line)) {
      steps.back().output.push_back(Normalized(std::string(line)));
    }
  }
  return steps;
}

// One shell does all of it, as in the recording: descriptors stay open from step to step.
std::string Script(const std::vector<Step>& steps) {
  std::string script = absl::StrCat("G=", kMount,
                                    "\nexport LC_ALL=C\n"
                                    "ls() { command ls -L \"$@\"; }\n"  // behind our links are the recorded files
                                    "od() { command od -An \"$@\"; }\n");
  for (const Step& step : steps) {
    absl::StrAppend(&script, "echo; cat <<'END'\n+ ", step.command, "\nEND\n{ ", step.command,
                    "\n} 2>&1 || echo '[exit 1]'\n");
  }
  return script;
}

std::string RunShell(const std::string& script) {
  char path[] = "/mnt/script-XXXXXX";
  ScopedFd file(mkstemp(path));
  EXPECT_EQ(write(file.get(), script.data(), script.size()), static_cast<ssize_t>(script.size()));
  FILE* shell = popen(absl::StrCat("bash ", path).c_str(), "re");
  std::string output;
  char buffer[4096];
  for (size_t size; (size = fread(buffer, 1, sizeof(buffer), shell)) > 0;) output.append(buffer, size);
  EXPECT_EQ(pclose(shell), 0);
  return output;
}

TEST(GhostfsRecording, AShellSeesWhatItSawOnARealKernel) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to have a mount namespace";
  if (access("/dev/fuse", F_OK) != 0) GTEST_SKIP() << "no /dev/fuse";
  auto recording = ReadFile(kRecording);
  ASSERT_TRUE(recording.ok()) << recording.status();
  const std::vector<Step> expected = Parse(*recording);
  ASSERT_GT(expected.size(), 200u);

  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(mount("tmpfs", "/mnt", "tmpfs", 0, nullptr), 0);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  auto server = ChildProcess::Fork([&] { return Serve(ready[1]); });
  ASSERT_TRUE(server.ok());
  close(ready[1]);
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1) << "the server has ended: " << server->Wait().ToString();

  const std::vector<Step> seen = Parse(RunShell(Script(expected)));
  ASSERT_EQ(seen.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(seen[i].command, expected[i].command);
    EXPECT_EQ(seen[i].output, expected[i].output) << "step " << i << ": " << expected[i].command;
  }
  ASSERT_TRUE(DetachMount(kMount));
  EXPECT_EQ(server->Wait().ToString(), "exit code 0");
}

}  // namespace
}  // namespace ghost::usermode
