#include "lib/base/fd_passing.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace ghost {
namespace {

// A message of one byte, with room for a descriptor.
struct Envelope {
  explicit Envelope(char* byte) : data{.iov_base = byte, .iov_len = 1} {
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
  }
  Envelope(const Envelope&) = delete;
  Envelope& operator=(const Envelope&) = delete;

  iovec data;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
};

}  // namespace

bool SendByteAndFd(int socket, char byte, int fd, int flags) {
  Envelope envelope(&byte);
  if (fd >= 0) {
    cmsghdr* rights = CMSG_FIRSTHDR(&envelope.message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof(int));
  } else {
    envelope.message.msg_control = nullptr;
    envelope.message.msg_controllen = 0;
  }
  return sendmsg(socket, &envelope.message, flags | MSG_NOSIGNAL) == 1;
}

ssize_t ReceiveByteAndFd(int socket, char* byte, ScopedFd* fd, int flags) {
  Envelope envelope(byte);
  ssize_t size;
  do {
    size = recvmsg(socket, &envelope.message, flags | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return size;
  const cmsghdr* rights = CMSG_FIRSTHDR(&envelope.message);
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
      rights->cmsg_len == CMSG_LEN(sizeof(int))) {
    int received;
    std::memcpy(&received, CMSG_DATA(rights), sizeof(int));
    fd->reset(received);
  }
  return size;
}

}  // namespace ghost
