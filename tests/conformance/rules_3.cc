// Rules of sections 3 (shared memory), 3.1 (producing a message) and 3.2 (what is sent at all).
#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

// ---- 3 ----

RULE("3", "a region's header: version 0, id, node, start 64, capacity 65534, all of them available") {
  Enclave enclave(run, {.words = false});
  run.Want("create", int64_t{20}, enclave.Write("ctl", "create sw_region 5 0"));
  const ghost_sw_region_header header = enclave.Header(5);
  run.Want("version", 0u, header.version);
  run.Want("id", 5u, header.id);
  run.Want("node", 0u, header.numa_node);
  run.Want("start", 64u, header.start);
  run.Want("capacity", 65534u, header.capacity);
  run.Want("available", 65534u, header.available);
}

RULE("3", "available is one less for each task and agent") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  run.Want("available", 65532u, enclave.Header(0).available);
}

RULE("3", "status words are taken in a circle, from the one after the last: a freed one is not the next") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task first(enclave, "A", {.asleep = true});
  const uint32_t index = first.sw().index;
  run.world().Kill(first.actor(), 9);
  agent.queue().Expect({"NEW A seq=1 runnable=0", "DEAD A seq=2"});
  run.Want("SW_FREE", int64_t{0}, enclave.Free(first.sw()));
  Task second(enclave, "B", {.asleep = true});
  run.Want("index", index + 1, second.sw().index);
}

RULE("3", "the first region that has room is used, in the order in which they were made") {
  Enclave enclave(run, {.words = false});
  run.Want("first", int64_t{20}, enclave.Write("ctl", "create sw_region 8 0"));
  run.Want("second", int64_t{20}, enclave.Write("ctl", "create sw_region 2 0"));
  Task task(enclave, "W", {.asleep = true});
  run.Want("region", 8u, task.sw().id);
}

RULE("3", "a task's status word: ALLOCATED and INUSE, its gtid, and its barrier counts its messages") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("flags", std::string("INUSE|ALLOC"), FlagNames(task.Flags()));
  run.Want("barrier", 1u, task.Barrier());
  task.Wake();
  agent.Expect({"WAKEUP W seq=2 deferrable=1 last=0"});
  run.Want("flags", std::string("INUSE|ALLOC|RUNNABLE"), FlagNames(task.Flags()));
  run.Want("barrier", 2u, task.Barrier());
}

RULE("3", "ONCPU and switch_time while a task is on its CPU, neither after; runtime grows") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  const uint64_t before = task.Word().runtime;
  agent.Run(task);
  const ghost_status_word word = task.Word();
  run.Want("flags", std::string("INUSE|ALLOC|ONCPU|RUNNABLE"), FlagNames(word.flags));
  run.Want("switch_time", word.switch_time > 0 && word.switch_time <= run.world().NowNs());
  // Of its own time: other load may have the CPU.
  run.Await("1 ms of CPU time", [&] {
    ghost_ioc_get_cpu_time now = {};
    enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{.gtid = task.gtid()}, nullptr, &now);
    return now.runtime > before + 1'000'000;
  });
  task.Block();
  agent.Expect({"BLOCKED W seq=2 cpu=0"});
  run.Want("flags after", std::string("INUSE|ALLOC"), FlagNames(task.Flags()));
  run.Want("switch_time after", int64_t{0}, task.Word().switch_time);
  run.Want("runtime", task.Word().runtime > before);
}

RULE("3", "an agent's status word: ALLOCATED, INUSE, IS_AGENT, ONCPU, RUNNABLE; CPU_AVAIL while its CPU is ghost's") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Yield();
  agent.actor();
  run.Want("away", std::string("INUSE|ALLOC|CPUAVAIL|RUNNABLE|AGENT"), FlagNames(agent.Flags()));
  run.Want("wake", int64_t{0}, enclave.ConfigWakeup(agent.queue().fd(), {{.cpu = 0, .prio = 0}}));
  agent.Back();
  run.Want("back", std::string("INUSE|ALLOC|CPUAVAIL|ONCPU|RUNNABLE|AGENT"), FlagNames(agent.Flags()));
}

// ---- 3.1 ----

// Makes a task send `count` pairs of BLOCKED (5 slots) and WAKEUP (5 slots) without anybody's taking them.
void Pairs(Run& run, Task& task, Agent& agent, int count) {
  for (int i = 0; i < count && !run.over(); ++i) {
    const uint32_t barrier = task.Barrier();
    agent.Run(task);
    task.Block();
    run.Await("BLOCKED", [&] { return task.Barrier() == barrier + 1; });
    agent.Back();
    task.Wake();
    run.Await("WAKEUP", [&] { return task.Barrier() == barrier + 2; });
  }
}

uint32_t NewSlots(Run& run) { return (static_cast<uint32_t>(run.abi().task_new.size) + 8 + 7) / 8; }

RULE("3.1", "head moves by a message's slots of 8 bytes, its length rounded up; the length counts the header") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  run.Await("NEW", [&] { return task.Barrier() == 1; });
  run.Want("head after NEW", NewSlots(run), agent.queue().ring().head);
  run.Want("length", run.abi().task_new.size + 8, int{agent.queue().MessageAt(0).length});
  task.Wake();
  run.Await("WAKEUP", [&] { return task.Barrier() == 2; });
  run.Want("head after WAKEUP", NewSlots(run) + 5, agent.queue().ring().head);
}

RULE("3.1", "a message that does not fit at the end goes to the start, behind a NOP that fills the end") {
  Enclave enclave(run);
  Queue queue(enclave, 64);
  Agent agent(enclave, 0, {.queue = &queue});
  Task task(enclave, "W");
  queue.Expect({"NEW W seq=1 runnable=1"});
  Pairs(run, task, agent, 5);
  agent.Run(task);
  task.Block();
  run.Await("BLOCKED", [&] { return task.Barrier() == 12; });
  agent.Back();
  run.Want("eleven messages", size_t{11}, queue.Take().size());
  const uint32_t head = queue.ring().head, left = 64 - head;
  run.Want("head", NewSlots(run) + 55, head);
  task.Wake();
  run.Await("WAKEUP", [&] { return task.Barrier() == 13; });
  run.Want("the filler's type", int{MSG_NOP}, int{queue.MessageAt(head).type});
  run.Want("its length", left * 8, uint32_t{queue.MessageAt(head).length});
  run.Want("the message at 0", int{MSG_TASK_WAKEUP}, int{queue.MessageAt(0).type});
  run.Want("head", 64u + 5u, queue.ring().head);
  queue.Expect({"WAKEUP W seq=13 deferrable=1 last=0"});
}

RULE("3.1", "a message that fits nowhere is dropped: overflow counts it, the barrier moves all the same") {
  Enclave enclave(run);
  Queue queue(enclave, 16);
  Agent agent(enclave, 0, {.queue = &queue});
  Task task(enclave, "W");
  run.Await("NEW", [&] { return task.Barrier() == 1; });
  Pairs(run, task, agent, 3);
  const uint32_t slots = NewSlots(run) + 5 + (NewSlots(run) + 10 <= 16 ? 5 : 0);
  run.Want("head", slots, queue.ring().head);
  run.Want("overflow", NewSlots(run) + 10 <= 16 ? 4u : 5u, queue.ring().overflow);
  run.Want("barrier", 7u, task.Barrier());
}

RULE("3.1", "after an overflow messages come again as soon as there is room; the agent sees a gap in seqnum") {
  Enclave enclave(run);
  Queue queue(enclave, 16);
  Agent agent(enclave, 0, {.queue = &queue});
  Task task(enclave, "W");
  run.Await("NEW", [&] { return task.Barrier() == 1; });
  Pairs(run, task, agent, 2);
  queue.Take();
  Pairs(run, task, agent, 1);
  queue.Expect({"BLOCKED W seq=6 cpu=0", "WAKEUP W seq=7 deferrable=1 last=0"});
}

RULE("3.1", "a message that is dropped wakes the agent all the same") {
  Enclave enclave(run);
  Queue queue(enclave, 1);
  Agent agent(enclave, 0, {.queue = &queue});
  agent.Yield();
  Task task(enclave, "W", {.asleep = true});
  run.Want("RUN's result", int64_t{0}, agent.Back());
  run.Want("overflow", 1u, queue.ring().overflow);
}

RULE("3.1", "TASK_DEAD that does not fit: the kernel frees the status word itself") {
  Enclave enclave(run);
  Queue queue(enclave, 1);
  Agent agent(enclave, 0, {.queue = &queue});
  Task task(enclave, "W", {.asleep = true});
  run.world().Kill(task.actor(), 9);
  run.Await("all but the agent's is free", [&] { return enclave.Header(0).available == 65533; });
  run.Want("flags", 0u, task.Flags());
}

RULE("3.1",
     "TASK_DEPARTED that does not fit: the status word is freed, and the thread's next messages are not held back") {
  Enclave enclave(run);
  Queue small(enclave, 1);
  Agent agent(enclave, 0, {.queue = &small});
  Task task(enclave, "W");
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
  run.Await("it is free", [&] { return enclave.Header(0).available == 65533; });
  Queue queue(enclave);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, enclave.SetDefaultQueue(queue.fd()));
  Task again(enclave, "W", {.thread = &task.actor()});
  queue.Expect({"NEW W seq=1 runnable=1"});
}

RULE("3.1", "a tail from beyond the head counts as full: nothing is written, nobody crashes") {
  Enclave enclave(run);
  Queue queue(enclave, 64);
  Agent agent(enclave, 0, {.queue = &queue});
  queue.ring().tail = 5;
  Task task(enclave, "W", {.asleep = true});
  run.Await("NEW", [&] { return task.Barrier() == 1; });
  run.Want("head", 0u, queue.ring().head);
  run.Want("overflow", 1u, queue.ring().overflow);
}

// ---- 3.2 ----

RULE("3.2", "a task without a queue: no messages, but its barrier moves") {
  Enclave enclave(run);
  Task task(enclave, "W", {.asleep = true});
  run.Await("NEW", [&] { return task.Barrier() == 1; });
  task.Wake();
  run.Await("WAKEUP", [&] { return task.Barrier() == 2; });
}

RULE("3.2", "agents send no messages of tasks") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.world().Kill(agent.actor(), 9);
  run.Await("CANFREE", [&] { return (agent.Flags() & GHOST_SW_F_CANFREE) != 0; });
  run.Want("messages", size_t{0}, agent.queue().Take().size());
}

RULE("3.2", "a thread that came back before its old status word was freed: no messages, but its barrier moves") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  Task again(enclave, "W", {.thread = &task.actor()});
  run.Await("NEW", [&] { return again.Barrier() == 1; });
  run.Want("another word", again.sw().index != task.sw().index);
  run.Want("messages", size_t{0}, agent.queue().Take().size());
  run.Want("SW_FREE", int64_t{0}, enclave.Free(task.sw()));
  agent.queue().Expect({"NEW W seq=2 runnable=1"});
}

}  // namespace
}  // namespace ghost::conformance
