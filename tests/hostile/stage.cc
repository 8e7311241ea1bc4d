#include "tests/hostile/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <utility>

#include "lib/ghostfs.h"

namespace ghost::hostile {

void Require(bool ok, const std::string& what) {
  if (ok) return;
  fprintf(stderr, "hostile_agent: %s (errno %d: %s)\n", what.c_str(), errno, strerror(errno));
  fflush(nullptr);
  _exit(1);
}

void Stage::Step(const char* name) {
  if (options_.die_at != name) return;
  printf("dying at %s\n", name);
  fflush(stdout);
  kill(getpid(), SIGKILL);
}

void Stage::SetUp() {
  agent_words_.assign(CpuSet::kMaxCpus, 0);
  agent_tids_.assign(CpuSet::kMaxCpus, 0);
  OpenEnclave();
  MapMemory();
  StartAgents();
}

void Stage::OpenEnclave() {
  auto kernel = OpenGhostfs("");
  Require(kernel.ok(), "no ghostfs: " + std::string(kernel.status().message()));
  kernel_ = *std::move(kernel);
  Step("opened");
  auto enclave =
      options_.attach.empty() ? kernel_->CreateEnclave(options_.cpus) : kernel_->AttachEnclave(options_.attach);
  Require(enclave.ok(), "no enclave: " + std::string(enclave.status().message()));
  enclave_ = *std::move(enclave);
  ctl_ = open((enclave_->directory() + "/ctl").c_str(), O_RDWR | O_CLOEXEC);
  Require(ctl_ >= 0, "ctl");
  Step("created");
}

void Stage::MapMemory() {
  auto cpu_data = enclave_->MapCpuData();
  Require(cpu_data.ok(), "cpu_data: " + std::string(cpu_data.status().message()));
  cpu_data_region_ = *cpu_data;
  cpu_data_ = reinterpret_cast<ghost_cpu_data*>(cpu_data_region_.data);
  Step("mapped");
  Require(enclave_->CreateStatusWords(0, 0).ok(), "create sw_region");
  Step("words");
  const int fd = open((enclave_->directory() + "/sw_regions/sw_0").c_str(), O_RDWR | O_CLOEXEC);
  Require(fd >= 0, "sw_0");
  const size_t size = sizeof(ghost_sw_region_header) + kWords * sizeof(ghost_status_word);
  void* words = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  Require(words != MAP_FAILED, "map sw_0");
  close(fd);
  words_ = static_cast<ghost_sw_region_header*>(words);
  auto queue = enclave_->CreateQueue(options_.queue_elems, 0);
  Require(queue.ok(), "queue: " + std::string(queue.status().message()));
  queue_ = *std::move(queue);
  Step("queue");
  if (options_.attach.empty()) {
    ghost_ioc_set_default_queue set = {.fd = queue_.fd};
    Require(Ioctl(GHOST_IOC_SET_DEFAULT_QUEUE, &set) == 0, "SET_DEFAULT_QUEUE");
  }
  Step("default");
  ghost_agent_wakeup wakeup[GHOST_MAX_WINFO] = {};
  int count = 0;
  for (int cpu : options_.cpus) {
    if (count < GHOST_MAX_WINFO) wakeup[count++].cpu = cpu;
  }
  ghost_ioc_config_queue_wakeup config = {.qfd = queue_.fd, .w = reinterpret_cast<uint64_t>(wakeup), .ninfo = count};
  Require(Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, &config) == 0, "CONFIG_QUEUE_WAKEUP");
  Step("wakeup");
}

void Stage::StartAgents() {
  for (int cpu : options_.cpus) {
    std::thread([this, cpu] {
      BecomeAgent(cpu);
      agent_tids_[static_cast<size_t>(cpu)] = gettid();
      ++agents_running_;
      while (!spin_) ScheduleOnce(cpu);
      ++agents_spinning_;
      for (;;) continue;
    }).detach();
    while (agents_running_.load() == 0) usleep(100);
    Step("one_agent");
  }
  while (agents_running_.load() < options_.cpus.size()) usleep(100);
  Step("agents");
  Require(enclave_->AdvertiseOnline().ok(), "agent_online");
  Step("online");
}

void Stage::BecomeAgent(int cpu) {
  errno = -enclave_->BecomeAgent(cpu, queue_.fd);
  Require(errno == 0, "become agent");
  ghost_ioc_sw_get_info get = {.request = {.type = GHOST_AGENT, .arg = static_cast<uint64_t>(cpu)}};
  errno = -Ioctl(GHOST_IOC_SW_GET_INFO, &get);
  Require(errno == 0 && get.response.index < kWords, "SW_GET_INFO of the agent");
  agent_words_[static_cast<size_t>(cpu)] = get.response.index;
}

uint32_t Stage::AgentBarrier(int cpu) const {
  auto* words = reinterpret_cast<ghost_status_word*>(words_ + 1);
  return __atomic_load_n(&words[agent_words_[static_cast<size_t>(cpu)]].barrier, __ATOMIC_ACQUIRE);
}

const ghost_status_word* Stage::NextRunnable() {
  for (int i = 0; i < kWords; ++i) {
    const ghost_status_word& word = words()[next_word_.fetch_add(1, std::memory_order_relaxed) % kWords];
    const uint32_t flags = __atomic_load_n(&word.flags, __ATOMIC_ACQUIRE);
    constexpr uint32_t kWanted = GHOST_SW_F_INUSE | GHOST_SW_TASK_RUNNABLE;
    constexpr uint32_t kUnwanted = GHOST_SW_TASK_ONCPU | GHOST_SW_TASK_IS_AGENT | GHOST_SW_F_CANFREE;
    if ((flags & kWanted) == kWanted && (flags & kUnwanted) == 0) return &word;
  }
  return nullptr;
}

void Stage::Open(int cpu, int64_t gtid, uint32_t task_barrier, uint8_t commit_flags, uint16_t run_flags) {
  ghost_txn& txn = this->txn(cpu);
  txn.version = GHOST_TXN_VERSION;
  txn.cpu = cpu;
  txn.agent_barrier = AgentBarrier(cpu);
  txn.task_barrier = task_barrier;
  txn.run_flags = run_flags;
  txn.commit_flags = commit_flags;
  txn.gtid = gtid;
  __atomic_store_n(&txn.state, GHOST_TXN_READY, __ATOMIC_RELEASE);
}

int Stage::Commit(uint64_t mask, unsigned long number) {
  ghost_ioc_commit_txn commit = {.mask_ptr = reinterpret_cast<uint64_t>(&mask), .mask_len = sizeof(mask), .flags = 0};
  return Ioctl(number, &commit);
}

int Stage::Run(int cpu, int64_t gtid, uint32_t agent_barrier, int flags) {
  ghost_ioc_run run = {.gtid = gtid, .agent_barrier = agent_barrier, .run_cpu = cpu, .run_flags = flags};
  return Ioctl(GHOST_IOC_RUN, &run);
}

void Stage::ScheduleOnce(int cpu) {
  const uint32_t barrier = AgentBarrier(cpu);
  if (options_.drain) {
    const uint32_t head = __atomic_load_n(&ring()->head, __ATOMIC_ACQUIRE);
    __atomic_store_n(&ring()->tail, head, __ATOMIC_RELEASE);
  }
  if (const ghost_status_word* word = options_.only_wait ? nullptr : NextRunnable(); word != nullptr) {
    const auto gtid = static_cast<int64_t>(__atomic_load_n(&word->gtid, __ATOMIC_RELAXED));
    Open(cpu, gtid, __atomic_load_n(&word->barrier, __ATOMIC_RELAXED));
    Commit(uint64_t{1} << cpu);
  } else {
    Run(cpu, GHOST_NULL_GTID, barrier);
  }
  decisions_.fetch_add(1, std::memory_order_relaxed);
}

void Stage::Hammer(uint64_t rounds, std::function<void(Noise&)> blow) {
  auto* done = new std::atomic<uint64_t>{0};  // for the thread, which never ends
  std::thread([blow = std::move(blow), done] {
    for (Noise noise(1);; done->fetch_add(1, std::memory_order_relaxed)) blow(noise);
  }).detach();
  while (done->load() < rounds) usleep(1000);
}

void Stage::Spin() {
  spin_ = true;
  for (int cpu : options_.cpus) Run(cpu, GHOST_AGENT_GTID, 0);
  while (agents_spinning_ < options_.cpus.size()) usleep(1000);
}

void Stage::AwaitDecisions(uint64_t count) {
  const uint64_t wanted = decisions_.load() + count;
  while (decisions_.load() < wanted) usleep(1000);
}

}  // namespace ghost::hostile
