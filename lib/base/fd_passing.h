// A byte, and a file descriptor with it, through a Unix socket (SCM_RIGHTS).
//
// What it is not: a protocol. Any thread; it opens nothing else, so that it may be called between fork and exec.
#ifndef GHOST_LIB_BASE_FD_PASSING_H_
#define GHOST_LIB_BASE_FD_PASSING_H_

#include <sys/types.h>

#include "lib/base/file.h"

namespace ghost {

// Sends `byte`, and `fd` unless it is -1. `flags`: MSG_DONTWAIT, or 0; SIGPIPE never comes. Whether it went; else errno
// says why.
bool SendByteAndFd(int socket, char byte, int fd, int flags);

// Receives what SendByteAndFd sent; what is not there stays as it was (`*fd` if none came with the byte). As recvmsg:
// 1, 0 if the other end has hung up, or -1 with errno; EINTR is tried again.
ssize_t ReceiveByteAndFd(int socket, char* byte, ScopedFd* fd, int flags);

}  // namespace ghost

#endif  // GHOST_LIB_BASE_FD_PASSING_H_
