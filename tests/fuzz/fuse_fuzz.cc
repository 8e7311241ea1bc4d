// FUSE requests of any bytes, as if the kernel sent them, to the server over the real core: nothing is mounted.
//
// The server looks into the memory of the process that a request names, and writes there. It must never be any process
// but ours: a request's pid is always 0 or one of two children that only sleep.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/chaos_driver.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/dialect.h"
#include "kernel/usermode/linux/event_loop.h"
#include "kernel/usermode/linux/fuse_server.h"
#include "kernel/usermode/linux/region_store.h"
#include "lib/base/logging.h"
#include "tests/fuzz/fuzz_input.h"

namespace ghost::usermode {
namespace {

// What lies in the children's memory, for arguments behind pointers.
struct Arguments {
  uint64_t mask[2] = {3, 0};
  ghost_agent_wakeup wakeups[2] = {{0, 0}, {1, 0}};
  itimerspec time = {{0, 1000}, {0, 1000}};
};
alignas(64) Arguments arguments;

// Sleeps until we are gone. Its memory is written to.
pid_t StartChild() {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (getppid() == parent) pause();
  _exit(0);
}

pid_t CallerPid(uint32_t which) {
  static const pid_t kChildren[] = {0, StartChild(), StartChild()};
  return kChildren[which % 3];
}

RegionStore& Regions() {
  static const std::unique_ptr<RegionStore> kRegions = [] {
    auto regions = RegionStore::Create();
    GHOST_CHECK(regions.ok()) << regions.status().ToString();
    return *std::move(regions);
  }();
  return *kRegions;
}

// Files of the store, kept from one input to the next: making one costs more than all else.
class RegionPool {
 public:
  std::optional<Region> Take(size_t size) {
    std::vector<Region>& regions = free_[size];
    if (regions.empty()) return Regions().Allocate("fuzz", size);
    const Region region = regions.back();
    regions.pop_back();
    std::memset(region.address, 0, std::min<size_t>(size, 64 * 1024));  // no input fills more status words
    return region;
  }
  void Return(const Region& region) { free_[region.size].push_back(region); }

 private:
  std::map<size_t, std::vector<Region>> free_;
};

RegionPool& Pool() {
  static RegionPool pool;
  return pool;
}

class WiredDriver : public ChaosDriver {
 public:
  ~WiredDriver() override {
    for (const auto& [id, region] : regions) Pool().Return(region);
  }
  std::optional<Region> AllocateRegion(const std::string&, size_t size) override {
    std::optional<Region> region = Pool().Take(size);
    if (region.has_value()) regions.emplace(region->id, *region);
    return region;
  }
  void FreeRegion(uint64_t id) override {
    auto region = regions.extract(id);
    GHOST_CHECK(!region.empty()) << id;
    Pool().Return(region.mapped());
  }
  void CompleteRequest(uint64_t request, int result) override { server->Complete(request, result); }
  void NotifyNode(uint64_t node) override { server->NotifyNode(node); }

  std::map<uint64_t, Region> regions;
  FuseServer* server = nullptr;
};

class FuseFuzzer {
 public:
  explicit FuseFuzzer(fuzz::FuzzInput& input) : input_(input) {
    int sockets[2];
    GHOST_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    kernel_.reset(sockets[0]);
    core_ = std::make_unique<Core>(
        CoreOptions{.num_cpus = 2, .abi_versions = {69, 91}, .max_enclaves = 3, .max_queues = 8, .max_tasks = 16},
        &driver_);
    server_ = std::make_unique<FuseServer>(ScopedFd(sockets[1]), core_.get(), &Regions(), &loop_, [] {});
    driver_.server = server_.get();
    driver_.random.seed(input.Value<uint8_t>());
  }
  ~FuseFuzzer() { server_.reset(); }

  void Prepare();
  void Step();

 private:
  template <typename T>
  static std::string Bytes(const T& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  std::string Body(uint32_t opcode);
  std::string WriteBody();
  std::string IoctlBody();
  void Send(uint32_t opcode, uint64_t node, uint32_t pid, const std::string& body, bool lie = false);
  void ThreadEvent();

  fuzz::FuzzInput& input_;
  WiredDriver driver_;
  EventLoop loop_;
  ScopedFd kernel_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<FuseServer> server_;
  uint64_t unique_ = 0;
};

void FuseFuzzer::Send(uint32_t opcode, uint64_t node, uint32_t pid, const std::string& body, bool lie) {
  fuse_in_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + body.size()) + (lie ? 1 : 0);
  header.opcode = opcode;
  header.unique = ++unique_;
  header.nodeid = node;
  header.pid = pid;
  const std::string packet = Bytes(header) + body;
  GHOST_CHECK(send(kernel_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) > 0) << errno;
  loop_.RunOnce(0);
  // Every answer is whole, and its length what it says.
  static char answer[256 * 1024];
  ssize_t size;
  while ((size = recv(kernel_.get(), answer, sizeof(answer), MSG_DONTWAIT)) > 0) {
    fuse_out_header out;
    GHOST_CHECK(static_cast<size_t>(size) >= sizeof(out));
    memcpy(&out, answer, sizeof(out));
    GHOST_CHECK(out.len == static_cast<size_t>(size));
    GHOST_CHECK(out.error > -512 && (out.error <= 0 || out.unique == 0)) << out.error;
  }
  for (Tid tid : std::exchange(driver_.killed, {})) core_->OnAgentExited(tid);
  core_->CheckInvariants();
}

// An enclave with one agent, and its files open: handles 1 and 2 are ctl files.
void FuseFuzzer::Prepare() {
  const auto write = [](const char* text) {
    return Bytes(fuse_write_in{.size = static_cast<uint32_t>(strlen(text))}) + text;
  };
  const auto open = [this](uint64_t node, int flags) {
    Send(FUSE_OPEN, node, static_cast<uint32_t>(CallerPid(1)),
         Bytes(fuse_open_in{.flags = static_cast<uint32_t>(flags), .open_flags = 0}));
  };
  const int64_t root_ctl = core_->Lookup(Core::kRootNode, "ctl");
  open(static_cast<uint64_t>(root_ctl), O_WRONLY);
  std::string create = write("create 1 91");
  reinterpret_cast<fuse_write_in*>(create.data())->fh = 1;
  Send(FUSE_WRITE, static_cast<uint64_t>(root_ctl), static_cast<uint32_t>(CallerPid(1)), create);
  const int64_t directory = core_->Lookup(Core::kRootNode, "enclave_1");
  GHOST_CHECK(directory > 0);
  const int64_t ctl = core_->Lookup(static_cast<uint64_t>(directory), "ctl");
  const int64_t cpus = core_->Lookup(static_cast<uint64_t>(directory), "cpulist");
  open(static_cast<uint64_t>(ctl), O_RDWR);
  open(static_cast<uint64_t>(cpus), O_RDWR);
  for (auto [handle, text] : {std::pair<uint64_t, const char*>{3, "0-1"}, {2, "create sw_region 0 0"}}) {
    std::string body = write(text);
    reinterpret_cast<fuse_write_in*>(body.data())->fh = handle;
    Send(FUSE_WRITE, static_cast<uint64_t>(ctl), static_cast<uint32_t>(CallerPid(1)), body);
  }
}

std::string FuseFuzzer::WriteBody() {
  constexpr const char* kTexts[] = {"create 2 69",
                                    "create sw_region 0 0",
                                    "become agent 0 -1",
                                    "become agent -1",
                                    "discover tasks",
                                    "destroy",
                                    "0-1",
                                    "1",
                                    "1000",
                                    "0"};
  const std::string text = input_.Below(2) == 0 ? input_.Pick(kTexts) : input_.Text(255);
  fuse_write_in in = {};
  in.fh = input_.Below(32);
  in.size = input_.Below(16) == 0 ? input_.Value<uint32_t>() : static_cast<uint32_t>(text.size());
  return Bytes(in) + text;
}

std::string FuseFuzzer::IoctlBody() {
  constexpr unsigned long kCommands[] = {GHOST_IOC_SW_GET_INFO,
                                         GHOST_IOC_SW_FREE,
                                         GHOST_IOC_CREATE_QUEUE,
                                         GHOST_IOC_ASSOC_QUEUE,
                                         GHOST_IOC_SET_DEFAULT_QUEUE,
                                         GHOST_IOC_CONFIG_QUEUE_WAKEUP,
                                         GHOST_IOC_GET_CPU_TIME,
                                         GHOST_IOC_COMMIT_TXN,
                                         GHOST_IOC_SYNC_GROUP_TXN,
                                         GHOST_IOC_TIMERFD_SETTIME,
                                         GHOST_IOC_RUN,
                                         GHOSTD_IOC_TASK_AFFINITY};
  fuse_ioctl_in in = {};
  in.fh = input_.Below(32);
  in.flags = input_.Below(16) == 0 ? input_.Value<uint32_t>() : 0;
  in.cmd = input_.Below(16) == 0 ? input_.Value<uint32_t>() : static_cast<uint32_t>(input_.Pick(kCommands));
  const bool lies = input_.Below(16) == 0;
  in.in_size = lies ? input_.Value<uint32_t>() : _IOC_SIZE(in.cmd);
  in.out_size = lies ? input_.Value<uint32_t>() : _IOC_SIZE(in.cmd);
  std::string argument = input_.Text(64);
  if (!lies) argument.resize(in.in_size);
  if (argument.size() >= 8 && input_.Below(2) == 0) {  // a pointer, where the structs have theirs
    const uint64_t address = reinterpret_cast<uint64_t>(&arguments) + 8 * input_.Below(4);
    memcpy(argument.data() + 8 * input_.Below(std::min<uint32_t>(4, static_cast<uint32_t>(argument.size() / 8))),
           &address, sizeof(address));
  }
  return Bytes(in) + argument;
}

std::string FuseFuzzer::Body(uint32_t opcode) {
  constexpr const char* kNames[] = {"ctl", "enclave_1", "tasks", "sw_regions", "queue_1", "cpu_data", "sw_0", "stats"};
  constexpr uint32_t kFlags[] = {O_RDONLY, O_WRONLY, O_RDWR};
  if (input_.Below(16) == 0) return input_.Text(255);
  switch (opcode) {
    case FUSE_LOOKUP:
      return (input_.Below(2) == 0 ? input_.Pick(kNames) : input_.Text(64)) + '\0';
    case FUSE_OPEN:
      return Bytes(fuse_open_in{.flags = input_.Pick(kFlags), .open_flags = 0});
    case FUSE_WRITE:
      return WriteBody();
    case FUSE_IOCTL:
      return IoctlBody();
    case FUSE_READ:
    case FUSE_READDIR: {
      fuse_read_in in = {};
      in.fh = input_.Below(32);
      in.offset = input_.Below(4) == 0 ? input_.Value<uint64_t>() : input_.Below(200);
      in.size = input_.Below(4) == 0 ? input_.Value<uint32_t>() : 4096;
      return Bytes(in);
    }
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR: {
      fuse_release_in in = {};
      in.fh = input_.Below(32);
      return Bytes(in);
    }
    case FUSE_POLL: {
      fuse_poll_in in = {};
      in.fh = input_.Below(32);
      in.kh = input_.Below(4);
      in.flags = input_.Below(2);
      return Bytes(in);
    }
    case FUSE_INTERRUPT: {
      fuse_interrupt_in in = {};
      in.unique = unique_ - input_.Below(8);
      return Bytes(in);
    }
    default:
      return input_.Text(128);
  }
}

// A thread of an enclave does something, as its state allows.
void FuseFuzzer::ThreadEvent() {
  if (driver_.threads.empty()) return;
  auto found = std::next(driver_.threads.begin(), input_.Below(static_cast<uint32_t>(driver_.threads.size())));
  const int64_t gtid = found->first;
  ChaosDriver::Thread& thread = found->second;
  const bool on_cpu = thread.life == ChaosDriver::Life::kEntering || thread.life == ChaosDriver::Life::kRunning;
  const uint32_t what = input_.Below(4);
  if (what == 0) {
    driver_.Gone(gtid);
    core_->OnTaskExited(gtid);
  } else if (on_cpu) {
    if (thread.cpu >= 0) driver_.on_cpu.erase(thread.cpu);
    thread = {.life = what == 1 ? ChaosDriver::Life::kBlocked : ChaosDriver::Life::kHeld};
    if (what == 1) return core_->OnTaskBlocked(gtid);
    if (what == 2) return core_->OnTaskYielded(gtid);
    core_->OnTaskGated(gtid);
  } else if (thread.life == ChaosDriver::Life::kBlocked) {
    thread = {.life = ChaosDriver::Life::kHeld};
    core_->OnTaskReady(gtid, {.waker_cpu = 0});
  }
}

void FuseFuzzer::Step() {
  constexpr uint32_t kOpcodes[] = {FUSE_IOCTL,      FUSE_IOCTL,   FUSE_WRITE,   FUSE_WRITE,   FUSE_OPEN,
                                   FUSE_LOOKUP,     FUSE_READ,    FUSE_GETATTR, FUSE_SETATTR, FUSE_READLINK,
                                   FUSE_RELEASE,    FUSE_OPENDIR, FUSE_READDIR, FUSE_POLL,    FUSE_INTERRUPT,
                                   FUSE_RELEASEDIR, FUSE_STATFS,  FUSE_INIT};
  if (input_.Below(6) == 0) return ThreadEvent();
  if (input_.Below(32) == 0) {  // not even a header, or one that lies
    const std::string packet = input_.Text(64);
    if (packet.empty() || packet.size() >= sizeof(fuse_in_header)) return Send(FUSE_STATFS, 1, 0, packet, /*lie=*/true);
    GHOST_CHECK(send(kernel_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) > 0);
    return loop_.RunOnce(0);
  }
  const uint32_t opcode = input_.Below(16) == 0 ? input_.Below(256) : input_.Pick(kOpcodes);
  Send(opcode, input_.Below(48), static_cast<uint32_t>(CallerPid(input_.Below(3))), Body(opcode));
}

}  // namespace
}  // namespace ghost::usermode

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ghost::fuzz::FuzzInput input(data, size);
  ghost::usermode::FuseFuzzer fuzzer(input);
  fuzzer.Prepare();
  while (!input.empty()) fuzzer.Step();
  return 0;
}
