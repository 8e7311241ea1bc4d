// The server over a socket in place of /dev/fuse, with the real core: this test is the kernel, and its only user.
#include "kernel/usermode/linux/fuse_server.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/fake_driver.h"
#include "kernel/usermode/linux/event_loop.h"
#include "kernel/usermode/linux/region_store.h"
#include "lib/base/file.h"
#include "lib/base/testing/allocation_counter.h"

namespace ghost::usermode {
namespace {

using testing::ElementsAre;
using testing::IsSupersetOf;

// Regions, answers and notices go where ghostd's driver sends them.
class WiredDriver : public FakeDriver {
 public:
  std::optional<Region> AllocateRegion(const std::string& name, size_t size) override {
    return regions->Allocate(name, size);
  }
  void FreeRegion(uint64_t id) override { regions->Free(id); }
  void CompleteRequest(uint64_t request, int result) override { server->Complete(request, result); }
  void NotifyNode(uint64_t node) override { server->NotifyNode(node); }

  RegionStore* regions = nullptr;
  FuseServer* server = nullptr;
};

struct Answer {
  int error = 0;
  uint64_t unique = 0;
  std::string body;

  template <typename T>
  T As() const {
    T value = {};
    EXPECT_GE(body.size(), sizeof(T));
    memcpy(&value, body.data(), std::min(body.size(), sizeof(T)));
    return value;
  }
};

class FuseServerTest : public testing::Test {
 protected:
  void SetUp() override {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    kernel_.reset(sockets[0]);
    auto regions = RegionStore::Create();
    ASSERT_TRUE(regions.ok()) << regions.status();
    regions_ = *std::move(regions);
    CoreOptions options;
    options.num_cpus = 2;
    options.abi_versions = {69, 91};
    core_ = std::make_unique<Core>(options, &driver_);
    server_ =
        std::make_unique<FuseServer>(ScopedFd(sockets[1]), core_.get(), regions_.get(), &loop_, [this] { ++gone_; });
    driver_.regions = regions_.get();
    driver_.server = server_.get();
  }

  // -- What the kernel sends. --

  template <typename T>
  static std::string Bytes(const T& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void SendRaw(const std::string& bytes) {
    ASSERT_EQ(send(kernel_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    loop_.RunOnce(0);
  }
  uint64_t Send(uint32_t opcode, uint64_t node, const std::string& body) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + body.size());
    header.opcode = opcode;
    header.unique = ++unique_;
    header.nodeid = node;
    header.pid = static_cast<uint32_t>(getpid());
    SendRaw(Bytes(header) + body);
    return unique_;
  }
  std::optional<Answer> Receive() {
    alignas(8) char bytes[256 * 1024];
    const ssize_t size = recv(kernel_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (size < static_cast<ssize_t>(sizeof(fuse_out_header))) return std::nullopt;
    fuse_out_header header;
    memcpy(&header, bytes, sizeof(header));
    EXPECT_EQ(header.len, size);
    return Answer{header.error, header.unique,
                  std::string(bytes + sizeof(header), static_cast<size_t>(size) - sizeof(header))};
  }
  Answer Call(uint32_t opcode, uint64_t node, const std::string& body) {
    const uint64_t unique = Send(opcode, node, body);
    std::optional<Answer> answer = Receive();
    EXPECT_TRUE(answer.has_value()) << "opcode " << opcode;
    if (!answer.has_value()) return {};
    EXPECT_EQ(answer->unique, unique);
    return *answer;
  }

  // -- What programs do. --

  uint64_t Node(const std::vector<std::string>& path) {
    uint64_t node = FUSE_ROOT_ID;
    for (const std::string& name : path) {
      Answer answer = Call(FUSE_LOOKUP, node, name + '\0');
      EXPECT_EQ(answer.error, 0) << name;
      node = answer.As<fuse_entry_out>().nodeid;
    }
    return node;
  }
  uint64_t Open(uint64_t node, int flags) {
    Answer answer = Call(FUSE_OPEN, node, Bytes(fuse_open_in{.flags = static_cast<uint32_t>(flags), .open_flags = 0}));
    EXPECT_EQ(answer.error, 0);
    EXPECT_EQ(answer.As<fuse_open_out>().open_flags, FOPEN_DIRECT_IO);
    return answer.As<fuse_open_out>().fh;
  }
  void Close(uint64_t handle) { EXPECT_EQ(Call(FUSE_RELEASE, 1, Bytes(fuse_release_in{.fh = handle})).error, 0); }
  Answer Read(uint64_t handle, uint64_t offset, uint32_t size) {
    return Call(FUSE_READ, 1, Bytes(fuse_read_in{.fh = handle, .offset = offset, .size = size}));
  }
  // Returns the count or -errno.
  int Write(uint64_t handle, const std::string& text) {
    Answer answer =
        Call(FUSE_WRITE, 1, Bytes(fuse_write_in{.fh = handle, .size = static_cast<uint32_t>(text.size())}) + text);
    return answer.error != 0 ? answer.error : static_cast<int>(answer.As<fuse_write_out>().size);
  }
  template <typename T>
  static std::string IoctlBody(uint64_t handle, unsigned long command, const T& argument) {
    fuse_ioctl_in in = {
        .fh = handle, .flags = 0, .cmd = static_cast<uint32_t>(command), .arg = 0, .in_size = 0, .out_size = 0};
    if ((_IOC_DIR(command) & _IOC_WRITE) != 0) in.in_size = _IOC_SIZE(command);
    if ((_IOC_DIR(command) & _IOC_READ) != 0) in.out_size = _IOC_SIZE(command);
    return Bytes(in) + (in.in_size != 0 ? Bytes(argument) : std::string());
  }
  // ioctl(2): its result or -errno.
  template <typename T>
  int Ioctl(uint64_t handle, unsigned long command, T* argument) {
    Answer answer = Call(FUSE_IOCTL, 1, IoctlBody(handle, command, *argument));
    if (answer.error != 0) return answer.error;
    const auto out = answer.As<fuse_ioctl_out>();
    if ((_IOC_DIR(command) & _IOC_READ) != 0) {
      EXPECT_EQ(answer.body.size(), sizeof(out) + sizeof(T));
      memcpy(argument, answer.body.data() + sizeof(out), sizeof(T));
    }
    return out.result;
  }

  // An enclave with both CPUs and a status word region; the handle of its ctl.
  uint64_t MakeEnclave() {
    const uint64_t top = Open(Node({"ctl"}), O_WRONLY);
    EXPECT_EQ(Write(top, "create 1 91"), 11);
    Close(top);
    const uint64_t cpus = Open(Node({"enclave_1", "cpulist"}), O_RDWR);
    EXPECT_EQ(Write(cpus, "0-1\n"), 4);
    Close(cpus);
    const uint64_t ctl = Open(Node({"enclave_1", "ctl"}), O_RDWR);
    EXPECT_EQ(Write(ctl, "create sw_region 0 0"), 20);
    return ctl;
  }
  // This thread becomes the agent of CPU 0.
  void BecomeAgent(uint64_t ctl) {
    ghost_ioc_create_queue create = {.elems = 64, .node = 0, .flags = 0, .pad = 0, .mapsize = 0};
    const int id = Ioctl(ctl, GHOST_IOC_CREATE_QUEUE, &create);
    ASSERT_GT(id, 0);
    ASSERT_EQ(create.mapsize, 4096u);
    const std::string link = Call(FUSE_READLINK, Node({"enclave_1", "queue_" + std::to_string(id)}), "").body;
    queue_.reset(open(link.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(queue_.valid()) << link;
    ghost_ioc_set_default_queue set = {.fd = queue_.get()};
    ASSERT_EQ(Ioctl(ctl, GHOST_IOC_SET_DEFAULT_QUEUE, &set), 0);
    const std::string become = "become agent 0 " + std::to_string(queue_.get());
    ASSERT_EQ(Write(ctl, become), static_cast<int>(become.size()));
  }
  // GHOST_IOC_RUN as a yield; no answer comes.
  uint64_t Park(uint64_t ctl) {
    const ghost_ioc_run run = {.gtid = 0, .agent_barrier = 0, .task_barrier = 0, .run_cpu = 0, .run_flags = 0};
    const uint64_t unique = Send(FUSE_IOCTL, 1, IoctlBody(ctl, GHOST_IOC_RUN, run));
    EXPECT_FALSE(Receive().has_value());
    return unique;
  }

  EventLoop loop_;
  WiredDriver driver_;
  ScopedFd kernel_, queue_;
  std::unique_ptr<RegionStore> regions_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<FuseServer> server_;
  uint64_t unique_ = 0;
  int gone_ = 0;
};

TEST_F(FuseServerTest, Init) {
  fuse_init_in in = {};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = FUSE_KERNEL_MINOR_VERSION + 9;
  in.flags = ~0u;
  const auto out = Call(FUSE_INIT, 0, Bytes(in)).As<fuse_init_out>();
  EXPECT_EQ(out.major, static_cast<uint32_t>(FUSE_KERNEL_VERSION));
  EXPECT_EQ(out.minor, static_cast<uint32_t>(FUSE_KERNEL_MINOR_VERSION));
  EXPECT_NE(out.flags & FUSE_ATOMIC_O_TRUNC, 0u);
  EXPECT_EQ(out.flags & FUSE_NO_OPEN_SUPPORT, 0u);
  EXPECT_EQ(out.max_write, 128u * 1024);
  EXPECT_EQ(Call(FUSE_INIT, 0, Bytes(in).substr(0, 16)).error, 0);  // before 7.36
  in.minor = 8;
  EXPECT_EQ(Call(FUSE_INIT, 0, Bytes(in)).error, -EPROTO);
  EXPECT_EQ(Call(FUSE_INIT, 0, Bytes(in).substr(0, 8)).error, -EIO);
}

TEST_F(FuseServerTest, Attributes) {
  MakeEnclave();
  const auto root = Call(FUSE_GETATTR, FUSE_ROOT_ID, Bytes(fuse_getattr_in{})).As<fuse_attr_out>();
  EXPECT_EQ(root.attr.mode, S_IFDIR | 0555u);
  EXPECT_EQ(root.attr.nlink, 3u);
  EXPECT_EQ(root.attr_valid, 0u);
  const auto ctl = Call(FUSE_LOOKUP, FUSE_ROOT_ID, std::string("ctl\0", 4)).As<fuse_entry_out>();
  EXPECT_EQ(ctl.attr.mode, S_IFREG | 0660u);
  EXPECT_EQ(ctl.attr.ino, ctl.nodeid);
  EXPECT_EQ(ctl.entry_valid, 0u);
  EXPECT_EQ(Call(FUSE_LOOKUP, FUSE_ROOT_ID, std::string("nothing\0", 8)).error, -ENOENT);
  EXPECT_EQ(Call(FUSE_LOOKUP, ctl.nodeid, std::string("x\0", 2)).error, -ENOTDIR);
  EXPECT_EQ(Call(FUSE_GETATTR, 999999, Bytes(fuse_getattr_in{})).error, -ENODEV);
}

TEST_F(FuseServerTest, ARegionIsALinkToAFileWithItsPermissions) {
  MakeEnclave();
  const uint64_t node = Node({"enclave_1", "cpu_data"});
  const auto attr = Call(FUSE_GETATTR, node, Bytes(fuse_getattr_in{})).As<fuse_attr_out>().attr;
  const std::string path = Call(FUSE_READLINK, node, "").body;
  EXPECT_EQ(attr.mode, S_IFLNK | 0777u);
  EXPECT_EQ(attr.size, path.size());
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0660u);
  EXPECT_EQ(file.st_size, 2 * 4096);
  EXPECT_EQ(Call(FUSE_READLINK, Node({"version"}), "").error, -EINVAL);
}

TEST_F(FuseServerTest, ReadsEnd) {
  const uint64_t version = Open(Node({"version"}), O_RDONLY);
  EXPECT_EQ(Read(version, 0, 4096).body, "69\n91\n");
  EXPECT_EQ(Read(version, 2, 2).body, "\n9");
  EXPECT_EQ(Read(version, 6, 4096).body, "");
  EXPECT_EQ(Read(version, 1 << 20, 0xffffffff).body, "");
  Close(version);
  EXPECT_LT(Read(version, 0, 4096).error, 0);
}

TEST_F(FuseServerTest, WritesSayWhatTheCoreSays) {
  EXPECT_EQ(Call(FUSE_OPEN, Node({"version"}), Bytes(fuse_open_in{.flags = O_WRONLY, .open_flags = 0})).error, -EACCES);
  const uint64_t ctl = Open(Node({"ctl"}), O_WRONLY | O_TRUNC);
  EXPECT_EQ(Write(ctl, "create 1 68\n"), -ESRCH);
  EXPECT_EQ(Write(ctl, "create 1 69\n"), 12);
  EXPECT_EQ(Write(ctl, "create 1 69\n"), -EEXIST);
  EXPECT_EQ(Write(ctl, "create 2 91\n" + std::string(100'000, '\0')), 4096);  // a page at most, as kernfs
}

TEST_F(FuseServerTest, TruncatingIsAllowedAndChangesNothing) {
  const uint64_t ctl = Node({"ctl"});
  EXPECT_EQ(Call(FUSE_SETATTR, ctl, Bytes(fuse_setattr_in{.valid = FATTR_SIZE | FATTR_MTIME})).error, 0);
  for (uint32_t valid : {FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_MTIME, FATTR_SIZE | FATTR_MODE}) {
    EXPECT_EQ(Call(FUSE_SETATTR, ctl, Bytes(fuse_setattr_in{.valid = valid})).error, -EPERM);
  }
  for (uint32_t opcode : {FUSE_MKDIR, FUSE_MKNOD, FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME, FUSE_SYMLINK, FUSE_LINK}) {
    EXPECT_EQ(Call(opcode, FUSE_ROOT_ID, std::string(64, '\0')).error, -EPERM);
  }
  EXPECT_EQ(Call(FUSE_CREATE, FUSE_ROOT_ID, std::string(64, '\0')).error, -EACCES);
}

TEST_F(FuseServerTest, DirectoriesInPieces) {
  MakeEnclave();
  const uint64_t node = Node({"enclave_1"});
  const auto open = Call(FUSE_OPENDIR, node, Bytes(fuse_open_in{})).As<fuse_open_out>();
  std::vector<std::string> names;
  uint64_t offset = 0;
  for (;;) {
    Answer answer = Call(FUSE_READDIR, node, Bytes(fuse_read_in{.fh = open.fh, .offset = offset, .size = 100}));
    ASSERT_EQ(answer.error, 0);
    if (answer.body.empty()) break;
    ASSERT_LE(answer.body.size(), 100u);
    for (size_t at = 0; at < answer.body.size();) {
      fuse_dirent entry;
      memcpy(&entry, answer.body.data() + at, FUSE_NAME_OFFSET);
      names.push_back(answer.body.substr(at + FUSE_NAME_OFFSET, entry.namelen));
      offset = entry.off;
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
    }
  }
  std::vector<DirEntry> expected;
  core_->ReadDir(node, &expected);
  std::vector<std::string> expected_names = {".", ".."};
  for (const DirEntry& entry : expected) expected_names.push_back(entry.name);
  EXPECT_EQ(names, expected_names);
  EXPECT_THAT(names, IsSupersetOf({"ctl", "cpu_data", "sw_regions", "tasks"}));
  EXPECT_EQ(Call(FUSE_READDIR, node, Bytes(fuse_read_in{.fh = open.fh, .offset = 3, .size = 100})).error, 0);
  EXPECT_EQ(Call(FUSE_RELEASEDIR, node, Bytes(fuse_release_in{.fh = open.fh})).error, 0);
  EXPECT_EQ(Call(FUSE_READDIR, node, Bytes(fuse_read_in{.fh = open.fh})).error, -EBADF);
  EXPECT_EQ(Call(FUSE_OPENDIR, Node({"ctl"}), Bytes(fuse_open_in{})).error, -ENOTDIR);
}

TEST_F(FuseServerTest, IoctlsCopyInAndOut) {
  const uint64_t ctl = MakeEnclave();
  char nothing = 0;
  EXPECT_EQ(Ioctl(ctl, GHOST_IOC_NULL, &nothing), 0);
  ghost_ioc_create_queue create = {.elems = 64, .node = 0, .flags = 0, .pad = 0, .mapsize = 0};
  EXPECT_GT(Ioctl(ctl, GHOST_IOC_CREATE_QUEUE, &create), 0);
  EXPECT_EQ(create.mapsize, 4096u);
  create.elems = 3;
  EXPECT_EQ(Ioctl(ctl, GHOST_IOC_CREATE_QUEUE, &create), -EINVAL);
  EXPECT_EQ(Ioctl(ctl, 0x5401, &nothing), -ENOTTY);  // TCGETS: what isatty asks
  fuse_ioctl_in in = {.fh = ctl, .flags = FUSE_IOCTL_DIR, .cmd = GHOST_IOC_NULL, .arg = 0, .in_size = 0, .out_size = 0};
  EXPECT_EQ(Call(FUSE_IOCTL, 1, Bytes(in)).error, -ENOTTY);
}

TEST_F(FuseServerTest, IoctlsWithForgedSizesAreErrors) {
  const uint64_t ctl = MakeEnclave();
  fuse_ioctl_in in = {.fh = ctl, .flags = 0, .cmd = GHOST_IOC_RUN, .arg = 0, .in_size = 24, .out_size = 0};
  EXPECT_EQ(Call(FUSE_IOCTL, 1, Bytes(in)).error, -EIO);  // claims 24 bytes and brings none
  in.in_size = 0xffffffff;
  EXPECT_EQ(Call(FUSE_IOCTL, 1, Bytes(in) + std::string(64, 'x')).error, -EIO);
  in.in_size = 0;
  in.out_size = 4096;
  EXPECT_EQ(Call(FUSE_IOCTL, 1, Bytes(in)).error, -EIO);
  EXPECT_EQ(Call(FUSE_IOCTL, 1, std::string(8, '\0')).error, -EIO);
}

TEST_F(FuseServerTest, AnAnswerMayComeLater) {
  const uint64_t ctl = MakeEnclave();
  BecomeAgent(ctl);
  const uint64_t parked = Park(ctl);
  server_->Complete(parked + 1000, 0);  // nobody's
  EXPECT_FALSE(Receive().has_value());
  server_->Complete(parked, 0);
  std::optional<Answer> answer = Receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, parked);
  EXPECT_EQ(answer->error, 0);
  EXPECT_EQ(answer->As<fuse_ioctl_out>().result, 0);
  server_->Complete(parked, 0);  // once only
  EXPECT_FALSE(Receive().has_value());
}

TEST_F(FuseServerTest, ASignalEndsAWait) {
  const uint64_t ctl = MakeEnclave();
  BecomeAgent(ctl);
  const uint64_t parked = Park(ctl);
  Send(FUSE_INTERRUPT, 0, Bytes(fuse_interrupt_in{.unique = parked + 1000}));
  EXPECT_FALSE(Receive().has_value());
  Send(FUSE_INTERRUPT, 0, Bytes(fuse_interrupt_in{.unique = parked}));
  std::optional<Answer> answer = Receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, parked);
  EXPECT_FALSE(Receive().has_value());  // an interrupt itself has no answer
}

TEST_F(FuseServerTest, AgentOnlineWakesThosewhoPoll) {
  MakeEnclave();
  const uint64_t node = Node({"enclave_1", "agent_online"});
  const uint64_t watched = Open(node, O_RDONLY);
  EXPECT_EQ(Read(watched, 0, 16).body, "0");
  const auto poll = [&](uint32_t flags) {
    fuse_poll_in in = {.fh = watched, .kh = 4711, .flags = flags, .events = POLLPRI};
    return Call(FUSE_POLL, node, Bytes(in)).As<fuse_poll_out>().revents;
  };
  EXPECT_EQ(poll(0) & POLLPRI, 0u);
  EXPECT_EQ(poll(FUSE_POLL_SCHEDULE_NOTIFY) & POLLPRI, 0u);

  Send(FUSE_OPEN, node, Bytes(fuse_open_in{.flags = O_RDWR, .open_flags = 0}));
  std::optional<Answer> first = Receive(), second = Receive();
  ASSERT_TRUE(first.has_value() && second.has_value());
  const Answer& notice = first->unique == 0 ? *first : *second;
  EXPECT_EQ(notice.unique, 0u);
  EXPECT_EQ(notice.error, FUSE_NOTIFY_POLL);
  EXPECT_EQ(notice.As<fuse_notify_poll_wakeup_out>().kh, 4711u);
  EXPECT_NE(poll(0) & POLLPRI, 0u);
  EXPECT_EQ(Read(watched, 0, 16).body, "1");
  EXPECT_EQ(poll(0) & POLLPRI, 0u);

  // Asked for once, told once; a closed file is told nothing.
  server_->NotifyNode(node);
  EXPECT_FALSE(Receive().has_value());
  poll(FUSE_POLL_SCHEDULE_NOTIFY);
  Close(watched);
  server_->NotifyNode(node);
  EXPECT_FALSE(Receive().has_value());
}

TEST_F(FuseServerTest, ARemovedEnclaveIsGoneAtOnce) {
  const uint64_t ctl = MakeEnclave();
  const uint64_t status = Open(Node({"enclave_1", "status"}), O_RDONLY);
  EXPECT_EQ(Write(ctl, "destroy\n"), 8);
  EXPECT_EQ(Call(FUSE_LOOKUP, FUSE_ROOT_ID, std::string("enclave_1\0", 10)).error, -ENOENT);
  EXPECT_EQ(Read(status, 0, 100).error, -ENODEV);
  char nothing = 0;
  EXPECT_EQ(Ioctl(ctl, GHOST_IOC_NULL, &nothing), -ENODEV);
}

TEST_F(FuseServerTest, TheHotPathAllocatesNothing) {
  const uint64_t ctl = MakeEnclave();
  BecomeAgent(ctl);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(1, &cpus);
  ghost_ioc_commit_txn commit = {.mask_ptr = reinterpret_cast<uint64_t>(&cpus), .mask_len = sizeof(cpus), .flags = 0};
  ASSERT_EQ(Ioctl(ctl, GHOST_IOC_COMMIT_TXN, &commit), 0);
  const ghost_ioc_run run = {.gtid = 0, .agent_barrier = 0, .task_barrier = 0, .run_cpu = 0, .run_flags = 0};
  const std::string bodies[] = {IoctlBody(ctl, GHOST_IOC_COMMIT_TXN, commit), IoctlBody(ctl, GHOST_IOC_RUN, run)};
  for (const std::string& body : bodies) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + body.size());
    header.opcode = FUSE_IOCTL;
    header.unique = ++unique_;
    header.pid = static_cast<uint32_t>(getpid());
    const std::string request = Bytes(header) + body;
    ASSERT_EQ(send(kernel_.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    AllocationCounter allocations;
    loop_.RunOnce(0);
    server_->Complete(unique_, 0);
    EXPECT_EQ(allocations.count(), 0);
    EXPECT_EQ(Receive()->error, 0);
  }
}

TEST_F(FuseServerTest, GarbageIsAnsweredOrIgnoredButNeverTrusted) {
  MakeEnclave();
  SendRaw("short");
  EXPECT_FALSE(Receive().has_value());
  fuse_in_header lying = {};
  lying.len = 4000;
  lying.opcode = FUSE_LOOKUP;
  lying.unique = 77;
  SendRaw(Bytes(lying));
  EXPECT_EQ(Receive()->error, -EIO);
  EXPECT_EQ(Call(FUSE_LOOKUP, FUSE_ROOT_ID, "not terminated").error, -EIO);
  EXPECT_EQ(Call(9999, FUSE_ROOT_ID, "").error, -ENOSYS);
  EXPECT_EQ(Call(FUSE_GETXATTR, FUSE_ROOT_ID, std::string(16, 'x')).error, -ENOSYS);

  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t opcode = random() % (FUSE_SYNCFS + 2);
    std::string body(random() % 96, '\0');
    // Small numbers are handles, nodes and sizes that exist.
    for (char& c : body) c = static_cast<char>(random() % 4 == 0 ? random() : random() % 3);
    Send(opcode, random() % 40, body);
    while (Receive().has_value()) {
    }
  }
  EXPECT_EQ(gone_, 0);
  EXPECT_EQ(Call(FUSE_STATFS, FUSE_ROOT_ID, "").As<fuse_statfs_out>().st.namelen, 255u);
}

TEST_F(FuseServerTest, UnmountingIsToldOnce) {
  kernel_.reset();
  loop_.RunOnce(0);
  loop_.RunOnce(0);
  EXPECT_EQ(gone_, 1);
  server_->Complete(1, 0);
  server_->NotifyNode(1);
}

TEST_F(FuseServerTest, CloseEndsEverythingQuietly) {
  const uint64_t ctl = MakeEnclave();
  BecomeAgent(ctl);
  const uint64_t parked = Park(ctl);
  server_->Close();
  server_->Complete(parked, 0);
  char byte;
  EXPECT_EQ(recv(kernel_.get(), &byte, 1, 0), 0);
  loop_.RunOnce(0);
  EXPECT_EQ(gone_, 0);
}

}  // namespace
}  // namespace ghost::usermode
