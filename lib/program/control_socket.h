// Where an agent can be asked from outside (ghostctl set, get, dump, status): a socket of the agent's process, found
// from the directory of the enclave that it serves.
//
// The socket's name is abstract: "@ghost-agent/DEVICE:INODE/RANDOM", with the numbers of the enclave's directory, which
// are the same in every mount namespace that shows it. So an agent that was killed leaves nothing behind, two enclaves
// never share a name, and nobody can take a name before the agent does. An agent listens once it serves and no longer
// than that: of the two of an upgrade only one does. A socket is seen within its network namespace only.
//
// Who is answered: root, and the user whose the agent is. Whom a client believes: root, itself, and the directory's
// owner; anybody can make a socket of such a name.
//
// What it is not: what is asked and answered (lib/program/agent_requests.h).
#ifndef GHOST_LIB_PROGRAM_CONTROL_SOCKET_H_
#define GHOST_LIB_PROGRAM_CONTROL_SOCKET_H_

#include <string>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/program/agent_rpc.h"

namespace ghost {

// For the agent of the enclave at `directory`, from now until the descriptor is closed.
absl::StatusOr<ScopedFd> ListenForControl(const std::string& directory);

// Answers the requests that come over `parent`, and those of whoever connects to `listener` (-1: nobody does), one at a
// time, until the other end of `parent` is closed. It waits for no client: one that does not read loses its answer; of
// too many the one that has been there for longest is hung up.
void ServeAgent(int parent, int listener, const RpcHandler& handler);

// The agent of the enclave at `directory`, for an RpcClient. NotFound: none listens (the enclave has no agent, or one
// of another network namespace or of another make). PermissionDenied: it is another user's.
absl::StatusOr<ScopedFd> ConnectToAgent(const std::string& directory);

}  // namespace ghost

#endif  // GHOST_LIB_PROGRAM_CONTROL_SOCKET_H_
