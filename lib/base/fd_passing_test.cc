#include "lib/base/fd_passing.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "gtest/gtest.h"

namespace ghost {
namespace {

class FdPassingTest : public ::testing::Test {
 protected:
  FdPassingTest() {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    one_.reset(sockets[0]);
    other_.reset(sockets[1]);
  }

  ScopedFd one_, other_, fd_;
  char byte_ = 0;
};

TEST_F(FdPassingTest, TheSameFileArrivesAndIsClosedOnExec) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  ScopedFd reads(pipe_fds[0]), writes(pipe_fds[1]);
  ASSERT_TRUE(SendByteAndFd(one_.get(), 'x', writes.get(), 0));
  ASSERT_EQ(ReceiveByteAndFd(other_.get(), &byte_, &fd_, 0), 1);
  EXPECT_EQ(byte_, 'x');
  ASSERT_EQ(write(fd_.get(), "!", 1), 1);
  char read_byte = 0;
  EXPECT_EQ(read(reads.get(), &read_byte, 1), 1);
  EXPECT_EQ(read_byte, '!');
  EXPECT_EQ(fcntl(fd_.get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(FdPassingTest, AByteComesAlone) {
  ASSERT_TRUE(SendByteAndFd(one_.get(), 'y', -1, 0));
  ASSERT_EQ(ReceiveByteAndFd(other_.get(), &byte_, &fd_, MSG_DONTWAIT), 1);
  EXPECT_EQ(byte_, 'y');
  EXPECT_FALSE(fd_.valid());
}

TEST_F(FdPassingTest, NobodyThere) {
  EXPECT_EQ(ReceiveByteAndFd(other_.get(), &byte_, &fd_, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  one_.reset();
  EXPECT_EQ(ReceiveByteAndFd(other_.get(), &byte_, &fd_, 0), 0);
  EXPECT_FALSE(SendByteAndFd(other_.get(), 'z', -1, 0));
  EXPECT_EQ(errno, EPIPE);
}

}  // namespace
}  // namespace ghost
