#include "shared/shmem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr char kName[] = "test";
constexpr int64_t kVersion = 7;
constexpr size_t kSize = 10'000;

ShmemHeader GoodHeader() {
  return {.magic = ShmemHeader::kMagic,
          .layout = ShmemHeader::kLayout,
          .ready = 1,
          .version = kVersion,
          .size = kSize,
          .owner = 1};
}

// A region as somebody else may make it.
ScopedFd Forge(const ShmemHeader& header, off_t size = GhostShmem::kHeaderSize + kSize, int seals = F_SEAL_SHRINK,
               unsigned flags = MFD_ALLOW_SEALING) {
  ScopedFd fd(memfd_create("ghost-shmem-test", flags | MFD_CLOEXEC));
  EXPECT_TRUE(fd.valid());
  EXPECT_EQ(ftruncate(fd.get(), size), 0);
  if (size >= static_cast<off_t>(sizeof(header))) {
    EXPECT_EQ(pwrite(fd.get(), &header, sizeof(header), 0), static_cast<ssize_t>(sizeof(header)));
  }
  EXPECT_TRUE(seals == 0 || fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  return fd;
}

absl::Status AttachFd(const ScopedFd& fd) {
  GhostShmem region;
  const absl::Status status = region.AttachFd(kVersion, fd.get());
  EXPECT_EQ(region.bytes() != nullptr, status.ok());
  EXPECT_EQ(region.Owner() != 0, status.ok());
  return status;
}

TEST(ShmemTest, BothSidesSeeTheSameMemory) {
  GhostShmem ours(kVersion, kName, kSize);
  ASSERT_TRUE(ours.status().ok()) << ours.status();
  EXPECT_EQ(ours.size(), kSize);
  EXPECT_EQ(ours.Owner(), getpid());
  GhostShmem theirs;
  EXPECT_EQ(theirs.bytes(), nullptr);
  EXPECT_TRUE(absl::IsUnavailable(theirs.Attach(kVersion, kName, getpid())));
  std::strcpy(reinterpret_cast<char*>(ours.bytes()), "hello");
  ours.MarkReady();
  ASSERT_TRUE(theirs.Attach(kVersion, kName, getpid()).ok());
  EXPECT_EQ(theirs.size(), kSize);
  EXPECT_EQ(theirs.Owner(), getpid());
  EXPECT_EQ(theirs.id(), ours.id());
  EXPECT_NE(theirs.bytes(), ours.bytes());
  EXPECT_STREQ(reinterpret_cast<char*>(theirs.bytes()), "hello");
  theirs.bytes()[kSize - 1] = std::byte{5};
  EXPECT_EQ(ours.bytes()[kSize - 1], std::byte{5});
}

TEST(ShmemTest, SizesThatMakeNoSense) {
  for (const size_t size : {size_t{0}, GhostShmem::kMaxSize + 1, SIZE_MAX}) {
    const GhostShmem region(kVersion, kName, size);
    EXPECT_TRUE(absl::IsInvalidArgument(region.status())) << size;
    EXPECT_EQ(region.bytes(), nullptr);
  }
}

TEST(ShmemTest, NoRegionNoProcess) {
  GhostShmem region;
  EXPECT_TRUE(absl::IsNotFound(region.Attach(kVersion, kName, getpid())));
  absl::StatusOr<ChildProcess> child = ChildProcess::Fork([] { return 0; });
  ASSERT_TRUE(child.ok());
  child->Wait();
  EXPECT_TRUE(absl::IsNotFound(region.Attach(kVersion, kName, child->pid())));
  EXPECT_EQ(region.Owner(), 0);
}

TEST(ShmemTest, OtherNamesAreOthers) {
  std::vector<GhostShmem> regions;
  for (const char* name : {"tes", "test2", "2test"}) regions.emplace_back(kVersion, name, kSize);
  for (GhostShmem& region : regions) region.MarkReady();
  ScopedFd unprefixed(memfd_create(kName, MFD_ALLOW_SEALING | MFD_CLOEXEC));
  GhostShmem region;
  EXPECT_TRUE(absl::IsNotFound(region.Attach(kVersion, kName, getpid())));
}

TEST(ShmemTest, AnotherVersionIsRefused) {
  GhostShmem ours(kVersion + 1, kName, kSize);
  ours.MarkReady();
  GhostShmem theirs;
  EXPECT_TRUE(absl::IsFailedPrecondition(theirs.Attach(kVersion, kName, getpid())));
  EXPECT_EQ(theirs.Owner(), 0);
}

TEST(ShmemTest, NobodyCanMakeItShorter) {
  GhostShmem ours(kVersion, kName, kSize);
  EXPECT_NE(ftruncate(ours.fd(), 0), 0);
  EXPECT_EQ(errno, EPERM);
  // Holes may be punched: what is read there is zero, and no SIGBUS.
  ours.MarkReady();
  GhostShmem theirs;
  ASSERT_TRUE(theirs.Attach(kVersion, kName, getpid()).ok());
  theirs.bytes()[0] = std::byte{1};
  ASSERT_EQ(fallocate(ours.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, GhostShmem::kHeaderSize + kSize), 0);
  EXPECT_EQ(theirs.bytes()[0], std::byte{0});
}

TEST(ShmemTest, ForgedHeaders) {
  EXPECT_TRUE(AttachFd(Forge(GoodHeader())).ok());
  const auto refused = [](ShmemHeader header) { return absl::IsFailedPrecondition(AttachFd(Forge(header))); };
  ShmemHeader header = GoodHeader();
  header.magic ^= 1;
  EXPECT_TRUE(refused(header));
  header = GoodHeader();
  header.layout = 2;
  EXPECT_TRUE(refused(header));
  for (const uint64_t size : {uint64_t{0}, uint64_t{kSize + 1}, UINT64_MAX, UINT64_MAX - GhostShmem::kHeaderSize + 1}) {
    header = GoodHeader();
    header.size = size;
    EXPECT_TRUE(refused(header)) << size;
  }
  for (const uint32_t ready : {0u, 2u, ~0u}) {
    header = GoodHeader();
    header.ready = ready;
    EXPECT_TRUE(absl::IsUnavailable(AttachFd(Forge(header)))) << ready;
  }
}

TEST(ShmemTest, MemoryThatCouldHurtIsRefused) {
  const ShmemHeader header = GoodHeader();
  const off_t size = GhostShmem::kHeaderSize + kSize;
  const auto refused = [](const ScopedFd& fd) { return absl::IsFailedPrecondition(AttachFd(fd)); };
  EXPECT_TRUE(refused(Forge(header, size, /*seals=*/0)));
  EXPECT_TRUE(refused(Forge(header, size, F_SEAL_GROW)));
  EXPECT_TRUE(refused(Forge(header, size, F_SEAL_SEAL)));
  EXPECT_TRUE(refused(Forge(header, /*size=*/0)));
  EXPECT_TRUE(refused(Forge(header, GhostShmem::kHeaderSize - 1)));
  EXPECT_TRUE(refused(Forge(header, GhostShmem::kHeaderSize + GhostShmem::kMaxSize + 1)));
  // Huge pages may be lacking when they are touched.
  ScopedFd huge(memfd_create("ghost-shmem-test", MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_CLOEXEC));
  if (huge.valid()) {
    EXPECT_EQ(ftruncate(huge.get(), 2 << 20), 0);
    EXPECT_EQ(fcntl(huge.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
    EXPECT_TRUE(refused(huge));
  }
  // It can't be written: nothing could be told to the application.
  EXPECT_FALSE(AttachFd(Forge(header, size, F_SEAL_SHRINK | F_SEAL_WRITE)).ok());
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const ScopedFd read_end(pipe_ends[0]), write_end(pipe_ends[1]);
  EXPECT_TRUE(refused(read_end));
  EXPECT_FALSE(AttachFd(ScopedFd()).ok());
}

TEST(ShmemTest, OfSeveralTheFirstThatIsFitAndReady) {
  const ScopedFd unsealed = Forge(GoodHeader(), GhostShmem::kHeaderSize + kSize, 0);
  GhostShmem ours(kVersion, kName, kSize);
  GhostShmem theirs;
  EXPECT_TRUE(absl::IsUnavailable(theirs.Attach(kVersion, kName, getpid())));
  GhostShmem later(kVersion, kName, kSize);
  later.MarkReady();
  ASSERT_TRUE(theirs.Attach(kVersion, kName, getpid()).ok());
  EXPECT_EQ(theirs.id(), later.id());
  ours.MarkReady();
  ASSERT_TRUE(theirs.Attach(kVersion, kName, getpid()).ok());
  EXPECT_EQ(theirs.id(), ours.id());
}

TEST(ShmemTest, AFewDescriptorsAtATime) {
  std::vector<ScopedFd> others;
  for (int i = 0; i < 100; ++i) others.emplace_back(dup(STDERR_FILENO));
  GhostShmem ours(kVersion, kName, kSize);
  ours.MarkReady();
  GhostShmem theirs;
  ShmemSearch search = {.max_links = 7};
  int calls = 0;
  absl::Status status;
  do {
    status = theirs.Attach(kVersion, kName, getpid(), "/proc", &search);
    ++calls;
  } while (absl::IsNotFound(status) && search.position != 0);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(calls, 100 / 7);
  EXPECT_LT(calls, 100);
}

TEST(ShmemTest, ManyOfTheNameTakeBoundedEffort) {
  std::vector<ScopedFd> forged;
  for (int i = 0; i < 50; ++i) forged.push_back(Forge(GoodHeader(), GhostShmem::kHeaderSize + kSize, 0));
  GhostShmem ours(kVersion, kName, kSize);
  ours.MarkReady();
  GhostShmem theirs;
  EXPECT_TRUE(absl::IsFailedPrecondition(theirs.Attach(kVersion, kName, getpid())));
  ShmemSearch search;
  int calls = 1;
  while (!theirs.Attach(kVersion, kName, getpid(), "/proc", &search).ok() && search.position != 0) ++calls;
  EXPECT_EQ(theirs.id(), ours.id());
  EXPECT_EQ(calls, 7);  // eight of the name in each
}

TEST(ShmemTest, OfAnotherProcess) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const ScopedFd read_end(pipe_ends[0]);
  ScopedFd write_end(pipe_ends[1]);
  int ready_ends[2];
  ASSERT_EQ(pipe(ready_ends), 0);
  absl::StatusOr<ChildProcess> child = ChildProcess::Fork([&] {
    GhostShmem region(kVersion, kName, kSize);
    region.bytes()[3] = std::byte{33};
    region.MarkReady();
    char byte = 0;
    (void)!write(ready_ends[1], &byte, 1);
    write_end.reset();
    (void)!read(read_end.get(), &byte, 1);  // until the parent lets go
    return 0;
  });
  ASSERT_TRUE(child.ok());
  char byte;
  ASSERT_EQ(read(ready_ends[0], &byte, 1), 1);
  close(ready_ends[0]);
  close(ready_ends[1]);
  GhostShmem region;
  ASSERT_TRUE(region.Attach(kVersion, kName, child->pid()).ok());
  EXPECT_EQ(region.Owner(), child->pid());
  write_end.reset();
  EXPECT_TRUE(child->Wait().ok());
  // It outlives its maker as long as it is mapped.
  EXPECT_EQ(region.bytes()[3], std::byte{33});
}

}  // namespace
}  // namespace ghost
