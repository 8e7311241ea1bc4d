// What an agent may hand over that is no program, or a program of no sense: nothing but a count comes of it.
#include "kernel/usermode/linux/bpf_host.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/abi/abi_version.h"
#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/core_harness.h"
#include "lib/base/file.h"
#include "lib/bpf/programs.h"
#include "third_party/bpf/biff.h"
#include "third_party/bpf/biff_objects.h"
#include "third_party/bpf/ghost_maps.h"

namespace ghost::usermode {
namespace {

using testing::HasSubstr;

constexpr uint32_t kAbi = 91;

class BpfHostTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = BpfPrograms::LoadFor(/*user_mode=*/true, "biff", BiffObjects(), "/nowhere", *FindAbi(kAbi));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    programs_ = *std::move(loaded);
    harness_.core.SetBpfLoader(&host_);
    harness_.MakeEnclave(1, "0-1");
    good_ = programs_->AttachRequest(programs_->ProgramFd("biff_msg"), BPF_GHOST_MSG_SEND | kAbi << 16);
  }

  int64_t OpenCtl() { return harness_.Open("enclave_1/ctl", O_RDWR); }
  int Attach(int64_t ctl, ghostd_ioc_bpf_attach attach) {
    return harness_.core
        .Ioctl(static_cast<uint64_t>(ctl), GHOSTD_IOC_BPF_ATTACH, std::as_writable_bytes(std::span(&attach, 1)), self_,
               1)
        .result;
  }
  // What `change` makes of a good one: its result, through an open ctl that is closed again.
  template <typename Change>
  int AttachWith(Change change) {
    ghostd_ioc_bpf_attach attach = good_;
    change(attach);
    const int64_t ctl = OpenCtl();
    const int result = Attach(ctl, attach);
    harness_.core.Release(static_cast<uint64_t>(ctl));
    return result;
  }
  // A program that stores what `store` says (offset in ghost_effects, value), and returns 0.
  int LoadStoring(const std::vector<std::pair<int, int32_t>>& stores) {
    std::vector<bpf_insn> code = {{.code = BPF_LD | BPF_DW | BPF_IMM,
                                   .dst_reg = 1,
                                   .src_reg = BPF_PSEUDO_MAP_VALUE,
                                   .off = 0,
                                   .imm = good_.effects_fd},
                                  {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    for (const auto& [offset, value] : stores) {
      code.push_back({.code = BPF_ST | BPF_MEM | BPF_W,
                      .dst_reg = 1,
                      .src_reg = 0,
                      .off = static_cast<__s16>(offset),
                      .imm = value});
    }
    code.push_back({.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0});
    code.push_back({.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0});
    LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_SLEEPABLE);
    return bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "store", "GPL", code.data(), code.size(), &options);
  }

  std::vector<std::string> log_;
  BpfHost host_{2, [this](const std::string& line) { log_.push_back(line); }};
  FakeCaller self_{getpid(), getpid()};
  Harness harness_;
  std::unique_ptr<BpfPrograms> programs_;
  ghostd_ioc_bpf_attach good_ = {};
};

TEST_F(BpfHostTest, TakesAGoodOneAndLetsItGoWithItsFile) {
  const int64_t ctl = OpenCtl();
  ASSERT_EQ(Attach(ctl, good_), 0);
  EXPECT_EQ(AttachWith([](auto&) {}), -EBUSY);
  harness_.core.Release(static_cast<uint64_t>(ctl));
  EXPECT_EQ(AttachWith([](auto&) {}), 0) << "the file was the link";
}

TEST_F(BpfHostTest, RefusesWhatIsNone) {
  EXPECT_EQ(AttachWith([](auto& attach) { attach.prog_fd = -1; }), -EBADF);
  EXPECT_EQ(AttachWith([](auto& attach) { attach.prog_fd = 9999; }), -EBADF);
  EXPECT_EQ(AttachWith([](auto& attach) { attach.prog_fd = 0; }), -EINVAL) << "no BPF object";
  EXPECT_EQ(AttachWith([](auto& attach) { attach.prog_fd = attach.tasks_fd; }), -EINVAL) << "a map";
  EXPECT_EQ(AttachWith([](auto& attach) { attach.tasks_fd = attach.prog_fd; }), -EINVAL) << "a program";
  EXPECT_EQ(AttachWith([](auto& attach) { attach.tasks_fd = attach.cpus_fd; }), -EINVAL) << "another shape";
  EXPECT_EQ(AttachWith([](auto& attach) { std::swap(attach.cpus_fd, attach.effects_fd); }), -EINVAL);
  EXPECT_EQ(AttachWith([](auto& attach) { attach.flags = 1; }), -EINVAL);
  EXPECT_EQ(AttachWith([](auto& attach) { attach.attach_type = 1999 | kAbi << 16; }), -EINVAL);
  EXPECT_EQ(AttachWith([](auto& attach) { attach.attach_type = 2003 | kAbi << 16; }), -EINVAL);
  EXPECT_EQ(AttachWith([](auto& attach) { attach.attach_type = BPF_GHOST_MSG_SEND; }), -EBADF) << "no version";
  self_.user = 12345;
  EXPECT_EQ(AttachWith([](auto&) {}), geteuid() == 12345 ? 0 : -EPERM);
}

TEST_F(BpfHostTest, RefusesProgramsOfOtherTypes) {
  const bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
                           {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  ScopedFd other(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "other", "GPL", code, 2, nullptr));
  ASSERT_TRUE(other.valid());
  EXPECT_EQ(AttachWith([&](auto& attach) { attach.prog_fd = other.get(); }), -EINVAL);
}

TEST_F(BpfHostTest, AMapThatIsTooSmallOrNotMappable) {
  ScopedFd small(bpf_map_create(BPF_MAP_TYPE_ARRAY, "small", 4, sizeof(ghost_view_task), 16, nullptr));
  ASSERT_TRUE(small.valid());
  EXPECT_EQ(AttachWith([&](auto& attach) { attach.tasks_fd = small.get(); }), -EINVAL);
  ScopedFd plain(bpf_map_create(BPF_MAP_TYPE_ARRAY, "plain", 4, sizeof(ghost_view_cpu), GHOST_VIEW_CPUS, nullptr));
  ASSERT_TRUE(plain.valid());
  EXPECT_EQ(AttachWith([&](auto& attach) { attach.cpus_fd = plain.get(); }), -EINVAL);
}

TEST_F(BpfHostTest, AbsurdEffectsAreCountedAndSaidOnce) {
  // More than there can be, of kinds and CPUs that there are not.
  ScopedFd program(LoadStoring({{12, -1}, {32, 99}, {36, 1 << 30}, {56, 1}, {60, -7}, {80, 3}, {84, 4000}, {104, 2}}));
  ASSERT_TRUE(program.valid()) << errno;
  const int64_t ctl = OpenCtl();
  ghostd_ioc_bpf_attach attach = good_;
  attach.prog_fd = program.get();
  ASSERT_EQ(Attach(ctl, attach), 0);
  TestAgent agent(&harness_, 1, 0, 10);
  EXPECT_GT(harness_.Enter(1, 100), 0);
  EXPECT_THAT(agent.Drain(), testing::ElementsAre("NEW 100 seq=1 runnable=1")) << "plain behaviour";
  EXPECT_THAT(log_, testing::ElementsAre(HasSubstr("can't be done")));
  EXPECT_THAT(harness_.Read("stats"), HasSubstr("\"failed_effects\": 64"));
  harness_.core.CheckInvariants();
  harness_.core.Release(static_cast<uint64_t>(ctl));
}

// A latch that the program was told of and that can't be: the task comes back by a message.
TEST_F(BpfHostTest, ALatchThatFailsGivesTheTaskBack) {
  TestAgent agent(&harness_, 1, 0, 10);
  const int64_t gtid = harness_.Enter(1, 100);
  ASSERT_GT(gtid, 0);
  // A wrong barrier.
  ScopedFd program(LoadStoring({{12, 1},
                                {32, GHOST_EFFECT_RUN_GTID},
                                {40, static_cast<int32_t>(gtid)},
                                {44, static_cast<int32_t>(gtid >> 32)},
                                {48, 77}}));
  ASSERT_TRUE(program.valid()) << errno;
  const int64_t ctl = OpenCtl();
  ghostd_ioc_bpf_attach attach = good_;
  attach.prog_fd = program.get();
  attach.attach_type = BPF_GHOST_SCHED_PNT | kAbi << 16;
  ASSERT_EQ(Attach(ctl, attach), 0);
  agent.Take();
  harness_.core.OnOtherClass(0, true);
  const std::vector<Message> messages = agent.Take();
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(std::get<TaskLatchFailure>(messages[0].payload).gtid, gtid);
  EXPECT_EQ(std::get<TaskLatchFailure>(messages[0].payload).error, ESTALE);
  EXPECT_THAT(log_, testing::ElementsAre(HasSubstr("can't be done")));
  harness_.core.Release(static_cast<uint64_t>(ctl));
}

TEST_F(BpfHostTest, AProgramThatReschedulesForEverIsThrottled) {
  // Hook 0 asks for its CPU to be scheduled anew, each time.
  ScopedFd program(LoadStoring({{12, 1}, {32, GHOST_EFFECT_RESCHED}, {36, 0}, {52, RESCHED_ANY_CLASS}}));
  ASSERT_TRUE(program.valid()) << errno;
  const int64_t ctl = OpenCtl();
  ghostd_ioc_bpf_attach attach = good_;
  attach.prog_fd = program.get();
  attach.attach_type = BPF_GHOST_SCHED_PNT | kAbi << 16;
  ASSERT_EQ(Attach(ctl, attach), 0);
  TestAgent agent(&harness_, 1, 0, 10);
  for (int tries = 0; tries < 3 && !agent.parked(); ++tries) agent.Yield();  // the first is stale: it has been woken
  EXPECT_TRUE(agent.parked());
  EXPECT_THAT(harness_.Read("stats"), testing::Not(HasSubstr("\"throttled\": 0")));
  harness_.core.Release(static_cast<uint64_t>(ctl));
}

// Loaded, and its agent is gone before it attaches: nothing is there that could stay.
TEST_F(BpfHostTest, AnAgentThatDiesBeforeItAttaches) {
  FakeCaller dead(999999, 999999);
  std::unique_ptr<BpfProgram> program;
  EXPECT_LT(host_.Take(good_, dead, &program), 0);
  EXPECT_EQ(program, nullptr);
  // … and one that dies after: what ghostd has is a copy, and works until the file is closed.
  const int64_t ctl = OpenCtl();
  ASSERT_EQ(Attach(ctl, good_), 0);
  programs_.reset();
  TestAgent agent(&harness_, 1, 0, 10);
  EXPECT_GT(harness_.Enter(1, 100), 0);
  EXPECT_THAT(agent.Drain(), testing::IsEmpty()) << "biff's program drops all messages of tasks";
  harness_.core.Release(static_cast<uint64_t>(ctl));
  EXPECT_GT(harness_.Enter(1, 101), 0);
  EXPECT_THAT(agent.Drain(), testing::ElementsAre("NEW 101 seq=1 runnable=1"));
}

}  // namespace
}  // namespace ghost::usermode
