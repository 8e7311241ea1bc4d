#!/bin/bash
# What cannot be scheduled is refused with the errno of a ghost kernel (or the documented one); nothing else happens.
. tests/e2e/lib.sh
. tests/e2e/env.sh

e_kernel && e_agent agent && enclave=$(e_enclave_of agent)

# refused TEXT ERRNO: writing TEXT to `tasks` fails with it, and the enclave is as before.
refused() {
  local said
  said=$(python3 - "$enclave/tasks" "$1" <<'PYTHON'
import errno, os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
try:
    os.write(fd, sys.argv[2].encode())
    print("accepted")
except OSError as error:
    print(errno.errorcode[error.errno])
PYTHON
)
  [ "$said" = "$2" ] || { t_fail "'$1': $said, not $2"; return 1; }
  grep -qx "nr_tasks 0" "$enclave/status" || { t_fail "$(cat "$enclave/status")"; return 1; }
  e_ask witness "echo well" well 10 || { t_fail "a bystander suffers"; return 1; }
}

e_start witness bash

t_begin "a pid that was never given out: ESRCH"
refused "$(cat /proc/sys/kernel/pid_max)" ESRCH
t_pass

t_begin "a process that has just ended: ESRCH"
true &
gone=$!
wait "$gone"
refused "$gone" ESRCH
t_pass

t_begin "a kernel thread: EINVAL"
refused 2 EINVAL
t_pass

t_begin "a zombie: ESRCH"
e_start parent python3 -u -c '
import os, sys
child = os.fork()
if child == 0: os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("zombie", child)
sys.stdin.read()
'
e_expect parent zombie || t_fail
zombie=${LINE#zombie }
[ "$(e_state "$zombie")" = Z ] || t_fail "$zombie is in state $(e_state "$zombie")"
refused "$zombie" ESRCH
e_close parent
e_end parent
t_pass

t_begin "a process that a debugger holds: EPERM, and the debugger keeps it"
e_start held sleep 1000
e_start debugger "$E2E/debugger" "${PID[held]}"
e_expect debugger attached || t_fail
refused "${PID[held]}" EPERM
grep -q "^TracerPid:.${PID[debugger]}$" "/proc/${PID[held]}/status" || t_fail "the debugger has lost it"
e_close debugger
e_end debugger || t_fail
t_pass

t_begin "… and once the debugger is gone it can be moved"
"$GHOSTCTL" move "${PID[held]}" || t_fail
e_in_enclave "$enclave" "${PID[held]}" || t_fail "$(cat "$enclave/tasks")"
"$E2E/debugger" "${PID[held]}" </dev/null >/dev/null 2>&1 && t_fail "a task under ghost can be seized"
kill "${PID[held]}"
e_end held || t_fail
e_until 10 grep -qx "nr_tasks 0" "$enclave/status" || t_fail "$(cat "$enclave/status")"
t_pass

t_begin "another user's process, written by an ordinary user: EPERM"
if ! id nobody >/dev/null 2>&1; then t_skip "there is no user nobody"; fi
said=$(python3 - "$enclave/tasks" "${PID[witness]}" <<'PYTHON'
import errno, os, pwd, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
os.setgid(pwd.getpwnam("nobody").pw_gid)
os.setuid(pwd.getpwnam("nobody").pw_uid)
try:
    fd = os.open(sys.argv[1], os.O_WRONLY)
    os.write(fd, sys.argv[2].encode())
    print("accepted")
except OSError as error:
    print(errno.errorcode[error.errno])
PYTHON
)
case $said in EPERM | EACCES) ;; *) t_fail "$said" ;; esac
grep -qx "nr_tasks 0" "$enclave/status" || t_fail "$(cat "$enclave/status")"
t_pass

t_begin "text that is no number: EINVAL"
for text in x "12x" "-1 2"; do refused "$text" EINVAL; done
t_pass

t_begin "one that is in ghost already: EPERM"
e_ask witness "echo \$\$ > $enclave/tasks && echo inside" inside || t_fail
if (echo "${PID[witness]}" >"$enclave/tasks") 2>"$T/again"; then t_fail "accepted twice"; fi
grep -q "Operation not permitted" "$T/again" || t_fail "$(cat "$T/again")"
e_ask witness "echo well" well 10 || t_fail
t_pass

t_begin "ghostctl move says for each what it is, and exits with 1"
"$GHOSTCTL" move 2 "$gone" >"$T/moved" 2>&1
status=$?
[ "$status" = 1 ] || t_fail "exit status $status"
grep -q "move: 2: a kernel thread" "$T/moved" || t_fail "$(cat "$T/moved")"
grep -q "move: $gone: no such thread" "$T/moved" || t_fail "$(cat "$T/moved")"
t_pass

e_stop agent INT
