#include "kernel/usermode/linux/load_ban.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "gtest/gtest.h"

namespace ghost::usermode {
namespace {

// 0, or the errno, of loading the least program there is.
int TryToLoad() {
  const bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
                           {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "least", "GPL", code, 2, nullptr);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

// This machine lets nobody put programs at functions of its kernel.
bool NotPermitted(int result) { return result == -EPERM && geteuid() == 0; }
#define NEED_BAN(result) \
  if (NotPermitted(result)) GTEST_SKIP() << "this kernel permits no programs at its functions"

// Runs `body` in a child of this process, once it is told to; Run gives what that returns.
class Child {
 public:
  template <typename Body>
  explicit Child(Body body) {
    EXPECT_EQ(pipe(pipe_), 0);
    pid_ = fork();
    if (pid_ != 0) return;
    char byte;
    _exit(read(pipe_[0], &byte, 1) == 1 ? body() : 255);
  }
  pid_t pid() const { return pid_; }
  int Run() {
    EXPECT_EQ(write(pipe_[1], "x", 1), 1);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    return WEXITSTATUS(status);
  }

 private:
  int pipe_[2];
  pid_t pid_;
};

TEST(LoadBanTest, OfThatProcessOnlyAndNotOfItsChildren) {
  LoadBan ban;
  Child free(TryToLoad);
  Child banned(TryToLoad);
  Child parent([] {
    if (TryToLoad() != EPERM) return 200;
    const pid_t child = fork();
    if (child == 0) _exit(TryToLoad());
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  });
  const int added = ban.Add(banned.pid());
  NEED_BAN(added);
  ASSERT_EQ(added, 0);
  ASSERT_EQ(ban.Add(parent.pid()), 0);
  EXPECT_EQ(banned.Run(), EPERM);
  EXPECT_EQ(free.Run(), 0);
  EXPECT_EQ(parent.Run(), 0) << "a ghost kernel's fork clears it, too";
  EXPECT_EQ(TryToLoad(), 0);
}

TEST(LoadBanTest, MapsAreNotForbidden) {
  LoadBan ban;
  Child banned([] { return bpf_map_create(BPF_MAP_TYPE_ARRAY, "map", 4, 4, 1, nullptr) >= 0 ? 0 : errno; });
  const int added = ban.Add(banned.pid());
  NEED_BAN(added);
  ASSERT_EQ(added, 0);
  EXPECT_EQ(banned.Run(), 0);
}

TEST(LoadBanTest, ItEndsWithTheBan) {
  auto ban = std::make_unique<LoadBan>();
  Child banned(TryToLoad);
  const int added = ban->Add(banned.pid());
  NEED_BAN(added);
  ASSERT_EQ(added, 0);
  ban.reset();
  EXPECT_EQ(banned.Run(), 0);
}

}  // namespace
}  // namespace ghost::usermode
