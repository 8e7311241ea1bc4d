#include "kernel/usermode/linux/region_store.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/process.h"

namespace ghost::usermode {
namespace {

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// A tmpfs of 1 MiB, in a mount namespace of this test's own.
class RegionStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to mount a tmpfs";
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("tmpfs", base_.c_str(), "tmpfs", 0, "size=1m,mode=1777"), 0);
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) umount2(base_.c_str(), MNT_DETACH);
  }
  std::unique_ptr<RegionStore> Create() {
    auto store = RegionStore::Create({base_});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  bool mounted_ = false;
  const std::string base_ = "/mnt";
};

TEST_F(RegionStoreTest, ATruncatedFileIsTheEndOfSharingAndOfNothingElse) {
  auto store = Create();
  const std::optional<Region> region = store->Allocate("enclave_1/cpu_data", 3 * 4096);
  const std::optional<Region> other = store->Allocate("enclave_1/queue_1", 4096);
  ASSERT_TRUE(region.has_value() && other.has_value());
  auto* bytes = static_cast<volatile char*>(region->address);
  auto* others = static_cast<volatile char*>(other->address);
  bytes[4096] = 'x';
  others[0] = 'x';
  ASSERT_EQ(truncate(store->Path(region->id).c_str(), 0), 0);
  EXPECT_EQ(bytes[4096], 0);  // would be a SIGBUS
  bytes[3 * 4096 - 1] = 'y';
  EXPECT_EQ(bytes[3 * 4096 - 1], 'y');
  EXPECT_EQ(others[0], 'x');
  store->Free(region->id);
  const std::optional<Region> next = store->Allocate("enclave_2/cpu_data", 4096);
  ASSERT_TRUE(next.has_value());
  ASSERT_EQ(truncate(store->Path(next->id).c_str(), 0), 0);
  EXPECT_EQ(*static_cast<volatile char*>(next->address), 0);
}

TEST_F(RegionStoreTest, ARemovedDirectoryIsMadeAnew) {
  auto store = Create();
  const std::optional<Region> region = store->Allocate("enclave_1/cpu_data", 4096);
  ASSERT_TRUE(region.has_value());
  RegionStore::RemoveDirectory(store->directory());
  ASSERT_FALSE(Exists(store->directory()));
  const std::optional<Region> next = store->Allocate("enclave_1/queue_1", 4096);
  ASSERT_TRUE(next.has_value());
  EXPECT_TRUE(Exists(store->Path(next->id)));
  *static_cast<volatile char*>(region->address) = 'x';  // as before
  auto other = Create();                                // takes away what nobody holds a lock on
  EXPECT_TRUE(Exists(store->Path(next->id)));
  store->RemoveAll();
  EXPECT_FALSE(Exists(store->directory()));
  EXPECT_FALSE(store->Allocate("enclave_1/queue_2", 4096).has_value());
}

TEST_F(RegionStoreTest, ASigbusElsewhereKills) {
  auto store = Create();
  ASSERT_TRUE(store->Allocate("enclave_1/cpu_data", 4096).has_value());
  ScopedFd file(open((base_ + "/other").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(file.get(), 4096), 0);
  absl::StatusOr<Mapping> mapping = Mapping::Map(file.get(), 4096, /*writable=*/true);
  ASSERT_TRUE(mapping.ok());
  ASSERT_EQ(ftruncate(file.get(), 0), 0);
  const pid_t child = fork();
  if (child == 0) {
    *reinterpret_cast<volatile char*>(mapping->data()) = 'x';
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
}

TEST_F(RegionStoreTest, ARegionIsAFileThatOthersCanMap) {
  auto store = Create();
  const std::optional<Region> region = store->Allocate("enclave_1/cpu_data", 8192);
  ASSERT_TRUE(region.has_value());
  EXPECT_EQ(region->size, 8192u);
  auto* bytes = static_cast<char*>(region->address);
  EXPECT_TRUE(std::all_of(bytes, bytes + 8192, [](char c) { return c == 0; }));

  const std::string path = store->Path(region->id);
  ScopedFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat attributes;
  ASSERT_EQ(fstat(fd.get(), &attributes), 0);
  EXPECT_EQ(attributes.st_size, 8192);
  EXPECT_EQ(attributes.st_mode & 0777, 0600u);
  EXPECT_EQ(store->IdOf(attributes.st_dev, attributes.st_ino), region->id);
  EXPECT_EQ(store->IdOf(attributes.st_dev + 1, attributes.st_ino), std::nullopt);
  EXPECT_EQ(store->IdOf(attributes.st_dev, attributes.st_ino + 1), std::nullopt);
  auto mapping = Mapping::Map(fd.get(), 8192, /*writable=*/true);
  ASSERT_TRUE(mapping.ok());
  bytes[8191] = 'x';
  EXPECT_EQ(mapping->data()[8191], std::byte{'x'});

  store->Free(region->id);
  EXPECT_FALSE(Exists(path));
  EXPECT_EQ(store->Path(region->id), "");
  EXPECT_EQ(store->IdOf(attributes.st_dev, attributes.st_ino), std::nullopt);
  EXPECT_EQ(mapping->data()[8191], std::byte{'x'});
  store->Free(region->id);
}

TEST_F(RegionStoreTest, TheSameNameTwiceIsTwoRegions) {
  auto store = Create();
  auto a = store->Allocate("enclave_1/cpu_data", 4096), b = store->Allocate("enclave_1/cpu_data", 4096);
  ASSERT_TRUE(a.has_value() && b.has_value());
  EXPECT_NE(a->id, b->id);
  EXPECT_NE(store->Path(a->id), store->Path(b->id));
}

TEST_F(RegionStoreTest, AFullDiskIsNoRegionAndNothingIsLeft) {
  auto store = Create();
  EXPECT_EQ(store->Allocate("big", 2 << 20), std::nullopt);
  auto half = store->Allocate("half", 600 << 10);
  ASSERT_TRUE(half.has_value());
  EXPECT_EQ(store->Allocate("other_half", 600 << 10), std::nullopt);
  store->Free(half->id);
  EXPECT_TRUE(store->Allocate("other_half", 600 << 10).has_value());
}

TEST_F(RegionStoreTest, AccessIsWhatTheNodeSays) {
  auto store = Create();
  auto region = store->Allocate("enclave_1/sw_0", 4096);
  ASSERT_TRUE(region.has_value());
  store->SetAccess(region->id, 0440, 65534, 100);
  struct stat attributes;
  ASSERT_EQ(stat(store->Path(region->id).c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 0777, 0440u);
  EXPECT_EQ(attributes.st_uid, 65534u);
  EXPECT_EQ(attributes.st_gid, 100u);

  const std::string path = store->Path(region->id);
  auto child = ChildProcess::Fork([&path] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 1;
    if (open(path.c_str(), O_RDONLY | O_CLOEXEC) < 0) return 2;
    return open(path.c_str(), O_RDWR | O_CLOEXEC) < 0 ? 0 : 3;
  });
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->Wait().ToString(), "exit code 0");
}

TEST_F(RegionStoreTest, RemovesItsDirectoryAndThoseOfTheDeadButNotOfTheLiving) {
  auto living = Create();
  const std::string living_directory = living->directory();
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  auto child = ChildProcess::Fork([&] {
    auto store = RegionStore::Create({base_});
    if (!store.ok() || !(*store)->Allocate("left_behind", 4096).has_value()) return 1;
    const std::string directory = (*store)->directory();
    if (write(fds[1], directory.data(), directory.size()) < 0) return 1;
    return raise(SIGKILL);
  });
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->Wait().signal, SIGKILL);
  char text[256] = {};
  ASSERT_GT(read(fds[0], text, sizeof(text) - 1), 0);
  close(fds[0]);
  close(fds[1]);
  ASSERT_TRUE(Exists(text));

  auto next = Create();
  EXPECT_EQ(next->directory(), text);  // its number is free again, so the old directory was removed
  EXPECT_FALSE(Exists(std::string(text) + "/left_behind.1"));
  EXPECT_TRUE(Exists(living_directory));
  const std::string directory = next->directory();
  next.reset();
  EXPECT_FALSE(Exists(directory));
}

TEST_F(RegionStoreTest, SkipsWhatIsNotMemoryAndSaysSoIfNothingIsLeft) {
  auto store = RegionStore::Create({"/proc", "/nonexistent", base_});
  ASSERT_TRUE(store.ok());
  EXPECT_TRUE((*store)->directory().starts_with(base_));
  auto none = RegionStore::Create({"/proc", "/nonexistent"});
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.status().message().find("/proc, /nonexistent"), absl::string_view::npos);
}

}  // namespace
}  // namespace ghost::usermode
