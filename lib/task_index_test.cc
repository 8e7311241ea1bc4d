#include "lib/task_index.h"

#include <set>
#include <thread>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "gtest/gtest.h"
#include "lib/testing/mock_kernel.h"
#include "lib/testing/task_test_peer.h"

namespace ghost {
namespace {

struct Task : TaskBase {
  int payload = 7;
};

TEST(TaskIndex, FindsWhatWasInserted) {
  TaskIndex index;
  std::vector<Task> tasks(100);
  for (int i = 0; i < 100; ++i) {
    TaskTestPeer::SetGtid(&tasks[i], MockGtid(i * 1000 + 1, i + 1));
    EXPECT_EQ(index.Find(tasks[i].gtid()), nullptr);
    index.Insert(&tasks[i]);
  }
  for (Task& task : tasks) EXPECT_EQ(index.Find(task.gtid()), &task);
  EXPECT_EQ(index.Find(MockGtid(1, 99)), nullptr);
}

TEST(TaskIndex, AnyNumberMayBeAsked) {
  TaskIndex index;
  for (int64_t gtid : {int64_t{0}, int64_t{-1}, int64_t{-2}, INT64_MAX, INT64_MIN, int64_t{1} << 40}) {
    EXPECT_EQ(index.Find(gtid), nullptr) << gtid;
    Task task;
    TaskTestPeer::SetGtid(&task, gtid);
    index.Insert(&task);
    EXPECT_EQ(index.Find(gtid), &task) << gtid;
    index.Erase(&task);
    EXPECT_EQ(index.Find(gtid), nullptr) << gtid;
  }
}

TEST(TaskIndex, OneThreadIdForSeveralTasks) {
  TaskIndex index;
  Task tasks[4];
  for (int i = 0; i < 4; ++i) {
    TaskTestPeer::SetGtid(&tasks[i], MockGtid(5, i + 1));
    index.Insert(&tasks[i]);
  }
  for (int gone : {1, 3, 0, 2}) {
    EXPECT_EQ(index.Find(tasks[gone].gtid()), &tasks[gone]);
    index.Erase(&tasks[gone]);
    EXPECT_EQ(index.Find(tasks[gone].gtid()), nullptr);
  }
}

TEST(TaskIndex, OneGtidTwiceFindsTheNewer) {
  TaskIndex index;
  Task old_one, new_one;
  for (Task* task : {&old_one, &new_one}) {
    TaskTestPeer::SetGtid(task, MockGtid(5));
    index.Insert(task);
  }
  EXPECT_EQ(index.Find(MockGtid(5)), &new_one);
  index.Erase(&old_one);
  EXPECT_EQ(index.Find(MockGtid(5)), &new_one);
}

TEST(TaskPool, TasksAreFreshAndNeverTheSame) {
  TaskPool<Task> pool(2);
  std::set<Task*> seen;
  for (int i = 0; i < 1000; ++i) {
    Task* task = pool.Allocate();
    EXPECT_TRUE(seen.insert(task).second);
    EXPECT_EQ(task->payload, 7);
    task->payload = i;
  }
  Task* reused = *seen.begin();
  pool.Free(reused);
  EXPECT_EQ(pool.Allocate(), reused);
  EXPECT_EQ(reused->payload, 7);
}

// Whose hook has members of the same names as TaskBase.
struct HookedTask : TaskBase, boost::intrusive::list_base_hook<> {};

TEST(TaskPool, TakesATaskThatIsALinkOfAListItself) {
  TaskPool<HookedTask> pool(1);
  HookedTask* first = pool.Allocate();
  HookedTask* second = pool.Allocate();
  EXPECT_NE(first, second);
  boost::intrusive::list<HookedTask> list;
  list.push_back(*first);
  list.pop_front();
  pool.Free(first);
  EXPECT_EQ(pool.Allocate(), first);
}

TEST(TaskList, FirstInFirstOut) {
  TaskList list, other;
  Task tasks[3];
  EXPECT_EQ(list.PopFront(), nullptr);
  for (Task& task : tasks) list.PushBack(&task);
  other.Take(&list);
  EXPECT_TRUE(list.empty());
  list.PushBack(other.PopFront());
  EXPECT_EQ(list.PopFront(), &tasks[0]);
  EXPECT_EQ(other.PopFront(), &tasks[1]);
  EXPECT_EQ(other.PopFront(), &tasks[2]);
  EXPECT_TRUE(other.empty());
}

TEST(TaskMailbox, KeepsEachSendersOrderAndLosesNothing) {
  constexpr int kSenders = 4, kEach = 5000;
  TaskMailbox mailbox;
  std::vector<std::vector<Task>> tasks(kSenders);
  for (int s = 0; s < kSenders; ++s) {
    tasks[s] = std::vector<Task>(kEach);
    for (int i = 0; i < kEach; ++i) TaskTestPeer::SetGtid(&tasks[s][i], MockGtid(s + 1, i + 1));
  }
  std::vector<std::thread> senders;
  for (int s = 0; s < kSenders; ++s) {
    senders.emplace_back([&, s] {
      for (Task& task : tasks[s]) mailbox.Push(&task);
    });
  }
  std::vector<int64_t> last(kSenders + 1, 0);
  for (int received = 0; received < kSenders * kEach;) {
    TaskList mail = mailbox.TakeAll();
    while (TaskBase* task = mail.PopFront()) {
      const int64_t sender = task->gtid() >> 41;
      EXPECT_GT(task->gtid(), last[sender]);
      last[sender] = task->gtid();
      ++received;
    }
  }
  for (std::thread& sender : senders) sender.join();
  EXPECT_TRUE(mailbox.empty());
}

TEST(TasksAtHome, AnyCanLeave) {
  TasksAtHome home;
  Task tasks[4];
  for (Task& task : tasks) home.Add(&task);
  const auto count = [&] {
    int n = 0;
    for (const TaskBase* task = home.first(); task != nullptr; task = TasksAtHome::Next(task)) ++n;
    return n;
  };
  EXPECT_EQ(count(), 4);
  int left = 4;
  for (int gone : {2, 3, 0, 1}) {
    home.Remove(&tasks[gone]);
    EXPECT_EQ(count(), --left);
  }
}

}  // namespace
}  // namespace ghost
