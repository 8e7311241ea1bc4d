// A request to the database, and the five points in time that its latency is made of.
//
//     arrival    when the schedule says that it arrives, whoever was late to notice
//     received   a dispatcher has taken it from the network         received - arrival   ingress queue time
//     assigned   it lies in a worker's mailbox                      assigned - received  repeatable handle time
//     started    the worker has begun with it                       started  - assigned  worker queue time
//     finished                                                      finished - started   worker handle time
//                                                                   finished - arrival   total
#ifndef GHOST_EXPERIMENTS_ROCKSDB_REQUEST_H_
#define GHOST_EXPERIMENTS_ROCKSDB_REQUEST_H_

#include <cstdint>

#include "lib/base/time.h"

namespace ghost {

enum class RequestKind : uint8_t { kGet, kRange };
inline constexpr int kNumRequestKinds = 2;

struct Request {
  RequestKind kind = RequestKind::kGet;
  uint32_t key = 0;  // the entry, or the first of the range's
  Time arrival;
  Time received;
  Time assigned;
  Time started;
  Time finished;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_REQUEST_H_
