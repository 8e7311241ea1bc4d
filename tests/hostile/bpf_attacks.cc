// Attacks by BPF programs, and by what ghostd is handed together with them. Agents go on scheduling by transactions.
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/dialect.h"
#include "tests/bpf/insn.h"
#include "tests/hostile/stage.h"
#include "third_party/bpf/ghost_maps.h"

namespace ghost::hostile {
namespace {

constexpr uint64_t kRounds = 2'000'000;
constexpr uint64_t kDecisions = 200;
constexpr uint32_t kNumHooks = 3;
constexpr int kContextWords[kNumHooks] = {2, 8, 4};  // bpf_ghost_sched, bpf_ghost_msg, bpf_ghost_select_rq

// What programs read: how many effects they had, what they return, what they write into their context.
struct Orders {
  uint32_t count;
  uint32_t result;
  uint64_t context[8];
};

int Array(const char* name, uint32_t value_size, uint32_t entries) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
  const int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, value_size, entries, &options);
  Require(fd >= 0, std::string("map ") + name);
  return fd;
}

template <typename T>
T* MapArray(int fd, size_t size = sizeof(T)) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  Require(memory != MAP_FAILED, "mmap of a map");
  return static_cast<T*>(memory);
}

struct Maps {
  int tasks = Array("ghost_tasks", sizeof(ghost_view_task), GHOST_VIEW_TASKS);
  int cpus = Array("ghost_cpus", sizeof(ghost_view_cpu), GHOST_VIEW_CPUS);
  int effects = Array("ghost_effects", sizeof(ghost_effects), 1);
  int orders = Array("orders", sizeof(Orders), 1);
};

using Code = std::vector<bpf_insn>;

void Address(Code* code, int reg, int map) {
  code->push_back(Insn(BPF_LD | BPF_DW | BPF_IMM, reg, BPF_PSEUDO_MAP_VALUE, 0, map));
  code->push_back({});
}

int Load(const Code& code) {
  LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_SLEEPABLE);
  const int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "hostile", "GPL", code.data(), code.size(), &options);
  Require(fd >= 0, "load a program");
  return fd;
}

// Does as `orders` says, after `laps` laps of a loop.
int Obedient(const Maps& maps, uint32_t hook, int laps = 0) {
  Code code;
  if (laps > 0) {
    code.push_back(Insn(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0));
    code.push_back(Insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 1));
    code.push_back(Insn(BPF_JMP | BPF_JLT | BPF_K, 2, 0, -2, laps));
  }
  Address(&code, 3, maps.orders);
  Address(&code, 4, maps.effects);
  code.push_back(Insn(BPF_LDX | BPF_MEM | BPF_W, 2, 3, offsetof(Orders, count), 0));
  code.push_back(Insn(BPF_STX | BPF_MEM | BPF_W, 4, 2, offsetof(ghost_effects, count), 0));
  for (int word = 0; word < kContextWords[hook]; ++word) {
    code.push_back(Insn(BPF_LDX | BPF_MEM | BPF_DW, 2, 3, static_cast<int>(offsetof(Orders, context)) + 8 * word, 0));
    code.push_back(Insn(BPF_STX | BPF_MEM | BPF_DW, 1, 2, 8 * word, 0));
  }
  code.push_back(Insn(BPF_LDX | BPF_MEM | BPF_W, 0, 3, offsetof(Orders, result), 0));
  code.push_back(Insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return Load(code);
}

uint32_t AbiOf(Stage& stage) {
  const auto version = stage.enclave().ReadFile("abi_version");
  Require(version.ok(), "abi_version");
  return static_cast<uint32_t>(std::stoul(*version));
}

// Through an open `ctl` of its own, which is the link. >= 0: that; else -errno.
int Attach(Stage& stage, const ghostd_ioc_bpf_attach& attach) {
  const int ctl = open((stage.enclave().directory() + "/ctl").c_str(), O_RDWR | O_CLOEXEC);
  if (ctl < 0) return -errno;
  if (ioctl(ctl, GHOSTD_IOC_BPF_ATTACH, &attach) == 0) return ctl;
  const int error = -errno;
  close(ctl);
  return error;
}

ghostd_ioc_bpf_attach Good(Stage& stage, const Maps& maps, int program, uint32_t hook) {
  return {.prog_fd = program,
          .tasks_fd = maps.tasks,
          .cpus_fd = maps.cpus,
          .effects_fd = maps.effects,
          .attach_type = (BPF_GHOST_SCHED_PNT + hook) | AbiOf(stage) << 16,
          .flags = 0};
}

std::vector<int> AttachAll(Stage& stage, const Maps& maps, int laps = 0) {
  std::vector<int> links;
  for (uint32_t hook = 0; hook < kNumHooks; ++hook) {
    const int program = Obedient(maps, hook, laps);
    links.push_back(Attach(stage, Good(stage, maps, program, hook)));
    errno = -links.back();
    Require(links.back() >= 0, "attach at hook " + std::to_string(hook));
    close(program);
  }
  return links;
}

template <typename T>
void Store(T* word, uint64_t value) {
  __atomic_store_n(word, static_cast<T>(value), __ATOMIC_RELAXED);
}

// An effect that is almost one that can be carried out: real tasks and barriers, one part of it wrong now and then.
void AlmostGood(Stage& stage, ghost_effect* effect, Noise& noise) {
  const ghost_status_word& word = stage.words()[noise() % 64];
  const bool forged = noise() % 4 == 0;
  Store(&effect->kind, noise() % 5);
  Store(&effect->cpu, noise() % 3 == 0 ? noise() : noise() % 8);
  Store(&effect->gtid, forged ? noise() >> (noise() % 64) : __atomic_load_n(&word.gtid, __ATOMIC_RELAXED));
  Store(&effect->barrier, __atomic_load_n(&word.barrier, __ATOMIC_RELAXED) + (noise() % 4 == 0 ? 1 : 0));
  Store(&effect->flags, noise() % 2 == 0 ? noise() & 0x1e67 : noise());
}

// Every effect and result there can be, at all hooks, while the words change: tasks of nobody and of others, on any
// CPU.
void GarbageEffects(Stage& stage) {
  auto* maps = new Maps;
  auto* effects = MapArray<ghost_effects>(maps->effects);
  auto* orders = MapArray<Orders>(maps->orders);
  AttachAll(stage, *maps);
  stage.Hammer(kRounds, [&stage, effects, orders](Noise& noise) {
    AlmostGood(stage, &effects->effect[noise() % 4], noise);
    Store(&orders->count, noise() % 16 == 0 ? noise() : noise() % 4);
    Store(&orders->result, noise() % 4 == 0 ? noise() : 0);
    for (uint64_t& word : orders->context) Store(&word, noise() % 2 == 0 ? noise() : 0);
  });
}

// All of the maps, while ghostd writes there.
void ScribbledMaps(Stage& stage) {
  auto* maps = new Maps;
  auto* tasks = MapArray<uint64_t>(maps->tasks, sizeof(ghost_view_task) * GHOST_VIEW_TASKS);
  auto* cpus = MapArray<uint64_t>(maps->cpus, sizeof(ghost_view_cpu) * GHOST_VIEW_CPUS);
  auto* effects = MapArray<uint64_t>(maps->effects, sizeof(ghost_effects));
  MapArray<Orders>(maps->orders)->count = GHOST_MAX_EFFECTS;  // each run has what is there carried out
  AttachAll(stage, *maps);
  stage.Hammer(kRounds, [=](Noise& noise) {
    Store(&tasks[noise() % (sizeof(ghost_view_task) * GHOST_VIEW_TASKS / 8)], noise());
    Store(&cpus[noise() % (sizeof(ghost_view_cpu) * GHOST_VIEW_CPUS / 8)], noise());
    Store(&effects[noise() % (sizeof(ghost_effects) / 8)], noise());
    Store(&effects[noise() % 8], noise());
  });
}

// Each run asks for as many runs of all CPUs as fit.
void EndlessEffects(Stage& stage) {
  auto* maps = new Maps;
  auto* effects = MapArray<ghost_effects>(maps->effects);
  for (int i = 0; i < GHOST_MAX_EFFECTS; ++i) {
    effects->effect[i] = {.kind = GHOST_EFFECT_RESCHED,
                          .cpu = i % 2,
                          .gtid = 0,
                          .barrier = 0,
                          .flags = RESCHED_ANY_CLASS | SET_MUST_RESCHED | WAKE_AGENT};
  }
  auto* orders = MapArray<Orders>(maps->orders);
  orders->count = GHOST_MAX_EFFECTS;
  orders->context[0] = 0x0101010101010101;
  // Not of messages: their contexts are what agents see.
  const int program = Obedient(*maps, 0);
  Require(Attach(stage, Good(stage, *maps, program, 0)) >= 0, "attach");
  stage.AwaitDecisions(kDecisions);
}

// As long as the verifier lets a loop be.
void LoopsToTheLimit(Stage& stage) {
  auto* maps = new Maps;
  constexpr int kLaps = 450'000;  // of two instructions, of a million that it follows
  AttachAll(stage, *maps, kLaps);
  stage.AwaitDecisions(kDecisions);
}

// Programs come and go at all hooks while they run.
void ReplacedPrograms(Stage& stage) {
  auto* maps = new Maps;
  for (int i = 0; i < 200; ++i) {
    if (i % 50 == 0) maps = new Maps;
    for (int link : AttachAll(stage, *maps)) close(link);
  }
  stage.AwaitDecisions(kDecisions);
}

// The maps are another process's, too, which goes on writing when the agent has closed and unmapped them, and is dead.
void SharedMaps(Stage& stage) {
  auto* maps = new Maps;
  MapArray<Orders>(maps->orders)->count = GHOST_MAX_EFFECTS;
  AttachAll(stage, *maps);
  if (fork() == 0) {
    alarm(5);
    auto* effects = MapArray<uint64_t>(maps->effects, sizeof(ghost_effects));
    for (Noise noise(3);;) Store(&effects[noise() % (noise() % 4 == 0 ? sizeof(ghost_effects) / 8 : 8)], noise());
  }
  for (int fd : {maps->tasks, maps->cpus, maps->effects, maps->orders}) close(fd);
  stage.AwaitDecisions(kDecisions);
}

void Refused(Stage& stage, ghostd_ioc_bpf_attach attach, const char* what) {
  const int result = Attach(stage, attach);
  errno = 0;
  Require(result < 0, std::string("it took ") + what);
}

// Descriptors of everything that is no program and no map of that shape.
void AttachGarbage(Stage& stage) {
  auto* maps = new Maps;
  const ghostd_ioc_bpf_attach good = Good(stage, *maps, Obedient(*maps, 1), 1);
  int pipes[2];
  Require(pipe(pipes) == 0, "pipe");
  const int others[] = {-1,
                        0,
                        1 << 20,
                        pipes[0],
                        stage.ctl(),
                        stage.queue().fd,
                        open("/proc/self/mem", O_RDWR),
                        open("/", O_RDONLY),
                        socket(AF_UNIX, SOCK_STREAM, 0),
                        open("/dev/null", O_RDWR),
                        Array("other", 8, 1),
                        maps->cpus};
  for (int other : others) {
    for (auto member : {&ghostd_ioc_bpf_attach::prog_fd, &ghostd_ioc_bpf_attach::tasks_fd,
                        &ghostd_ioc_bpf_attach::cpus_fd, &ghostd_ioc_bpf_attach::effects_fd}) {
      ghostd_ioc_bpf_attach attach = good;
      if (attach.*member == other) continue;
      attach.*member = other;
      Refused(stage, attach, "a descriptor of another kind");
    }
  }
  Noise noise(5);
  for (int i = 0; i < 2000; ++i) {
    ghostd_ioc_bpf_attach attach = good;
    attach.attach_type = static_cast<uint32_t>(noise());
    if (attach.attach_type >> 16 != good.attach_type >> 16) Refused(stage, attach, "another ABI");
    attach.attach_type = good.attach_type;
    attach.flags = static_cast<uint32_t>(noise() | 1);
    Refused(stage, attach, "flags");
  }
}

// Maps that ghostd can't map for writing any more.
void FrozenMaps(Stage& stage) {
  auto* maps = new Maps;
  const ghostd_ioc_bpf_attach good = Good(stage, *maps, Obedient(*maps, 1), 1);
  Require(bpf_map_freeze(maps->tasks) == 0, "freeze a map");
  Refused(stage, good, "a frozen map");
}

// A child keeps the open files that are the links, until the enclave is gone.
void Heir(Stage& stage) {
  auto* maps = new Maps;
  const std::vector<int> links = AttachAll(stage, *maps);
  if (fork() != 0) return;
  alarm(60);
  // Nothing else: not the file by which an agent says that it is there.
  const auto [first, last] = std::minmax_element(links.begin(), links.end());
  close_range(3, static_cast<unsigned>(*first) - 1, 0);
  close_range(static_cast<unsigned>(*last) + 1, ~0U, 0);
  while (access(stage.enclave().directory().c_str(), F_OK) == 0) usleep(10'000);
  _exit(0);
}

void DeadEnclave(Stage& stage) {
  auto* maps = new Maps;
  const std::vector<int> links = AttachAll(stage, *maps);
  ghostd_ioc_bpf_attach again = Good(stage, *maps, Obedient(*maps, 1), 1);
  if (fork() != 0) return;  // agents die with their enclave: a child looks on
  alarm(20);
  dprintf(stage.ctl(), "destroy");
  close(links[1]);
  for (int i = 0; i < 1000; ++i) Require(ioctl(stage.ctl(), GHOSTD_IOC_BPF_ATTACH, &again) != 0 || i < 10, "attached");
  _exit(0);
}

}  // namespace

const std::vector<Attack> kBpfAttacks = {
    {"bpf_garbage_effects", "effects, results and contexts of any value", GarbageEffects},
    {"bpf_scribbled_maps", "any word of the maps", ScribbledMaps},
    {"bpf_endless_effects", "each run asks for more of them", EndlessEffects},
    {"bpf_loops", "programs that run as long as the verifier allows", LoopsToTheLimit},
    {"bpf_replaced", "programs come and go while they run", ReplacedPrograms},
    {"bpf_shared_maps", "another process writes into the maps", SharedMaps},
    {"bpf_attach_garbage", "descriptors, types and flags that are none", AttachGarbage},
    {"bpf_frozen_maps", "maps that can't be written any more", FrozenMaps},
    {"bpf_heir", "programs that stay when their agent is dead", Heir},
    {"bpf_dead_enclave", "programs, and more of them, after destroy", DeadEnclave},
};

}  // namespace ghost::hostile
