// ghostfs over /dev/fuse: the kernel's file-system requests, translated to Core's tree and back.
//
// Raw protocol, one thread, no libfuse: a request is one read, its answer one write, and an answer may come much later
// (that is what a blocking GHOST_IOC_RUN is). Nothing is cached by the kernel (all timeouts are 0), so a removed
// enclave is gone at once. The hot path, IOCTL, allocates nothing. Requests come from the kernel, but what is in them
// comes from any user: a malformed one is answered with an error, never trusted. Loop thread only.
//
// What it is not: it mounts nothing (fuse_mount.h does), and decides nothing about names, modes or errno (Core does).
// How what it serves differs from a ghost kernel's ghostfs: kernel/usermode/core/dialect.h.
#ifndef GHOST_KERNEL_USERMODE_LINUX_FUSE_SERVER_H_
#define GHOST_KERNEL_USERMODE_LINUX_FUSE_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "kernel/usermode/core/core.h"
#include "kernel/usermode/linux/event_loop.h"
#include "kernel/usermode/linux/region_store.h"
#include "lib/base/file.h"

namespace ghost::usermode {

class FuseServer {
 public:
  // `device` is /dev/fuse of a mounted file system (a SOCK_SEQPACKET socket does for tests); served from now on by the
  // loop. `on_gone` is called once when the kernel has no more requests for us: somebody has unmounted it.
  FuseServer(ScopedFd device, Core* core, RegionStore* regions, EventLoop* loop, std::function<void()> on_gone);
  ~FuseServer();
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;

  // Answers a request for which Core::Ioctl has said `pending`. Unknown or vanished requests are ignored.
  void Complete(uint64_t request, int result);
  // Gives /dev/fuse back: all requests, waiting ones too, end with ECONNABORTED or ENOTCONN. What is completed from
  // then on is ignored.
  void Close();
  // Called with the thread that makes an ioctl, before it is handled.
  void ObserveIoctls(std::function<void(Tid)> observer);
  // `node` changed: wakes those who poll an open file of it.
  void NotifyNode(uint64_t node);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_FUSE_SERVER_H_
