// Rules of section 12: BPF programs of agents. Programs are loaded by bpf(2) itself: the suite is carried to machines
// that may lack libbpf.
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/dialect.h"
#include "tests/conformance/kit.h"
#include "third_party/bpf/ghost_maps.h"

namespace ghost::conformance {
namespace {

int Bpf(int command, bpf_attr* attributes) {
  const long result = syscall(SYS_bpf, command, attributes, sizeof(*attributes));
  return static_cast<int>(result < 0 ? -errno : result);
}

// Programs that do nothing, of the suite itself, at the hooks of one enclave. A link is a descriptor of the suite.
class Programs {
 public:
  explicit Programs(Enclave& enclave) : enclave_(enclave), run_(enclave.run()), user_mode_(run_.traits().user_mode) {
    if (!user_mode_) return;
    tasks_ = MakeArray(sizeof(ghost_view_task), GHOST_VIEW_TASKS);
    cpus_ = MakeArray(sizeof(ghost_view_cpu), GHOST_VIEW_CPUS);
    effects_ = MakeArray(sizeof(ghost_effects), 1);
  }
  ~Programs() {
    for (int fd : {tasks_, cpus_, effects_}) close(fd);
  }

  // The link, or -errno. `hook`: 0 pick next task, 1 message, 2 select_rq.
  int64_t Attach(uint32_t hook, uint32_t abi) {
    const uint32_t type = (BPF_GHOST_SCHED_PNT + hook) | abi << 16;
    const int program = Load(hook, type);
    if (program < 0) return program;
    const int64_t ctl = Open(run_, enclave_.Path("ctl"), O_RDWR);
    const int64_t link = user_mode_ ? ByIoctl(program, ctl, type) : ByLink(program, static_cast<int>(ctl), type);
    close(program);
    if (link != ctl) Close(run_, ctl);
    return link;
  }
  int64_t Attach(uint32_t hook) { return Attach(hook, run_.abi().number); }
  void Detach(int64_t link) { Close(run_, link); }

 private:
  int MakeArray(size_t value_size, uint32_t elements) {
    bpf_attr attributes = {};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = 4;
    attributes.value_size = static_cast<uint32_t>(value_size);
    attributes.max_entries = elements;
    attributes.map_flags = BPF_F_MMAPABLE;
    return Check("BPF_MAP_CREATE", Bpf(BPF_MAP_CREATE, &attributes));
  }
  int Load(uint32_t hook, uint32_t type) {
    const bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
                             {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    bpf_attr attributes = {};
    attributes.prog_type = user_mode_ ? uint32_t{BPF_PROG_TYPE_SYSCALL} : BPF_PROG_TYPE_GHOST_SCHED + hook;
    attributes.expected_attach_type = user_mode_ ? 0 : type;
    attributes.prog_flags = user_mode_ ? BPF_F_SLEEPABLE : 0;
    attributes.insns = reinterpret_cast<uint64_t>(code);
    attributes.insn_cnt = 2;
    attributes.license = reinterpret_cast<uint64_t>("GPL");
    const int program = Bpf(BPF_PROG_LOAD, &attributes);
    return user_mode_ ? Check("BPF_PROG_LOAD", program) : program;
  }
  int Check(const char* what, int result) {
    run_.Need(result != -EPERM && result != -ENOSYS, "the suite may load no BPF programs here");
    run_.Want(what, result >= 0);
    return result;
  }
  int64_t ByIoctl(int program, int64_t ctl, uint32_t type) {
    auto* attach = New<ghostd_ioc_bpf_attach>(run_, {.prog_fd = program,
                                                     .tasks_fd = tasks_,
                                                     .cpus_fd = cpus_,
                                                     .effects_fd = effects_,
                                                     .attach_type = type,
                                                     .flags = 0});
    const int64_t result =
        Do(run_, run_.world().Self(),
           {Op::kIoctl, {static_cast<uint64_t>(ctl), static_cast<uint64_t>(GHOSTD_IOC_BPF_ATTACH), Address(attach)}});
    return result == 0 ? ctl : result;
  }
  static int64_t ByLink(int program, int ctl, uint32_t type) {
    bpf_attr attributes = {};
    attributes.link_create.prog_fd = static_cast<uint32_t>(program);
    attributes.link_create.target_fd = static_cast<uint32_t>(ctl);
    attributes.link_create.attach_type = type;
    return Bpf(BPF_LINK_CREATE, &attributes);
  }

  Enclave& enclave_;
  conformance::Run& run_;
  const bool user_mode_;
  int tasks_ = -1, cpus_ = -1, effects_ = -1;
};

void NeedBpf(Run& run) {
  run.Need(!run.traits().simulated, "a simulation's programs are C++: kernel/usermode/core/programs_test.cc");
}

RULE("12", "BPF programs of agents: one at each attach point, EBUSY for a second one") {
  NeedBpf(run);
  if (run.over()) return;
  Enclave enclave(run);
  Programs programs(enclave);
  const int64_t message = programs.Attach(1);
  run.Want("a program for messages: " + ResultText(message), message >= 0);
  run.Want("a second one", Errno(EBUSY), ResultText(programs.Attach(1)));
  const int64_t pick = programs.Attach(0);
  run.Want("one for pick-next-task: " + ResultText(pick), pick >= 0);
  programs.Detach(message);
  const int64_t again = programs.Attach(1);
  run.Want("once the first's link is closed: " + ResultText(again), again >= 0);
  programs.Detach(again);
  programs.Detach(pick);
}

RULE("12", "BPF programs of agents: the attach type has the enclave's ABI in its upper half, or it is refused") {
  NeedBpf(run);
  if (run.over()) return;
  Enclave enclave(run);
  Programs programs(enclave);
  const int64_t link = programs.Attach(1, run.abi().number + 1);
  if (run.traits().user_mode) {
    run.Want("another ABI's", Errno(EBADF), ResultText(link));
  } else {
    run.Want("another ABI's: " + ResultText(link), link < 0);  // at the load, or the attachment
  }
}

RULE("12", "disable my bpf_prog_load: bpf(BPF_PROG_LOAD) of the process fails with EPERM from then on") {
  run.Need(!run.traits().user_mode, "what it forbids is looked at by kernel/usermode/linux/load_ban_test.cc");
}

}  // namespace
}  // namespace ghost::conformance
