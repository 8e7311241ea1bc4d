#include "lib/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(ScopedFd, ClosesOnceAndMoves) {
  const int raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(raw, 0);
  {
    ScopedFd a(raw);
    ScopedFd b = std::move(a);
    EXPECT_EQ(b.get(), raw);
    ScopedFd c;
    EXPECT_FALSE(c.valid());
    c = std::move(b);
    EXPECT_TRUE(c.valid());
    EXPECT_TRUE(IsOpen(raw));
    EXPECT_EQ(c.release(), raw);
    EXPECT_TRUE(IsOpen(raw));
    c.reset(raw);
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(File, ReadsWholeFiles) {
  const std::string path = testing::TempDir() + "/read";
  const std::string text(10'000, 'x');
  ASSERT_TRUE(OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600).ok());
  ASSERT_TRUE(WriteFile(path, text).ok());
  const auto read = ReadFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, text);
  const auto procfs = ReadFile("/proc/self/stat");
  ASSERT_TRUE(procfs.ok()) << "a file whose size is 0 until it is read: " << procfs.status();
  EXPECT_NE(*procfs, "");
}

TEST(File, OpensCloseOnExec) {
  const auto fd = OpenFile("/dev/null", O_RDONLY);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
}

TEST(File, ErrorsNameThePath) {
  EXPECT_EQ(ReadFile("/nonexistent/x").status().message(), "cannot open /nonexistent/x: No such file or directory");
  EXPECT_EQ(ErrnoOf(WriteFile("/nonexistent/x", "1")), ENOENT);
  EXPECT_EQ(ReadFile("/").status().message(), "cannot read /: Is a directory");
  EXPECT_EQ(WriteFile("/dev/full", "1").message(), "cannot write /dev/full: No space left on device");
}

TEST(Mapping, SharesTheFile) {
  ScopedFd fd(memfd_create("mapping_test", MFD_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  ASSERT_EQ(ftruncate(fd.get(), 4096), 0);
  auto writer = Mapping::Map(fd.get(), 4096, /*writable=*/true);
  ASSERT_TRUE(writer.ok()) << writer.status();
  auto reader = Mapping::Map(fd.get(), 4096, /*writable=*/false);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::memcpy(writer->data(), "hello", 6);
  Mapping moved = *std::move(reader);
  EXPECT_STREQ(reinterpret_cast<const char*>(moved.data()), "hello");
  EXPECT_EQ(moved.size(), 4096u);
  moved = *std::move(writer);
  EXPECT_STREQ(reinterpret_cast<const char*>(moved.data()), "hello");
}

TEST(Mapping, FailsAsAStatus) { EXPECT_EQ(ErrnoOf(Mapping::Map(-1, 4096, true).status()), EBADF); }

}  // namespace
}  // namespace ghost
